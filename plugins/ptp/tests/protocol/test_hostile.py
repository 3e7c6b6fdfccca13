"""Whatever comes in, in whatever order: no exception, no message that does not fit the wire, no growth."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import StampKind
from phasegraph.ieee1588 import (
    ALL_PORTS,
    Announce,
    CancelUnicast,
    DelayReq,
    DelayResp,
    FollowUp,
    GrantUnicast,
    Management,
    Message,
    PathTrace,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    RequestUnicast,
    Signaling,
    Sync,
    Tlv,
    encode,
)
from phasegraph_ptp.protocol import (
    DelayMechanism,
    OrdinaryClock,
    PortRole,
    SendMessage,
    Settings,
    TimeProperties,
    Unicast,
)

from .bench import ESTIMATE, GM, MS, OTHER, US

SOURCES = (GM, OTHER, US, PortIdentity(GM.clock, 2))
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
BODIES: dict[type[Message], tuple[str, ...]] = {
    Announce: (
        "utc_offset_s",
        "priority1",
        "clock_class",
        "clock_accuracy",
        "clock_variance",
        "priority2",
        "grandmaster",
        "steps_removed",
        "time_source",
    ),
    Sync: ("origin_ns",),
    FollowUp: ("precise_origin_ns",),
    DelayReq: (),
    DelayResp: ("receive_ns", "requesting"),
    PDelayReq: (),
    PDelayResp: ("request_receipt_ns", "requesting"),
    PDelayRespFollowUp: ("response_origin_ns", "requesting"),
    Signaling: ("target",),
    Management: ("action",),
}


def hostile(random: Random, sequences: list[int]) -> Message:
    """A message that decodes: near enough to what is expected to get somewhere, with fields at their ends."""
    kind = random.choice(tuple(BODIES))
    octet = random.choice((0, 1, 6, 127, 128, 248, 255))
    time_ns = random.choice((0, 1, 1_795_000_000 * 10**9, 2**48 * 10**9 - 1))
    values: dict[str, Any] = {name: time_ns for name in BODIES[kind] if name.endswith("_ns")}
    values |= {name: octet for name in BODIES[kind] if name not in values}
    if kind is Announce:
        values |= {"grandmaster": random.choice(SOURCES).clock, "utc_offset_s": random.choice((-32768, 37))}
        values |= {"steps_removed": random.choice((0, 1, 254, 65535))}
    for name in {"requesting", "target"} & values.keys():
        values[name] = random.choice((US, US, ALL_PORTS, OTHER))
    if kind is Management:
        values["action"] = octet & 0xF
    raw = Tlv(random.choice((4, 5, 6, 7, 8, 0x77)), random.randbytes(2 * random.randrange(5)))
    log = random.choice((-128, -4, 0, 127))
    unicast_client = random.choice(
        (
            RequestUnicast(random.choice((0, 2, 9, 11, 15)), log, random.choice((0, 1, 2**32 - 1))).to_tlv(),
            GrantUnicast(random.choice((0, 9, 11)), log, random.choice((0, 1, 2**32 - 1))).to_tlv(),
            CancelUnicast(random.choice((0, 9, 11))).to_tlv(),
            PathTrace((GM.clock,)).to_tlv(),
            raw,
        )
    )
    return kind(
        source=random.choice(SOURCES[:2]) if random.random() < 0.9 else random.choice(SOURCES),
        sequence=random.choice((*sequences, random.randrange(4), random.randrange(0x10000))),
        flags=random.choice((0, 0x0008, 0x0208, 0x0608, 0xFFFF)),
        correction=random.choice((0, 0, 1, -(2**63), 2**63 - 1)),
        log_interval=random.choice((-128, -7, 0, 0, 1, 127)),
        tlvs=(unicast_client,) * random.choice((0, 0, 1, 64)),
        **values,
    )


CONFIGURATIONS = [
    Settings(
        role=role, delay_mechanism=mechanism, unicast=unicast, servers=ADDRESSES[:2], log_min_delay_req_interval=-4
    )
    for role in PortRole
    for mechanism, unicast in (
        (DelayMechanism.E2E, Unicast.OFF),
        (DelayMechanism.E2E, Unicast.HYBRID),
        (DelayMechanism.E2E, Unicast.NEGOTIATED),
        (DelayMechanism.P2P, Unicast.OFF),
    )
]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CONFIGURATIONS), st.integers(0, 2**32))
def test_anything(configuration: Settings, seed: int) -> None:
    random = Random(seed)
    clock = OrdinaryClock(configuration, identity=US, now_ns=0, random=Random(seed))
    clock.serve(ESTIMATE, TimeProperties())
    now_ns, tokens, sequences = 1000 * MS, [0], [0]
    for _ in range(600):
        now_ns += random.choice((0, 1, MS, 100 * MS, 1000 * MS, 10_000 * MS))
        match random.randrange(10):
            case 0 | 1:
                clock.tick(now_ns)
            case 2:
                clock.message_departed(random.choice(tokens), now_ns, StampKind.USER)
            case _:
                clock.handle_message(
                    hostile(random, sequences),
                    source=random.choice(ADDRESSES),
                    unicast=random.random() < 0.5,
                    local_ns=now_ns - random.choice((0, MS)),
                    stamp=StampKind.KERNEL,
                )
        for action in clock.actions():
            if isinstance(action, SendMessage):
                encode(action.message)
                sequences = [*sequences[-3:], action.message.sequence]
                tokens = [*tokens[-3:], action.token or 0]
        assert clock.data.port.state is clock.state
    # What it wants to do next it does, and then wants something later.
    for _ in range(20):
        now_ns = max(now_ns, min(clock.deadline_ns, 2**62))
        for _ in range(3):
            if clock.deadline_ns <= now_ns:
                clock.tick(now_ns)
        assert clock.deadline_ns > now_ns
    assert len(clock.counters) < 60
    assert len(clock._machine.foreign_masters) <= 16
    assert len(clock._port._departing) <= 1024
