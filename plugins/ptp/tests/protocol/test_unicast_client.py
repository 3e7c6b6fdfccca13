"""Unicast unicast_client: each side by itself, against answers made by hand."""

from __future__ import annotations

import pytest

from phasegraph.ieee1588 import (
    ALL_PORTS,
    AcknowledgeCancelUnicast,
    CancelUnicast,
    DelayReq,
    GrantUnicast,
    Message,
    MessageType,
    RequestUnicast,
    Signaling,
    Tlv,
    TlvType,
    TypedTlv,
    understand,
)
from phasegraph_ptp.protocol import PortRole, PortState, Settings, Unicast

from .bench import GM, GM_ADDRESS, MS, US, Bench, S, announce

ANNOUNCE, SYNC, DELAY_RESP = MessageType.ANNOUNCE, MessageType.SYNC, MessageType.DELAY_RESP
OTHER_ADDRESS = "10.0.0.187"


def client(**settings: object) -> Bench:
    servers = (GM_ADDRESS, OTHER_ADDRESS)
    return Bench(Settings(unicast=Unicast.NEGOTIATED, servers=servers, log_min_delay_req_interval=-2, **settings))


def signal(
    bench: Bench, *tlvs: TypedTlv | Tlv, source: str = GM_ADDRESS, unicast: bool = True, **fields: object
) -> None:
    plain = tuple(tlv if isinstance(tlv, Tlv) else tlv.to_tlv() for tlv in tlvs)
    bench.receive(Signaling(**({"source": GM, "sequence": 1} | fields), tlvs=plain), source=source, unicast=unicast)


def signals(bench: Bench, kind: type[TypedTlv]) -> list[tuple[object, TypedTlv]]:
    """All TLVs of a kind that were sent, with their destinations."""
    result = []
    for send in bench.all(MessageType.SIGNALING):
        typed = [understand(tlv) for tlv in send.message.tlvs]
        result += [(send.destination, tlv) for tlv in typed if isinstance(tlv, kind)]
    return result


def grant(kind: MessageType, log_interval: int = 0, duration_s: int = 300) -> GrantUnicast:
    return GrantUnicast(kind, log_interval, duration_s)


def test_a_client_asks_every_server_for_announces_and_asks_again() -> None:
    bench = client(log_announce_interval=1, request_duration_s=60)
    bench.at(0)
    request = RequestUnicast(ANNOUNCE, 1, 60)
    assert signals(bench, RequestUnicast) == [(GM_ADDRESS, request), (OTHER_ADDRESS, request)]
    first = bench.all(MessageType.SIGNALING)[0].message
    assert isinstance(first, Signaling)
    assert first.target == ALL_PORTS
    bench.at(100 * S)
    # After 1, 2, 4, 8, 16 s, and every 16 s from then on.
    assert len(signals(bench, RequestUnicast)) == 2 * (1 + 5 + 4)


def test_a_grant_is_renewed_before_it_ends() -> None:
    bench = client()
    bench.at(0)
    signal(bench, grant(ANNOUNCE, duration_s=100))
    bench.sent.clear()
    bench.at(75 * S - 1)
    assert all(destination == OTHER_ADDRESS for destination, _ in signals(bench, RequestUnicast))
    bench.at(75 * S)
    assert signals(bench, RequestUnicast)[-1][0] == GM_ADDRESS


def follow(bench: Bench) -> None:
    """Announces are granted and come."""
    bench.at(0)
    signal(bench, grant(ANNOUNCE))
    for sequence in (1, 2):
        bench.at(bench.now_ns + S)
        bench.receive(announce(sequence=sequence, log_interval=8), unicast=True)
    bench.at(bench.now_ns)


def test_sync_and_delay_resp_are_asked_of_the_best_only() -> None:
    bench = client()
    follow(bench)
    assert bench.clock.state is PortState.UNCALIBRATED
    asked = [(where, tlv.message_type, tlv.log_interval) for where, tlv in signals(bench, RequestUnicast)[-2:]]  # type: ignore[attr-defined]
    assert asked == [(GM_ADDRESS, SYNC, -3), (GM_ADDRESS, DELAY_RESP, -2)]


def test_delay_is_asked_for_when_granted_and_as_often() -> None:
    bench = client()
    bench.answers, bench.answer = (lambda send: True), {"log_interval": 0x7F}
    follow(bench)
    signal(bench, grant(SYNC, -3))
    bench.carry_on(3)
    assert bench.all(MessageType.DELAY_REQ) == []
    signal(bench, grant(DELAY_RESP, 0, 20))
    bench.carry_on(15)
    asked = bench.all(MessageType.DELAY_REQ)
    assert {send.destination for send in asked} == {GM_ADDRESS}
    assert 8 < len(asked) < 24
    assert bench.clock.state is PortState.SLAVE
    bench.carry_on(10)  # it was not renewed
    asked_in_time = len(bench.all(MessageType.DELAY_REQ))
    bench.carry_on(10)
    assert len(bench.all(MessageType.DELAY_REQ)) == asked_in_time


def test_a_refusal_is_an_event_and_is_retried_later() -> None:
    bench = client()
    bench.at(0)
    signal(bench, grant(ANNOUNCE, duration_s=0))
    bench.sent.clear()
    assert bench.told("unicast_refused")[0].fields == {"address": GM_ADDRESS, "message": "ANNOUNCE"}
    bench.at(10 * S - 1)
    assert all(destination == OTHER_ADDRESS for destination, _ in signals(bench, RequestUnicast))
    bench.at(10 * S)
    assert signals(bench, RequestUnicast)[-1][0] == GM_ADDRESS


@pytest.mark.parametrize(
    ("source", "tlv"),
    [("10.6.6.6", grant(ANNOUNCE)), (GM_ADDRESS, grant(SYNC)), (GM_ADDRESS, GrantUnicast(0xF, 0, 300))],
)
def test_grants_that_were_not_requested(source: str, tlv: GrantUnicast) -> None:
    bench = client()
    bench.at(0)
    signal(bench, tlv, source=source)
    assert bench.dropped("grant_unasked") == 1


def test_a_server_that_cancels_is_answered_and_asked_again_later() -> None:
    bench = client()
    follow(bench)
    signal(bench, grant(SYNC, -3), grant(DELAY_RESP))
    signal(bench, CancelUnicast(DELAY_RESP, maintain_request=True))
    assert signals(bench, AcknowledgeCancelUnicast) == [
        (GM_ADDRESS, AcknowledgeCancelUnicast(DELAY_RESP, maintain_request=True))
    ]
    bench.sent.clear()
    bench.carry_on(9)
    assert bench.all(MessageType.DELAY_REQ) == []
    bench.carry_on(2)
    assert (GM_ADDRESS, RequestUnicast(DELAY_RESP, -2, 300)) in signals(bench, RequestUnicast)


@pytest.mark.parametrize("disabled", [True, False])
def test_a_server_that_is_left_gets_a_cancel(disabled: bool) -> None:
    bench = client()
    follow(bench)
    signal(bench, grant(SYNC, -3), grant(DELAY_RESP))
    if disabled:
        bench.clock.disable()
        bench.receive(announce())
    else:
        bench.at(bench.now_ns + 8 * S)  # no Sync: it is demoted
        assert bench.clock.state is PortState.LISTENING
    cancelled = [(where, tlv.message_type) for where, tlv in signals(bench, CancelUnicast)]  # type: ignore[attr-defined]
    assert set(cancelled) == {
        (GM_ADDRESS, kind) for kind in ((ANNOUNCE, SYNC, DELAY_RESP) if disabled else (SYNC, DELAY_RESP))
    }


def server(**settings: object) -> Bench:
    bench = Bench(Settings(role=PortRole.GRANDMASTER, unicast=Unicast.NEGOTIATED, **settings), serving=True)
    bench.at(20 * S)
    assert bench.clock.state is PortState.MASTER
    assert bench.sent == []
    return bench


def counted(bench: Bench, kind: MessageType, destination: str = GM_ADDRESS) -> int:
    return sum(send.destination == destination for send in bench.all(kind))


def test_a_server_sends_what_it_granted_until_it_ends() -> None:
    bench = server()
    signal(bench, RequestUnicast(ANNOUNCE, 0, 10), RequestUnicast(SYNC, -3, 10), RequestUnicast(DELAY_RESP, 0, 10))
    granted = [tlv for _, tlv in signals(bench, GrantUnicast)]
    assert granted == [GrantUnicast(kind, log, 10, True) for kind, log in ((ANNOUNCE, 0), (SYNC, -3), (DELAY_RESP, 0))]
    assert len(bench.all(MessageType.SIGNALING)) == 1  # one answer to one message
    bench.at(bench.now_ns + 60 * S)
    assert counted(bench, ANNOUNCE) == 10
    assert counted(bench, SYNC) == counted(bench, MessageType.FOLLOW_UP) == 80
    assert bench.last(ANNOUNCE).message.log_interval == 0
    assert bench.last(SYNC).message.log_interval == 0x7F
    assert bench.clock._machine.master is not None
    assert len(bench.clock._machine.master.unicast_master) == 0
    bench.receive(DelayReq(source=GM, sequence=3), unicast=True)
    assert bench.last(DELAY_RESP).destination == GM_ADDRESS


def test_a_renewal_does_not_disturb_the_rhythm() -> None:
    bench = server()
    for _ in range(40):
        signal(bench, RequestUnicast(SYNC, 0, 10))
        bench.at(bench.now_ns + 250 * MS)
    assert 10 <= counted(bench, SYNC) <= 11


@pytest.mark.parametrize(
    "request_tlv",
    [
        RequestUnicast(SYNC, -5, 10),  # too often
        RequestUnicast(SYNC, 127, 10),
        RequestUnicast(SYNC, 0, 0),
        RequestUnicast(MessageType.PDELAY_RESP, 0, 10),
        RequestUnicast(0xF, 0, 10),
    ],
)
def test_what_is_refused(request_tlv: RequestUnicast) -> None:
    bench = server()
    signal(bench, request_tlv)
    [(_, answer)] = signals(bench, GrantUnicast)
    assert isinstance(answer, GrantUnicast)
    assert answer.duration_s == 0
    assert bench.clock.counters["dropped_unicast_refused"] == 1


def test_only_a_master_grants() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY), serving=True)
    signal(bench, RequestUnicast(ANNOUNCE, 0, 10))
    assert signals(bench, GrantUnicast) == [(GM_ADDRESS, grant(ANNOUNCE, duration_s=0))]


def test_clients_and_durations_are_limited() -> None:
    bench = server(grant_clients=3, grant_duration_s=50)
    for number in range(5):
        for kind in (ANNOUNCE, SYNC):
            signal(bench, RequestUnicast(kind, 0, 100), source=f"10.0.1.{number}")
    granted = [tlv.duration_s for _, tlv in signals(bench, GrantUnicast)]  # type: ignore[attr-defined]
    assert granted == [50] * 6 + [0] * 4


def test_a_client_may_cancel() -> None:
    bench = server()
    signal(bench, RequestUnicast(SYNC, -3, 100))
    signal(bench, CancelUnicast(SYNC, maintain_grant=True))
    bench.sent.clear()
    bench.at(bench.now_ns + S)
    assert bench.sent == []


def test_a_master_that_steps_down_cancels_its_grants() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY), serving=True)
    bench.at(20 * S)
    signal(bench, RequestUnicast(SYNC, -3, 100))
    bench.announced(priority1=1)
    assert signals(bench, CancelUnicast) == [(GM_ADDRESS, CancelUnicast(SYNC, maintain_request=True))]


def test_signals_that_are_not_for_us() -> None:
    bench = server()
    signal(bench, RequestUnicast(SYNC, 0, 10), unicast=False)
    signal(bench, RequestUnicast(SYNC, 0, 10), target=GM)
    signal(bench, Tlv(0x7777, b"??"), Tlv(TlvType.REQUEST_UNICAST_TRANSMISSION, b""))
    assert bench.sent == []
    assert (bench.dropped("not_unicast"), bench.dropped("not_for_us"), bench.dropped("tlv")) == (1, 1, 1)


def test_a_flood_of_requests_is_limited() -> None:
    bench = server(answers_per_s=100)
    for _ in range(1000):
        signal(bench, RequestUnicast(SYNC, 0, 10))
    assert len(bench.all(MessageType.SIGNALING)) < 20
    assert bench.dropped("rate_limited") > 900


def test_every_answer_carries_our_identity_and_the_unicast_flag() -> None:
    bench = server(domain=3)
    signal(bench, RequestUnicast(SYNC, 0, 10), domain=3)
    answer: Message = bench.last(MessageType.SIGNALING).message
    assert isinstance(answer, Signaling)
    assert (answer.source, answer.target, answer.domain) == (US, GM, 3)
    assert answer.flags == 0x0400
