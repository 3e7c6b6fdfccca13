"""One stream's packets, made by hand, and a clock that says what it is told."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from phasegraph import ClockEstimate, ClockState, Encoding, Frames, Metric, time_of_frame
from phasegraph.net import PacketBatch, ipv4_number
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.receive.demultiplexer import Route
from phasegraph_aes67.receive.stream_receiver import ReceiverSettings, StreamReceiver

EPOCH_NS = 1_790_000_000_000_000_000
LOCAL_NS = 1_000_000_000_000
PERIOD = 60_000
"""Samples tell numbers below this."""


def samples_of(index: np.ndarray) -> Frames:
    """Samples that tell these numbers."""
    return ((index % PERIOD - PERIOD // 2) / 2.0**15).astype(np.float32)


@cache
def octets_of_samples(encoding: Encoding) -> np.ndarray:
    """Each of these samples as it is sent: encoded once, as tests send thousands of packets."""
    octets = np.frombuffer(encoding.encode(samples_of(np.arange(PERIOD)[:, None])).tobytes(), np.uint8)
    return octets.reshape(PERIOD, -1)


class Clock:
    """Reference time is local time and an epoch, unless it is told otherwise."""

    def __init__(self, rate_ppb: float = 0.0) -> None:
        self.now = ClockEstimate(local_ns=LOCAL_NS, reference_ns=EPOCH_NS, rate_ppb=rate_ppb, state=ClockState.LOCKED)

    def estimate(self) -> ClockEstimate:
        return self.now


class Setup:
    """A receiver of one stream, and packets for it."""

    def __init__(
        self,
        parameters: StreamParameters,
        *legs: StreamParameters,
        link_offset_ns: int,
        clock: Clock,
        relative: bool,
        may_run_free: bool,
    ) -> None:
        self.parameters = parameters
        self.clock = clock
        self.events: list[tuple[str, dict[str, Metric]]] = []
        settings = ReceiverSettings(
            clock=clock,
            link_offset_ns=link_offset_ns,
            may_run_free=may_run_free,
            emit=lambda name, fields: self.events.append((name, fields)),
        )
        self.receiver = StreamReceiver((parameters, *legs), settings, relative=relative)
        self.leg = self.receiver.legs[0]
        self.routes = [Route(self.receiver, leg) for leg in self.receiver.legs]
        self.quick = 0
        """Packets that went the quick way."""
        write_run = self.receiver.write_run

        def counting(leg, payloads, lateness_ns, arrival_ns):  # type: ignore[no-untyped-def]
            self.quick += len(payloads)
            write_run(leg, payloads, lateness_ns, arrival_ns)

        self.receiver.write_run = counting  # type: ignore[method-assign]

    def metrics(self) -> dict[str, Metric]:
        """The figures of the stream."""
        self.receiver.publish_figures()
        return self.receiver.figures.latest.metrics()

    def payload(self, frame: int, frames: int) -> bytes:
        """Samples that tell their frame's index."""
        index = np.arange(frame, frame + frames)[:, None] * 7 + np.arange(self.parameters.channels)
        return octets_of_samples(self.parameters.encoding)[index % PERIOD].tobytes()

    def samples(self, index: np.ndarray) -> Frames:
        return samples_of(index)

    def packet(
        self,
        frame: int,
        *,
        frames: int | None = None,
        sequence: int | None = None,
        ssrc: int = 0x1234,
        payload_type: int | None = None,
        first: int = 0x80,
        between: bytes = b"",
    ) -> bytes:
        """The packet whose first frame has this index."""
        parameters = self.parameters
        size = parameters.frames_per_packet or 48
        if sequence is None:
            sequence = frame // size
        timestamp = (frame + (parameters.mediaclk_offset or 0)) & 0xFFFFFFFF
        kind = parameters.payload_type if payload_type is None else payload_type
        header = struct.pack("!BBHII", first, kind, sequence & 0xFFFF, timestamp, ssrc)
        return header + between + self.payload(frame, size if frames is None else frames)

    def arrival(self, frame: int, late_ns: int = 0) -> int:
        """Local time so much after a frame's media time."""
        return self.clock.now.local_at(time_of_frame(frame, self.parameters.rate) + late_ns)

    def accept(self, packet: bytes, arrival_ns: int, *, leg: int = 0, source: int = 0, port: int = 0) -> None:
        row = np.full(1500, 0xAA, np.uint8)
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
        self.receiver.accept(self.receiver.legs[leg], row, len(packet), arrival_ns, source, port)

    def come(
        self,
        frames: Sequence[int],
        *,
        late_ns: int = 1_100_000,
        leg: int = 0,
        source: int = 0,
        port: int = 0,
        **how: int,
    ) -> None:
        """Packets arrive, each so much after its media time."""
        for frame in frames:
            packet = self.packet(frame, **how)  # type: ignore[arg-type]
            self.accept(packet, self.arrival(frame, late_ns), leg=leg, source=source, port=port)

    def counted(self) -> dict[str, Metric]:
        """The counters that are not zero."""
        metrics = self.metrics()
        return {name: value for name, value in metrics.items() if value and name.startswith(("packets", "frames"))}

    def read(self, frame: int, count: int) -> tuple[Frames, int]:
        out = np.empty((count, self.parameters.channels), np.float32)
        missing = self.receiver.stream.ring.read(frame, out)
        return out, missing

    def right(self, frame: int, count: int) -> bool:
        """Whether the ring has exactly what was sent."""
        out, missing = self.read(frame, count)
        index = np.arange(frame, frame + count)[:, None] * 7 + np.arange(self.parameters.channels)
        return missing == 0 and bool((out == self.samples(index)).all())


@pytest.fixture(scope="session")
def make() -> Callable[..., Setup]:
    def setup(
        *,
        link_offset_ns: int = 3_000_000,
        relative: bool = False,
        may_run_free: bool = False,
        clock: Clock | None = None,
        leg_b: dict[str, object] | None = None,
        **fields: object,
    ) -> Setup:
        defaults: dict[str, object] = {
            "address": "239.1.1.1",
            "encoding": Encoding.L24,
            "frames_per_packet": 48,
            "channels": 2,
        }
        parameters = StreamParameters(**{**defaults, **fields})  # type: ignore[arg-type]
        legs = () if leg_b is None else (msgspec.structs.replace(parameters, **leg_b),)
        return Setup(
            parameters,
            *legs,
            link_offset_ns=link_offset_ns,
            clock=clock or Clock(),
            relative=relative,
            may_run_free=may_run_free,
        )

    return setup


@pytest.fixture(scope="session")
def make_clock() -> type[Clock]:
    return Clock


@pytest.fixture
def stage(make: Callable[..., Setup]) -> Setup:
    return make()


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., PacketBatch]:
    """A batch of (packet, or None for one that was too long; arrival; destination; perhaps source, interface, port)."""

    def fill(packets: Sequence[tuple[Any, ...]], packet_bytes: int = 4096) -> PacketBatch:
        batch = PacketBatch(max(1, len(packets)), packet_bytes)
        batch.data[:] = 0xAA
        batch.count = len(packets)
        for row, (packet, arrival_ns, destination, *origin) in enumerate(packets):
            content = bytes(packet_bytes) if packet is None else packet
            batch.data[row, : len(content)] = np.frombuffer(content, np.uint8)
            batch.length[row] = -1 if packet is None else len(content)
            batch.arrival_ns[row] = arrival_ns
            batch.destination[row] = ipv4_number(destination)
            source = origin[0] if origin else 0
            batch.source[row] = ipv4_number(source) if isinstance(source, str) else source
            batch.interface[row] = origin[1] if len(origin) > 1 else 0
            batch.source_port[row] = origin[2] if len(origin) > 2 else 0
        return batch

    return fill
