"""A group of streams in virtual time: a sender that remembers, and inputs that tell their frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from phasegraph import ClockEstimate, Encoding, Frames, StreamFormat
from phasegraph.net import SendBuffer
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.rtp import parse_header
from phasegraph_aes67.send.paced_stream import PacedStream, StreamGroup
from phasegraph_aes67.send.packetiser import Packetiser

EPOCH_NS = 1_790_000_000_000_000_000
LOCAL_NS = 1_000_000_000_000
ENDLESS = 1 << 60


class Time:
    """Local time that is set by hand, and a clock on it that can be stepped."""

    virtual = True

    def __init__(self, rate_ppb: float = 0.0) -> None:
        self.ns = LOCAL_NS
        self.clock = ClockEstimate(local_ns=LOCAL_NS, reference_ns=EPOCH_NS + 12_345_678, rate_ppb=rate_ppb)

    def now_ns(self) -> int:
        return self.ns

    def realtime_offset_ns(self) -> int:
        return 0

    def estimate(self) -> ClockEstimate:
        return self.clock

    def step(self, by_ns: int) -> None:
        self.clock = msgspec.structs.replace(self.clock, reference_ns=self.clock.reference_ns + by_ns)


class Sent(msgspec.Struct, frozen=True):
    """A packet that left."""

    at_ns: int
    packet: bytes
    stream: int

    @property
    def timestamp(self) -> int:
        return parse_header(self.packet).timestamp

    @property
    def sequence(self) -> int:
        return parse_header(self.packet).sequence


class FakeSender:
    """Remembers what it was given, and when; refuses when told."""

    def __init__(self, time: Time, why_not_scheduled: str = "it is a fake", room: int = 1000) -> None:
        self.time = time
        self.sent: list[Sent] = []
        self.refuse: set[int] = set()
        """Numbers of streams that the system refuses to send."""
        self.why_not_scheduled = why_not_scheduled
        """Empty where it holds packets until their time, as the interface's queue does."""
        self.room = room
        self.handed: list[tuple[int, int]] = []
        """When it was called, and with how many packets."""
        self.stalls_ns: list[int] = []
        """How long the next calls are held up before anything leaves."""

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        return SendBuffer(rows, packet_bytes, destinations)

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        refused = []
        self.handed.append((self.time.ns, count))
        if self.stalls_ns:
            self.time.ns += self.stalls_ns.pop(0)
        for row in range(first, first + count):
            stream = buffer.destinations[row][1]
            if stream in self.refuse:
                refused.append(row)
                continue
            packet = buffer.data[row, : buffer.length[row]].tobytes()
            at_ns = self.time.ns if self.why_not_scheduled else max(self.time.ns, int(buffer.departure_ns[row]))
            self.sent.append(Sent(at_ns, packet, stream))
        return refused

    def schedule(self, *, by_ring: bool = False) -> str:
        return self.why_not_scheduled

    def close(self) -> None:
        pass

    def of(self, stream: int) -> list[Sent]:
        return [sent for sent in self.sent if sent.stream == stream]


class FakeInput:
    """Sample n of it is n. One that follows gives its frames in sequence, as a file does; another by media time."""

    ready = True

    def __init__(self, length: int | None = None, *, follows: bool = True, end: int | None = None) -> None:
        self.format = StreamFormat(48_000, 1, Encoding.L24)
        self.can_read_ahead = follows
        self.head = ENDLESS if length is None else length
        """How many frames of one that follows have come."""
        self.ended = length is not None
        self.end = end
        """Media frame at which another one ends."""
        self.taken = 0
        self.reads: list[tuple[int, int]] = []

    def available(self, frame: int) -> int:
        return self.head - self.taken if self.can_read_ahead and not self.ended else ENDLESS

    def read(self, frame: int, out: Frames, local_ns: int) -> int:
        self.reads.append((frame, len(out)))
        if not self.can_read_ahead:
            out[:, 0] = np.arange(frame, frame + len(out)) % 2**23 / 2.0**23
            return len(out) if self.end is None else max(0, min(len(out), self.end - frame))
        there = min(len(out), self.head - self.taken)
        out[:there, 0] = np.arange(self.taken, self.taken + there) % 2**23 / 2.0**23
        out[there:] = 0.0
        self.taken += there
        return there if self.ended else len(out)


def content(sent: Sequence[Sent]) -> list[int]:
    """The first sample of every frame of these packets."""
    payload = b"".join(one.packet[12:] for one in sent)
    octets = np.frombuffer(payload, np.uint8).reshape(-1, 3)
    return (octets @ np.array([1 << 16, 1 << 8, 1])).tolist()


class Rig:
    """A group of senders whose time is driven by hand."""

    def __init__(
        self,
        inputs: Sequence[FakeInput],
        *,
        rate: int = 48_000,
        frames: int = 48,
        lead_ns: int = 1_000_000,
        rate_ppb: float = 0.0,
        max_early_ns: int = 0,
        room: int = 1000,
    ) -> None:
        self.time = Time(rate_ppb)
        self.sender = FakeSender(self.time, "" if max_early_ns else "it is a fake", room)
        self.rate = rate
        self.frames = frames
        self.lead_ns = lead_ns
        parameters = StreamParameters(address="239.1.1.1", rate=rate, channels=1, frames_per_packet=frames)
        self.streams = [
            PacedStream(Packetiser(parameters, n), source, ("239.1.1.1", n)) for n, source in enumerate(inputs)
        ]
        self.group = StreamGroup(self.streams, (self.sender,), self.time, self.time, lead_ns, max_early_ns)
        if max_early_ns:
            self.group.set_launch("")

    def run(self, steps: int, late_ns: Sequence[int] = ()) -> list[Sent]:
        """A number of steps, each when it is due, or as much later as is said. Returns what stream 0 sent meanwhile."""
        before = len(self.sender.of(0))
        for step in range(steps):
            if self.group.done:
                break
            late = late_ns[step] if step < len(late_ns) else 0
            self.time.ns = max(self.time.ns, self.group.due_ns()) + late
            self.group.send_due(self.time.ns)
            self.group.prepare(self.group.due_ns())
        return self.sender.of(0)[before:]

    def leave_out(self, seconds: float) -> None:
        """As if so much time had passed with every packet sent on time; what was ready is thrown away."""
        depth, schedule = self.group._store.depth, self.group.schedule
        schedule.advance_packets(round(seconds * self.rate / self.frames / depth) * depth, self.time.estimate())
        for stream in self.streams:
            stream.built = schedule.next_packet

    def due_of(self, sent: Sent) -> int:
        """When a packet should have left, from its timestamp alone."""
        now = self.time.clock.reference_at(sent.at_ns) * self.rate // 10**9
        frame = now + ((sent.timestamp - now + 2**31) % 2**32) - 2**31
        media_ns = -(-frame * 10**9 // self.rate)
        return self.time.clock.local_at(media_ns + self.lead_ns)


@pytest.fixture(scope="session")
def make_input() -> type[FakeInput]:
    return FakeInput


@pytest.fixture(scope="session")
def samples() -> Callable[[Sequence[Sent]], list[int]]:
    return content


@pytest.fixture(scope="session")
def rig() -> Callable[..., Rig]:
    def make(*inputs: FakeInput, **how: Any) -> Rig:
        return Rig(inputs or [FakeInput()], **how)

    return make
