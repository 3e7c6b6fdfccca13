"""What the two benchmarks have in common on the command line, and the order in which they run things."""

from __future__ import annotations

import argparse
import json
import platform
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import _measure
import _peers
import _proc
import _wire

_FRAMES = {"1ms": 48, "125us": 6}


@dataclass(frozen=True)
class Options:
    """The parsed command line."""

    streams: list[int]
    rounds: int
    seconds: float
    warm_up: float
    form: _wire.Format
    prefix: str
    port: int
    only: list[str] | None
    json: Path | None
    end: float  # time.monotonic after which no further trial starts
    link_offset: str
    patience: float  # seconds to wait before each trial for a quiet machine

    def caption(self) -> str:
        """What the table below is about."""
        what = f"{self.form.channels} channels L24/48 kHz in {self.form.packet_time} packets over loopback"
        return f"{what};\nmedians of up to {self.rounds} windows of {self.seconds:g} s. {machine()}."

    def chosen(self, peers: Mapping[str, _peers.Peer], default: Sequence[str]) -> list[_peers.Peer]:
        """The peers to run, in the order of the table."""
        keys = self.only or default
        unknown = [key for key in keys if key not in peers]
        if unknown:
            raise SystemExit(f"unknown in --only: {', '.join(unknown)}; known: {', '.join(peers)}")
        return [peers[key] for key in keys]


def _counts(text: str) -> list[int]:
    values = [int(part) for part in text.split(",")]
    if not values or min(values) < 1 or max(values) > 250:
        raise argparse.ArgumentTypeError("1 to 250 streams")
    return values


def _prefix(text: str) -> str:
    if not re.fullmatch(r"2(2[4-9]|3\d)(\.\d{1,3}){2}", text):
        raise argparse.ArgumentTypeError("three octets of a multicast address, as in 239.69.200")
    return text


def parse(name: str, about: str, streams: str, prefix: str, argv: Sequence[str] | None) -> Options:
    """Read the command line of one of the benchmarks."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=name, description=about, formatter_class=form)
    add = parser.add_argument
    add("--streams", type=_counts, default=_counts(streams), metavar="N,N", help=f"stream counts ({streams})")
    add("--rounds", type=int, default=3, help="rounds over all programs; medians are reported (3)")
    add("--seconds", type=float, default=6.0, help="measured window of each trial (6)")
    add("--warm-up", type=float, default=2.0, help="seconds before the window, once all is set up (2)")
    add("--packet-time", choices=sorted(_FRAMES), default="1ms", help="duration of a packet (1ms)")
    add("--channels", type=int, help="channels a stream (8; 2 with --packet-time 125us)")
    add("--only", metavar="P,P", help="programs to run, by key, e.g. ours,gst")
    add("--json", type=Path, metavar="FILE", help="also write every trial to FILE")
    add("--prefix", type=_prefix, default=prefix, help=f"first octets of the groups ({prefix})")
    add("--port", type=int, default=5004, help="RTP port (5004)")
    add("--link-offset", default="20ms", help="of our own receiver (20ms)")
    add("--time-limit", type=float, default=1800.0, help="seconds after which no further trial starts (1800)")
    add("--wait-quiet", type=float, default=0.0, metavar="S", help="seconds to wait for a quiet machine (0)")
    given = parser.parse_args(argv)
    frames = _FRAMES[given.packet_time]
    channels = given.channels or (8 if frames == 48 else 2)
    size = _wire.Format(channels, frames).size
    if not 1 <= channels <= 64 or size > 1452:
        parser.error(f"--channels {channels} makes packets of {size} bytes; 1452 is the limit")
    if given.rounds < 1 or not 0.5 <= given.seconds <= 600 or given.warm_up < 0:
        parser.error("need --rounds of 1 or more, --seconds from 0.5 to 600 and a --warm-up of 0 or more")
    return Options(
        streams=given.streams,
        rounds=given.rounds,
        seconds=given.seconds,
        warm_up=given.warm_up,
        form=_wire.Format(channels, frames),
        prefix=given.prefix,
        port=given.port,
        only=given.only.split(",") if given.only else None,
        json=given.json,
        end=time.monotonic() + given.time_limit,
        link_offset=given.link_offset,
        patience=given.wait_quiet,
    )


def trials(options: Options, peers: Sequence[_peers.Peer]) -> Iterator[tuple[int, int, _peers.Peer]]:
    """All trials: (streams, round, peer), in rounds, so that a slow minute hits all peers alike."""
    for peer in peers:
        if peer.missing:
            _proc.log(f"skip {peer.label}: {peer.missing}")
    for count in options.streams:
        for turn in range(options.rounds):
            for peer in peers:
                if peer.missing:
                    continue
                if time.monotonic() > options.end:
                    _proc.log("time limit reached: the rest is left out")
                    return
                _measure.wait_quiet(min(options.patience, options.end - time.monotonic()))
                yield count, turn, peer


def refuse_shared(streams: _wire.Streams) -> None:
    """Stop if the groups are in use: somebody else's packets would be counted as ours."""
    if _measure.groups_joined(streams.prefix):
        raise RuntimeError(f"somebody has joined groups in {streams.prefix}.0/24; choose another --prefix")


def await_joins(child: _proc.Child, streams: _wire.Streams) -> None:
    """Wait until the program has joined all groups."""
    deadline = time.monotonic() + 20 + 0.5 * streams.flows
    while (joined := _measure.groups_joined(streams.prefix)) < streams.flows:
        if time.monotonic() > deadline:
            raise RuntimeError(f"joined only {joined} of {streams.flows} groups: {child.last_words()}")
        _proc.wait_until(time.monotonic() + 0.2, child)


def machine() -> str:
    """One line about the machine for below the table."""
    model = "unknown processor"
    cpus = Path("/proc/cpuinfo").read_text()
    if found := re.search(r"model name\s*:\s*(.+)", cpus):
        model = found[1]
    cores = len(re.findall(r"^processor", cpus, re.MULTILINE))
    return f"{cores} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def save(path: Path | None, kind: str, options: Options, trials_done: list[dict[str, object]]) -> None:
    """Write all trials as JSON, if asked to."""
    if path is None:
        return
    form = options.form
    about = {"benchmark": kind, "machine": machine(), "seconds": options.seconds}
    about |= {"channels": form.channels, "packet_time": form.packet_time, "trials": trials_done}
    path.write_text(json.dumps(about, indent=1))


def report_sums(path: Path, names: Sequence[str], role: str) -> dict[str, float] | None:
    """Sums of some metrics over our own nodes of a role, from the report that `kernel run` wrote."""
    try:
        nodes = json.loads(path.read_text())["nodes"].values()
        ours = [node for node in nodes if node["kind"] == "aes67" and node["role"].startswith(role)]
        mine = [node["metrics"] for node in ours]
        return {name: sum(float(metrics.get(name, 0)) for metrics in mine) for name in names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def stop_peer(child: _proc.Child, key: str) -> None:
    """End a peer the way it likes best: ours drains and writes its report, PipeWire's script tidies up."""
    gentle = key.startswith((_peers.OURS, _peers.PIPEWIRE, _peers.FLOOR))
    child.stop(signal.SIGTERM, patience=8.0 if gentle else 2.0)


def guarded(main: Callable[[], int]) -> int:
    """Run a main function; Ctrl-C ends it with the usual status and without a traceback."""
    _proc.end_on_signals()
    try:
        return main()
    except KeyboardInterrupt:
        _proc.log("interrupted")
        return 130
