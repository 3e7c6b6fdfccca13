"""The programs that are compared: the command line of each as a receiver and as a sender."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import _proc
import _wire

OURS, GSTREAMER, FFMPEG, PIPEWIRE, FLOOR = "ours", "gst", "ffmpeg", "pipewire", "floor"
OURS_DECODE, PIPEWIRE_RT = "ours-decode", "pipewire-rt"
OURS_IO_URING = "ours-io-uring"
OURS_NORMAL, GSTREAMER_RT, FLOOR_RT = "ours-normal", "gst-rt", "floor-rt"
TICK_US = 4000  # of the C floor when it receives
_HERE = Path(__file__).parent
_GRAPH_CLOCK = 'schema = 1\n[clocks.house]\nkind = "system"\n'


@dataclass(frozen=True)
class Job:
    """What a peer has to do."""

    form: _wire.Format
    streams: _wire.Streams
    folder: Path
    seconds: float  # the run is ended before that


@dataclass(frozen=True)
class Peer:
    """A program under test; `missing` says why it cannot run here."""

    key: str
    label: str
    command: Callable[[Job], list[str]]
    missing: str | None = None


def report_path(job: Job) -> Path:
    """Where our own run leaves its report."""
    return job.folder / "report.json"


def _kernel(job: Job, graph: str) -> list[str]:
    path = job.folder / "graph.toml"
    path.write_text(graph)
    report_path(job).unlink(missing_ok=True)
    run = [*(kernel_command() or ["kernel"]), "run", str(path)]
    return [*run, "--for", f"{round(job.seconds)}s", "--report", str(report_path(job))]


def _edge(job: Job, index: int) -> str:
    """The options that an aes67 source and an aes67 sink share."""
    where = f'clock = "house"\ninterface = "{_wire.LOOPBACK}"\ngroup = "{job.streams.group(index)}"\n'
    where += f"port = {job.streams.port}\npayload-type = {_wire.PAYLOAD_TYPE}\n"
    return f'{where}encoding = "L24"\npacket-time = "{job.form.packet_time}"\n'


def _ours_receiving(link_offset: str, *, decode: bool) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        parts = [_GRAPH_CLOCK]
        for i in range(job.streams.count):
            form = f'rate = "48kHz"\nchannels = {job.form.channels}\nlink-offset = "{link_offset}"\n'
            legs = job.streams.second_legs
            second = f'leg-b = {{group = "{job.streams.group(legs[i])}"}}\n' if i in legs else ""
            parts.append(f'[sources.s{i}]\nkind = "aes67"\n{_edge(job, i)}{form}{second}')
            parts.append(f'[sinks.n{i}]\nkind = "null"\nmeter = {str(decode).lower()}\ninput = "s{i}"\n')
        return _kernel(job, "\n".join(parts))

    return command


def _ours_sending(job: Job, pacing: str = "thread") -> list[str]:
    parts = [_GRAPH_CLOCK]
    parts.append('[sources.t]\nkind = "tone"\nrate = "48kHz"\nfrequency = "997Hz"\n')
    parts.append(f"channels = {job.form.channels}\n")
    sink = f'kind = "aes67"\ninput = "t"\npacing = "{pacing}"'
    parts += [f"[sinks.n{i}]\n{sink}\n{_edge(job, i)}" for i in range(job.streams.count)]
    return _kernel(job, "\n".join(parts))


_REAL_TIME = ["chrt", "--fifo", "10"]
"""Runs a program with the priority that Phasegraph's engine asks for."""


def _ours_without_priority(job: Job) -> list[str]:
    return ["setpriv", "--bounding-set", "-sys_nice", "prlimit", "--rtprio=0", *_ours_sending(job)]


def _gst_receiving(job: Job) -> list[str]:
    caps = "application/x-rtp,media=audio,clock-rate=48000,encoding-name=L24,"
    caps += f"channels={job.form.channels},payload={_wire.PAYLOAD_TYPE}"
    words = ["gst-launch-1.0", "-q"]
    for group in job.streams.groups():
        words += ["udpsrc", f"address={group}", f"port={job.streams.port}", "multicast-iface=lo"]
        words += [f"caps={caps}"]
        words += ["!", "rtpjitterbuffer", "!", "rtpL24depay", "!", "fakesink"]
    return words


def _gst_payload(job: Job, group: str) -> list[str]:
    ns = job.form.packet_ns
    words = ["rtpL24pay", f"min-ptime={ns}", f"max-ptime={ns}", f"pt={_wire.PAYLOAD_TYPE}", "!", "udpsink"]
    words += [f"host={group}", f"port={job.streams.port}", "multicast-iface=lo"]
    return [*words, f"bind-address={_wire.LOOPBACK}", "sync=true", "async=false"]


def _gst_tone(job: Job) -> list[str]:
    caps = f"audio/x-raw,format=S24BE,rate=48000,channels={job.form.channels}"
    return ["audiotestsrc", "is-live=true", "freq=997", "!", "audioconvert", "!", caps]


def _gst_sending(job: Job) -> list[str]:
    words = ["gst-launch-1.0", "-q"]
    for group in job.streams.groups():
        words += [*_gst_tone(job), "!", *_gst_payload(job, group)]
    return words


def _gst_tee_sending(job: Job) -> list[str]:
    words = ["gst-launch-1.0", "-q", *_gst_tone(job), "!", "tee", "name=t"]
    for group in job.streams.groups():
        words += ["t.", "!", "queue", "!", *_gst_payload(job, group)]
    return words


_FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning"]


def session(job: Job, index: int) -> str:
    """An SDP of one stream, as ffmpeg wants it."""
    head = f"v=0\no=- {index} 0 IN IP4 {_wire.LOOPBACK}\ns=benchmark {index}\n"
    kind = _wire.PAYLOAD_TYPE
    media = f"c=IN IP4 {job.streams.group(index)}/32\nt=0 0\nm=audio {job.streams.port} RTP/AVP {kind}\n"
    return f"{head}{media}a=rtpmap:{kind} L24/48000/{job.form.channels}\n"


def _ffmpeg_receiving(decode: bool) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        # With the default queue of 8 packets the reading threads block; of 64 streams most packets got lost.
        queue = ["-thread_queue_size", "512"]
        words, maps = list(_FFMPEG), list[str]()
        for i in range(job.streams.flows):
            path = job.folder / f"{i}.sdp"
            path.write_text(session(job, i))
            words += [*queue, "-protocol_whitelist", "file,udp,rtp", "-localaddr", _wire.LOOPBACK]
            words += ["-i", str(path)]
            maps += ["-map", str(i)]
        return [*words, *maps, "-c", "pcm_f32le" if decode else "copy", "-f", "null", "-"]

    return command


def _ffmpeg_sending(job: Job, frame: int = 0) -> list[str]:
    # A frame that is no multiple of the packet would leave short packets. Frames of one packet give ffmpeg
    # its most even spacing (-re sleeps in steps of 10 ms); longer ones cost less CPU, the bursts grow.
    frame = frame or job.form.frames
    tone = f"sine=frequency=997:sample_rate=48000:samples_per_frame={frame}"
    words = [*_FFMPEG, "-re", "-f", "lavfi", "-i", tone]
    for group in job.streams.groups():
        url = f"rtp://{group}:{job.streams.port}?pkt_size={job.form.size}&localaddr={_wire.LOOPBACK}&ttl=1"
        words += ["-map", "0", "-ac", str(job.form.channels), "-c:a", "pcm_s24be"]
        words += ["-payload_type", str(_wire.PAYLOAD_TYPE), "-f", "rtp", url]
    return words


def _pipewire_sending(job: Job, *options: str) -> list[str]:
    if job.form.packet_ns != 1_000_000:
        raise RuntimeError("sends no packets shorter than 1 ms")
    where = [str(job.form.channels), str(job.streams.port), *job.streams.groups()]
    return [sys.executable, str(_HERE / "_pipewire.py"), *options, *where]


def _floor(program: Path, *, tick: bool) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        form = job.form
        words = [str(program), str(job.streams.port), _wire.LOOPBACK, str(form.channels), str(form.frames)]
        return [*words, *([str(TICK_US)] if tick else []), *job.streams.groups()]

    return command


def installed(program: str) -> str | None:
    """Why a program cannot run here."""
    return None if shutil.which(program) else "not installed"


def pipewire_missing() -> str | None:
    """Why PipeWire cannot run here."""
    absent = [program for program in ("pipewire", "pw-link", "ip") if installed(program)]
    if absent:
        return f"{', '.join(absent)} not installed"
    return None if os.geteuid() == 0 else "needs root: it sends where the routes lead, so one is added"


def ours_missing() -> str | None:
    """Why Phasegraph cannot run here."""
    if importlib.util.find_spec("phasegraph") is None:
        return f"not installed (no module phasegraph for {Path(sys.executable).name})"
    return None if kernel_command() else "not runnable (no phasegraph.__main__ and no kernel command)"


def kernel_command() -> list[str] | None:
    """The command `kernel`, of the Python that runs the benchmark."""
    if importlib.util.find_spec("phasegraph.__main__") is not None:
        return [sys.executable, "-m", "phasegraph"]
    script = Path(sys.executable).with_name("kernel")
    return [str(script)] if script.exists() else None


def _floor_peer(source: str, folder: Path, *, tick: bool) -> Peer:
    built = _proc.build_c(_HERE / source, folder)
    if isinstance(built, str):
        return Peer(FLOOR, "C floor", lambda job: [], built)
    return Peer(FLOOR, "C floor", _floor(built, tick=tick))


def receivers(folder: Path, link_offset: str) -> dict[str, Peer]:
    """Everything that can receive, by key; the last one only runs when it is asked for."""
    gst, ffmpeg = installed("gst-launch-1.0"), installed("ffmpeg")
    peers = [
        Peer(OURS, "Phasegraph", _ours_receiving(link_offset, decode=False), ours_missing()),
        Peer(GSTREAMER, "GStreamer", _gst_receiving, gst),
        Peer(FFMPEG, "ffmpeg (copy)", _ffmpeg_receiving(False), ffmpeg),
        _floor_peer("floor.c", folder, tick=True),
        Peer(OURS_DECODE, "Phasegraph (to float)", _ours_receiving(link_offset, decode=True), ours_missing()),
        Peer("ffmpeg-decode", "ffmpeg (to float)", _ffmpeg_receiving(True), ffmpeg),
    ]
    return {peer.key: peer for peer in peers}


def senders(folder: Path) -> dict[str, Peer]:
    """Everything that can send, by key; the last two only run when they are asked for."""
    gst, ffmpeg, pipewire = installed("gst-launch-1.0"), installed("ffmpeg"), pipewire_missing()
    floor = _floor_peer("floor_send.c", folder, tick=False)
    peers = [
        Peer(OURS, "Phasegraph", _ours_sending, ours_missing()),
        Peer(OURS_IO_URING, "Phasegraph (io_uring)", partial(_ours_sending, pacing="io-uring"), ours_missing()),
        Peer(OURS_NORMAL, "Phasegraph (normal priority)", _ours_without_priority, ours_missing()),
        Peer(GSTREAMER, "GStreamer", _gst_sending, gst),
        Peer(GSTREAMER_RT, "GStreamer (real-time)", lambda job: [*_REAL_TIME, *_gst_sending(job)], gst),
        Peer(FFMPEG, "ffmpeg", _ffmpeg_sending, ffmpeg),
        Peer(PIPEWIRE, "PipeWire", _pipewire_sending, pipewire),
        Peer(PIPEWIRE_RT, "PipeWire (real-time)", lambda job: _pipewire_sending(job, "--rt"), pipewire),
        floor,
        Peer(FLOOR_RT, "C floor (real-time)", lambda job: [*_REAL_TIME, *floor.command(job)], floor.missing),
        Peer("gst-tee", "GStreamer (one tone, tee)", _gst_tee_sending, gst),
        Peer("ffmpeg-10ms", "ffmpeg (frames of 10 ms)", lambda job: _ffmpeg_sending(job, 480), ffmpeg),
    ]
    return {peer.key: peer for peer in peers}
