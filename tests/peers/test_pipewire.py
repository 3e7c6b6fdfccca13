"""PipeWire's RTP modules receive our streams, and we receive its own; each finds the other's by its announcement.

On two hosts, since the modules of older versions send where the routes lead, whatever interface they are told.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.support import material, netns
from tests.support.graphs import table, write_graph
from tests.support.kernel import KERNEL, LIMIT_S, outcome
from tests.support.netns import Host, Network
from tests.support.peers import same_audio
from tests.support.pipewire import SAP, pipewire
from tests.support.process import running

pytestmark = pytest.mark.peers
LEVEL = 0.1
GROUP = "239.69.77.1"
ENOUGH = 250_000
"""Bytes of most of a second, in 24 bits as well as in 16."""
LINKING = 12_000
"""Frames at the beginning that are not compared: a player plays from its first link on, and each costs it a moment."""


@pytest.fixture
def routed(pipewire_rtp: None, hosts: Network) -> Network:
    """Two hosts that know where groups are."""
    for host in (hosts.near, hosts.far):
        host.ip(f"route add 224.0.0.0/4 dev {netns.INTERFACE}")
    return hosts


def kernel(host: Host, *words: object) -> list[str]:
    return host.command(*KERNEL, "run", *words)


@pytest.mark.parametrize("encoding", ["L16", "L24"])
def test_it_receives_what_we_announce(routed: Network, tmp_path: Path, encoding: str) -> None:
    """A tone. It follows our clock by resampling, so the tone's frequency and level are compared, not its samples.

    A gap of a millisecond would be more than its resampler's unrest.
    """
    stream = {"interface": netns.INTERFACE, "group": GROUP, "encoding": encoding}
    graph = write_graph(
        tmp_path / "send.toml",
        table("sources", "tone", kind="tone", frequency="1kHz", level="-20dB", channels=2),
        table("sinks", "network", kind="aes67", input="tone", name="Ours", announce=True, **stream),
    )
    source = {**SAP, "sess.latency.msec": 100, "stream.props": {"media.class": "Audio/Source"}}
    recorded = tmp_path / "pipewire.wav"

    def attempt() -> str:
        recorded.unlink(missing_ok=True)
        with (
            pipewire(routed.far, tmp_path, {"rtp-source": source}) as peer,
            running(kernel(routed.near, graph), tmp_path, name="kernel"),
            peer.program("pw-record", "--rate", 48_000, "--channels", 2, "--format", "f32", recorded) as recorder,
        ):
            peer.make_ports("Ours", "Output")
            peer.make_ports("pw-record", "Input")
            peer.link("Ours:capture", "pw-record:input")
            recorder.wait_until(lambda: recorded.exists() and recorded.stat().st_size > 2_000_000, "recorded")
            os.killpg(recorder.process.pid, signal.SIGINT)
            recorder.wait(LIMIT_S)
        frames, rate = soundfile.read(recorded)
        assert rate == 48_000
        return not_the_tone(frames[-48_000:])

    same_audio(attempt)


def not_the_tone(frames: np.ndarray) -> str:
    """What is wrong with a recording of the tone, piece by piece; empty if nothing."""
    assert frames.shape[1] == 2
    length = 4_800
    turns = 2 * np.pi * 1000 / 48_000 * np.arange(length)
    basis = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    for index in range(len(frames) // length):
        piece = frames[index * length : (index + 1) * length]
        weights, *_ = np.linalg.lstsq(basis, piece, rcond=None)
        level, rest = np.hypot(*weights), (piece - basis @ weights).std(axis=0)
        if not np.allclose(level, LEVEL, rtol=0.01) or (rest > LEVEL / 20).any():
            return f"100 ms number {index}: level {level}, and {rest} that is no tone"
    return ""


@pytest.mark.parametrize("encoding", ["L16", "L24"])
def test_we_receive_what_it_announces(routed: Network, tmp_path: Path, encoding: str) -> None:
    """Sample by sample. It sends as many packets as its graph makes at once, and counts from a random timestamp; its
    player may leave out the beginning or the end.
    """
    bits = int(encoding[1:])
    sent = material.make(tmp_path / "source.wav", 96_000, subtype=f"PCM_{bits}", seed=9)
    options = {"interface": netns.INTERFACE, "session": "Theirs", "encoding": encoding, "media-clock": "relative"}
    graph = write_graph(
        tmp_path / "receive.toml",
        table("sources", "stream", kind="aes67", **options, **{"link-offset": "2s"}),
        table("sinks", "copy", kind="file", overwrite=True, input="stream", path="copy.wav"),
    )
    stream = {"audio.format": f"S{bits}BE", "audio.rate": 48_000, "audio.channels": 2, "sess.name": "Theirs"}
    packets = {"sess.min-ptime": 1, "sess.max-ptime": 1, "destination.ip": GROUP, "destination.port": 5004}
    node = {"node.name": "network", "media.class": "Audio/Sink"}
    sink = {**SAP, **stream, **packets, "stream.props": node}
    report = tmp_path / "report.json"

    def attempt() -> str:
        command = kernel(routed.near, graph, "--report", report)
        with running(command, tmp_path, name="kernel") as ours:
            with pipewire(routed.far, tmp_path, {"rtp-sink": sink}) as peer:
                peer.make_ports("network", "Input")
                recording = tmp_path / "copy.wav"
                ours.wait_until(lambda: "session_found" in ours.stderr, "the session is found")
                with peer.program("pw-play", tmp_path / "source.wav") as player:
                    peer.make_ports("pw-play", "Output")
                    peer.link("pw-play:output", "network:playback")
                    player.wait(LIMIT_S)
                ours.wait_until(lambda: recording.exists() and recording.stat().st_size > ENOUGH, "recorded")
            ours.signal(signal.SIGINT)
            result = outcome(ours.wait(LIMIT_S), ours, report)
        got = material.read(tmp_path / "copy.wav")
        both = np.flatnonzero(got.all(axis=1))
        differs = material.excerpt(sent, got[both[0] + LINKING : both[-1] + 1])
        return differs and f"{differs}; the report says: {result.hiccups or 'nothing was late or lost'}"

    same_audio(attempt)
