"""A batch of packets does exactly what the same packets do one by one, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph import Encoding
from phasegraph_aes67.receive.demultiplexer import Demultiplexer, expectation

CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
MS = 1_000_000
EXACT_PPB = 1e9 / 2**16
"""A rate (15 ppm) that floating point holds exactly, so that times are equal to the nanosecond."""
Arriving = tuple[bytes | None, int, str]


class Trouble(msgspec.Struct, frozen=True):
    """What happens to the packets of a stream, as a number of packets in a thousand."""

    lost: int = 0
    doubled: int = 0
    swapped: int = 0
    late: int = 0
    early: int = 0
    foreign: int = 0
    another_type: int = 0
    cut: int = 0
    too_long: int = 0
    odd: int = 0
    extras: int = 0
    jump: int = 0
    new_sender: int = 0
    stall: int = 0

    def draw(self, random: np.random.Generator) -> set[str]:
        drawn = random.integers(1000, size=len(self.__struct_fields__)).tolist()
        return {name for name, at in zip(self.__struct_fields__, drawn, strict=True) if at < getattr(self, name)}


class Plan(msgspec.Struct, frozen=True):
    """A stream: its format, where its time begins, and its troubles."""

    encoding: Encoding
    channels: int
    rate: int
    frames: int
    link_offset_ns: int
    offset: int | None
    before_wrap: int | None
    jitter_ns: int
    trouble: Trouble


RARE = st.sampled_from([0, 0, 0, 5, 50, 300])
VERY_RARE = st.sampled_from([0, 0, 0, 2, 10])
TROUBLES = st.builds(
    Trouble,
    **dict.fromkeys(("lost", "doubled", "swapped", "late", "early", "foreign", "another_type", "cut", "extras"), RARE),
    **dict.fromkeys(("odd", "too_long", "jump", "new_sender", "stall"), VERY_RARE),
)
PLANS = st.builds(
    Plan,
    encoding=st.sampled_from([Encoding.L16, Encoding.L24]),
    channels=st.integers(1, 8),
    rate=st.sampled_from([44_100, 48_000, 96_000]),
    frames=st.sampled_from([6, 16, 48]),
    link_offset_ns=st.sampled_from([0, MS, 3 * MS, 20 * MS]),
    offset=st.none() | st.integers(0, 2**32 - 1),
    before_wrap=st.none() | st.integers(0, 200),
    jitter_ns=st.sampled_from([0, 400_000, 3 * MS]),
    trouble=st.just(Trouble()) | TROUBLES,
)


def setup(make: Callable[..., Any], plan: Plan, number: int, clock: Any) -> Any:
    return make(
        address=f"239.1.1.{number}",
        encoding=plan.encoding,
        channels=plan.channels,
        rate=plan.rate,
        frames_per_packet=plan.frames,
        link_offset_ns=plan.link_offset_ns,
        relative=plan.offset is None,
        mediaclk_offset=plan.offset,
        clock=clock,
    )


def delay(happens: set[str], plan: Plan, random: np.random.Generator) -> int:
    """How much later than usual a packet comes, in ns."""
    swapped_ns = int(1.5e9 * plan.frames / plan.rate) if "swapped" in happens else 0
    return swapped_ns + (int(random.integers(30 * MS)) if "late" in happens else 0)


def spoiled(packet: bytes, happens: set[str], random: np.random.Generator) -> bytes | None:
    """The packet as it arrives; None for one that is too long."""
    if "cut" in happens:
        packet = packet[: int(random.integers(len(packet)))]
    return None if "too_long" in happens else packet


def sending(stage: Any, plan: Plan, count: int, random: np.random.Generator) -> Iterator[Arriving]:
    """What one sender and its troublesome network deliver."""
    address = stage.parameters.address
    frame = 1_790_000_000 * plan.rate // plan.frames * plan.frames
    if plan.before_wrap is not None:
        # The number of packets before the timestamp wraps.
        here = (frame + (plan.offset or 0)) % 2**32
        frame += 2**32 - here - plan.before_wrap * plan.frames
    number, ssrc, stalled = int(random.integers(2**16)), 1, 0
    for _ in range(count):
        happens = plan.trouble.draw(random)
        frames = int(random.integers(1, 2 * plan.frames)) if "odd" in happens else plan.frames
        late_ns = int(random.integers(plan.jitter_ns + 1)) + frames * 10**9 // plan.rate
        if "stall" in happens:
            stalled = 80
        stalled -= stalled > 0
        late_ns += 1_500 * MS * (stalled > 0) + delay(happens, plan, random)
        if "jump" in happens:
            number += int(random.integers(-6000, 6000))
        ssrc += "new_sender" in happens
        how: dict[str, Any] = {"sequence": number, "ssrc": ssrc, "frames": frames}
        if "extras" in happens:
            how |= {"first": 0x81, "between": bytes(4)}
        if "another_type" in happens:
            how["payload_type"] = 11
        shown = frame + (plan.rate // 3 if "early" in happens else 0)
        packet = spoiled(stage.packet(shown, **how), happens, random)
        at = stage.arrival(frame, late_ns)
        for _ in range(("lost" not in happens) + ("doubled" in happens)):
            yield packet, at, address
        for _ in range(int(random.integers(1, 8)) if "foreign" in happens else 0):
            yield stage.packet(frame, sequence=number, ssrc=0), at, address
        number += 1
        frame += frames


def state(stage: Any) -> dict[str, Any]:
    """Everything that a stream has become."""
    receiver = stage.receiver
    return {
        "metrics": stage.metrics(),
        "expectation": [expectation(route) for route in stage.routes],
        "events": stage.events,
        "last_arrival": receiver.last_arrival_ns(),
        "extent": (receiver.stream.first, receiver.stream.head),
        "senders": [(leg.sender, leg.rival, leg._restart_candidates) for leg in receiver.legs],
        "rivals": [{at: one.count for at, one in leg.rival_senders.items()} for leg in receiver.legs],
        "outside": (receiver._outside, receiver._jumped, [receiver.last_in_time_ns(leg) for leg in receiver.legs]),
    }


@settings(CALM, max_examples=60)
@given(
    plans=st.lists(PLANS, min_size=1, max_size=3),
    rate_ppb=st.sampled_from([0.0, EXACT_PPB, -EXACT_PPB]),
    two_clocks=st.booleans(),
    count=st.integers(1, 120),
    most=st.sampled_from([1, 7, 64]),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_a_batch_is_its_packets_one_by_one(
    make: Any, make_clock: Any, batch_of: Any, plans: list[Plan], rate_ppb: float, two_clocks: bool,
    count: int, most: int, seed: int
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    clocks = [make_clock(rate_ppb), make_clock(-rate_ppb) if two_clocks else None]
    together, singly = (
        [setup(make, plan, n, clocks[n % 2] or clocks[0]) for n, plan in enumerate(plans)] for _ in range(2)
    )
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes([route for stage in together for route in stage.routes])
    one_by_one = {stage.parameters.address: stage for stage in singly}
    arriving: list[Arriving] = [(b"not for us", stage.arrival(0), "239.0.0.1") for stage in singly]
    for stage, plan in zip(singly, plans, strict=True):
        arriving += sending(stage, plan, count, random)
    arriving.sort(key=lambda one: one[1])
    at = 0
    while at < len(arriving):
        lot = arriving[at : at + int(random.integers(1, most + 1))]
        at += len(lot)
        batch = batch_of(lot)
        demultiplexer.distribute(batch)
        for row, (_, arrival_ns, address) in enumerate(lot):
            if address in one_by_one:
                other = one_by_one[address]
                other.receiver.accept(other.leg, batch.data[row], int(batch.length[row]), arrival_ns)
        for stage, other in zip(together, singly, strict=True):
            assert state(stage) == state(other)
    assert demultiplexer.packets_unrouted == len(plans)
    for stage, other in zip(together, singly, strict=True):
        ring, expected = stage.receiver.stream.ring, other.receiver.stream.ring
        assert (ring._data == expected._data).all()
        assert (ring._lap == expected._lap).all()


@settings(CALM, max_examples=40)
@given(plan=PLANS, seed=st.integers(0, 2**32 - 1))
def test_a_stream_without_trouble_goes_the_quick_way(
    make: Any, make_clock: Any, batch_of: Any, plan: Plan, seed: int
) -> None:
    plan = msgspec.structs.replace(plan, trouble=Trouble(), jitter_ns=0, link_offset_ns=20 * MS)
    stage = setup(make, plan, 1, make_clock())
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(stage.routes)
    arriving = list(sending(stage, plan, 100, np.random.default_rng(seed)))
    demultiplexer.distribute(batch_of(arriving[:1]))
    for begin in range(1, 100, 11):
        demultiplexer.distribute(batch_of(arriving[begin : begin + 11]))
    assert stage.quick == 99
    assert stage.counted() == {"packets_received": 100}


@CALM
@given(
    packets=st.lists(
        st.tuples(
            st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x80\x62" + tail),
            st.integers(-(10**6), 10**12),
            st.sampled_from(["239.1.1.1", "239.1.1.2", "0.0.0.0", "255.255.255.255"]),
        ),
        max_size=50,
    )
)
def test_any_bytes_are_counted(make: Any, batch_of: Any, packets: list[tuple[bytes, int, str]]) -> None:
    one, other = make(address="239.1.1.1"), make(address="239.1.1.2", relative=True, mediaclk_offset=None)
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes([*one.routes, *other.routes])
    demultiplexer.distribute(batch_of(packets))
    counted = demultiplexer.packets_unrouted
    for stage in (one, other):
        figures = stage.metrics()
        counted += sum(figures[f"packets_{name}"] for name in ("received", "malformed", "foreign"))
        assert figures["frames_concealed"] >= 0
    assert counted == len(packets)
