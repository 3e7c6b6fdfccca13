"""Streams between us and other vendors' programs, over the loopback interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from . import material
from .addresses import LOOPBACK, free_group, free_port
from .graphs import END_AFTER, LINK_OFFSET, table, write_graph
from .kernel import LIMIT_S, Outcome, hiccup, kernel_running, outcome
from .material import Words
from .process import Running, udp_listener

PEER_S = 60.0
"""Longest that a peer may take for a second of audio before it counts as hanging."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is made of."""

    encoding: str = "L24"
    rate: int = 48_000
    channels: int = 2
    packet_time: str = "1ms"
    multicast: bool = True

    @property
    def subtype(self) -> str:
        """Samples of a file that fits."""
        return f"PCM_{self.encoding[1:]}"

    def address(self) -> str:
        """Where to send such a stream to."""
        return free_group() if self.multicast else LOOPBACK


class Ours(msgspec.Struct):
    """A stream that we send, over and over, until the peer has enough of it."""

    process: Running
    sdp: Path
    group: str
    port: int
    material: Words


@contextmanager
def sending(folder: Path, format: Format, **further: object) -> Iterator[Ours]:
    """``kernel run`` sends noise in a loop; its session description is there when the block begins.

    ``further`` are options of the sink.
    """
    sent = material.make(
        folder / "source.wav", format.rate, format.channels, rate=format.rate, subtype=format.subtype, seed=2
    )
    group, port, sdp = format.address(), free_port(), folder / "ours.sdp"
    sdp.unlink(missing_ok=True)
    options = {"encoding": format.encoding, "packet-time": format.packet_time, "sdp-out": sdp.name, **further}
    graph = write_graph(
        folder / "send.toml",
        table("sources", "file", kind="file", path="source.wav", loop=True),
        table("sinks", "network", kind="aes67", input="file", group=group, port=port, interface=LOOPBACK, **options),
    )
    with kernel_running(["run", graph], folder) as process:
        process.wait_until(lambda: sdp.exists() and b"mediaclk" in sdp.read_bytes(), "sending")
        yield Ours(process, sdp, group, port, sent)


@contextmanager
def receiving(
    folder: Path, source: Mapping[str, object], *, at: tuple[str, int] | None = None
) -> Iterator[Callable[[], tuple[Outcome, Words]]]:
    """``kernel run`` records a peer's stream to its end; what the block gets waits for that.

    ``source`` has the options that say which stream it is. With ``at``, its address and port, the block begins when we
    listen there.
    """
    report, copy = folder / "report.json", folder / "copy.wav"
    options = {"interface": LOOPBACK, "link-offset": LINK_OFFSET, "end-after": END_AFTER, **source}
    graph = write_graph(
        folder / "receive.toml",
        table("sources", "stream", kind="aes67", **options),
        table("sinks", "copy", kind="file", overwrite=True, input="stream", path="copy.wav"),
    )
    with kernel_running(["run", graph, "--report", report], folder) as process:

        def finish() -> tuple[Outcome, Words]:
            result = outcome(process.wait(LIMIT_S), process, report)
            assert result.code == 0, process.told()
            return result, material.read(copy)

        if at is not None:
            group, port = at
            process.wait_until(udp_listener(port, group if group != LOOPBACK else None), "listening")
        yield finish


def same_audio(attempt: Callable[[], str]) -> None:
    """Exchange a stream with a peer; ``attempt`` says what differs, or nothing.

    Peers do not say whether the machine kept them waiting until they lost packets, so one difference is repeated, with
    a warning; a second one is a failure.
    """
    differs = attempt()
    if differs:
        hiccup(differs)
        differs = attempt()
    assert not differs, differs
