"""The receiver against a slow, obviously right one: a set of frames, and counts of what is known to have happened."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph import Encoding, frame_at, time_of_frame
from phasegraph_aes67.receive.demultiplexer import Demultiplexer

CALM = settings(
    derandomize=True, deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
MS = 1_000_000
ADDRESSES = ("239.1.1.1", "239.1.2.1")
PACKETS = 120


class Way(msgspec.Struct, frozen=True):
    """What a network does on one leg."""

    loss: float
    burst: int
    doubled: float
    jitter_ns: int
    delay_ns: int


WAYS = st.builds(
    Way,
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.4]),
    burst=st.sampled_from([1, 1, 8, 40]),
    doubled=st.sampled_from([0.0, 0.05, 0.3]),
    jitter_ns=st.sampled_from([0, 200_000, 3 * MS, 10 * MS]),
    delay_ns=st.sampled_from([0, 300_000, 4 * MS, 30 * MS]),
)


class Oracle:
    """Knows every packet that came, by its number."""

    def __init__(self, stage: Any, legs: int) -> None:
        self.stage = stage
        self.numbers: list[list[int]] = [[] for _ in range(legs)]
        self.in_time: set[int] = set()
        """Frames that came before they sounded."""
        self.whole: set[int] = set()
        """Packets of which all did."""

    def come(self, leg: int, number: int, frame: int, frames: int, arrival_ns: int) -> None:
        receiver, rate = self.stage.receiver, self.stage.parameters.rate
        self.numbers[leg].append(number)
        reference_ns = self.stage.clock.now.reference_at(arrival_ns)
        sounded = frame_at(reference_ns, rate) - receiver.stream.playout_delay_frames
        if reference_ns - frame * 10**9 // rate <= receiver.link_offset_ns:
            sounded = frame - 1
            self.whole.add(number)
        self.in_time |= set(range(max(frame, sounded + 1), frame + frames))

    def figures(self) -> dict[str, int]:
        came = set().union(*self.numbers)
        doubled = sum(len(numbers) - len(set(numbers)) for numbers in self.numbers)
        received = len(came) if len(self.numbers) > 1 else len(self.numbers[0])
        first, head = min(self.in_time, default=0), max(self.in_time, default=-1) + 1
        gaps = sum(1 for frame in self.in_time if frame + 1 not in self.in_time) - 1 if self.in_time else 0
        return {
            "packets_received": received,
            "packets_lost": max(came, default=-1) - min(came, default=0) + 1 - len(came),
            "packets_duplicate": doubled,
            "packets_reordered": sum(map(overtaken, self.numbers)),
            "packets_late": len(came - self.whole),
            "frames_concealed": head - first - len(self.in_time),
            "gaps_concealed": gaps,
        }


def overtaken(numbers: list[int]) -> int:
    """How many packets came for the first time when a later one had come."""
    seen, count = Counter[int](), 0
    newest = -1
    for number in numbers:
        count += number < newest and not seen[number]
        seen[number] += 1
        newest = max(newest, number)
    return count


def deliveries(stage: Any, ways: list[Way], first: int, frames: int, random: np.random.Generator) -> list[Any]:
    """(arrival, leg, number) of every packet that a network delivers, in order."""
    arriving = []
    for leg, way in enumerate(ways):
        losing = 0
        for number in range(PACKETS):
            if not losing and random.random() < way.loss / way.burst:
                losing = way.burst
            copies = 0 if losing else 1 + (random.random() < way.doubled)
            losing -= losing > 0
            for _ in range(copies):
                late_ns = time_of_frame(frames, stage.parameters.rate) + way.delay_ns
                late_ns += int(random.integers(way.jitter_ns + 1))
                arriving.append((stage.arrival(first + number * frames, late_ns), leg, number))
    return sorted(arriving)


@CALM
@given(
    ways=st.lists(WAYS, min_size=1, max_size=2),
    rate=st.sampled_from([44_100, 48_000, 88_200, 96_000, 192_000]),
    frames=st.sampled_from([6, 12, 16, 48, 96]),
    link_offset_ms=st.sampled_from([2, 5, 20]),
    offset=st.integers(0, 2**32 - 1),
    before_wrap=st.none() | st.integers(0, PACKETS),
    sequence=st.integers(0, 2**16 - 1) | st.integers(2**16 - PACKETS, 2**16 - 1),
    most=st.sampled_from([1, 5, 40]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_heard_and_what_is_counted(
    make: Any, batch_of: Any, ways: list[Way], rate: int, frames: int, link_offset_ms: int, offset: int,
    before_wrap: int | None, sequence: int, most: int, seed: int
) -> None:  # fmt: skip
    stage = make(
        address=ADDRESSES[0],
        leg_b={"address": ADDRESSES[1]} if len(ways) > 1 else None,
        encoding=Encoding.L16,
        channels=1,
        rate=rate,
        frames_per_packet=frames,
        link_offset_ns=link_offset_ms * MS,
        mediaclk_offset=offset,
    )
    random = np.random.default_rng(seed)
    first = 1_790_000_000 * rate
    if before_wrap is not None:
        first += 2**32 - (first + offset) % 2**32 - before_wrap * frames
    demultiplexer, oracle = Demultiplexer(), Oracle(stage, len(ways))
    demultiplexer.set_routes(stage.routes)
    arriving = deliveries(stage, ways, first, frames, random)
    while arriving:
        count = int(random.integers(1, most + 1))
        lot, arriving = arriving[:count], arriving[count:]
        packets = []
        for arrival_ns, leg, number in lot:
            frame = first + number * frames
            oracle.come(leg, number, frame, frames, arrival_ns)
            extras: dict[str, Any] = {"first": 0x81, "between": bytes(4)} if random.random() < 0.02 else {}
            packet = stage.packet(frame, sequence=sequence + number, **extras)
            packets.append((packet, arrival_ns, ADDRESSES[leg]))
        demultiplexer.distribute(batch_of(packets))
    figures = stage.metrics()
    expected = oracle.figures()
    assert {name: figures[name] for name in expected} == expected
    out, _ = stage.read(first, PACKETS * frames)
    there = stage.receiver.stream.ring.valid(first, PACKETS * frames)
    assert {first + index for index in np.flatnonzero(there).tolist()} == oracle.in_time
    index = np.arange(first, first + PACKETS * frames)[:, None] * 7
    assert (out == np.where(there[:, None], stage.samples(index), 0)).all()
