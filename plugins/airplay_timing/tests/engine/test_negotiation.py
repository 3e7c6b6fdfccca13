"""Receivers that ask the leader for what it is to send them, and in how long a lease (IEEE 1588-2019, 16.1)."""

from __future__ import annotations

from phasegraph.ieee1588 import (
    AcknowledgeCancelUnicast,
    CancelUnicast,
    GrantUnicast,
    MessageType,
    OrganizationExtension,
    PortIdentity,
    RequestUnicast,
    Signaling,
    Sync,
    Tlv,
    TlvType,
    encode,
    understand,
)
from phasegraph_airplay_timing.engine import PtpEngine, SendDatagram, TimingEngine, TimingPeer, TimingRole
from phasegraph_airplay_timing.engine.leader import LEASE_S, MOST_ANSWERS
from phasegraph_airplay_timing.engine.timing_engine import ADOPTED_NS
from phasegraph_airplay_timing.wire import apple

S = 10**9
OWN = 0x02AA_0008
ASKER, ADDRESS = PortIdentity(0x0499_B9B7_E0F1_0008, 0x8005), "10.0.0.1"
KINDS = (MessageType.ANNOUNCE, MessageType.SYNC, MessageType.DELAY_RESP)


def asked(engine: TimingEngine, *tlvs: Tlv, now_ns: int = 0, address: str = ADDRESS) -> list[Signaling]:
    """What is answered."""
    engine.actions()
    message = Signaling(source=ASKER, sequence=7, major_sdo=1, target=PortIdentity(0, 0), tlvs=tlvs)
    engine.receive(encode(message), (address, 320), now_ns, now_ns)
    sent = [each for each in engine.actions() if isinstance(each, SendDatagram)]
    assert all((each.destination, each.event) == ((address, 320), False) for each in sent)
    answers = [apple.decode(each.data) for each in sent]
    return [each for each in answers if isinstance(each, Signaling)]


def request(kind: int, duration_s: int = 60) -> Tlv:
    return RequestUnicast(kind, -3, duration_s).to_tlv()


def leader(*peers: TimingPeer) -> PtpEngine:
    return PtpEngine(TimingRole.LEAD, OWN, peers, 0)


def led(engine: PtpEngine, now_ns: int) -> bool:
    """Whether the asker is sent Syncs."""
    engine.tick(now_ns)
    sent = [each for each in engine.actions() if isinstance(each, SendDatagram) and each.destination[0] == ADDRESS]
    return any(isinstance(apple.decode(each.data), Sync) for each in sent)


def test_a_leader_grants_what_it_sends_anyway() -> None:
    engine = leader(TimingPeer(ADDRESS, 319, 320))
    engine.tick(0)
    (answer,) = asked(engine, *map(request, KINDS))
    assert [understand(tlv) for tlv in answer.tlvs] == [GrantUnicast(kind, -3, 60, True) for kind in KINDS]
    assert (answer.target, answer.flags, answer.major_sdo) == (ASKER, 0x0408, 1)
    assert engine.counters["signaling"] == 1


def test_a_lease_has_an_end_and_what_is_not_sent_is_refused() -> None:
    engine = leader(TimingPeer(ADDRESS, 319, 320))
    engine.tick(0)
    (answer,) = asked(engine, request(MessageType.SYNC, 10**6), request(MessageType.PDELAY_RESP), request(15))
    assert [understand(tlv) for tlv in answer.tlvs] == [
        GrantUnicast(MessageType.SYNC, -3, LEASE_S, True),
        GrantUnicast(MessageType.PDELAY_RESP, -3, 0),
        GrantUnicast(15, -3, 0),
    ]


def test_a_follower_has_nothing_to_grant() -> None:
    engine = PtpEngine(TimingRole.FOLLOW, OWN, [TimingPeer(ADDRESS, 319, 320)], 0)
    (answer,) = asked(engine, request(MessageType.SYNC))
    assert [understand(tlv) for tlv in answer.tlvs] == [GrantUnicast(MessageType.SYNC, -3, 0)]


def test_who_only_listens_takes_part_as_long_as_it_was_granted() -> None:
    engine = leader()
    engine.tick(0)
    asked(engine, request(MessageType.SYNC, 60))
    assert led(engine, 59 * S)
    asked(engine, now_ns=59 * S)  # what else it says does not shorten it
    assert not led(engine, 60 * S + ADOPTED_NS)
    asked(engine, now_ns=100 * S)
    assert led(engine, 101 * S)
    assert not led(engine, 101 * S + ADOPTED_NS)


def test_what_is_cancelled_is_acknowledged() -> None:
    engine = leader()
    engine.tick(0)
    asked(engine, request(MessageType.SYNC, 60))
    (answer,) = asked(engine, CancelUnicast(MessageType.SYNC).to_tlv(), now_ns=S)
    assert [understand(tlv) for tlv in answer.tlvs] == [AcknowledgeCancelUnicast(MessageType.SYNC)]
    assert not led(engine, 2 * S + ADOPTED_NS)


def test_what_is_not_asked_is_not_answered() -> None:
    engine = leader(TimingPeer(ADDRESS, 319, 320))
    engine.tick(0)
    damaged = Tlv(TlvType.REQUEST_UNICAST_TRANSMISSION, b"\0\0")
    stop = OrganizationExtension(0x0080C2, 2, bytes.fromhex("7f7f7f000000")).to_tlv()
    assert asked(engine, stop, damaged) == []
    assert engine.counters["dropped_tlv"] == 1
    assert asked(engine, request(MessageType.SYNC), address="10.0.0.66") == []
    assert engine.counters["dropped_stranger"] == 1
    (answer,) = asked(engine, *[request(MessageType.SYNC)] * 60)
    assert len(answer.tlvs) == MOST_ANSWERS
