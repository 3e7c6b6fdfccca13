"""The peer delay mechanism, both ends."""

from __future__ import annotations

import pytest

from phasegraph import StampKind
from phasegraph.ieee1588 import DelayResp, Flag, MessageType, PDelayReq, PDelayResp, PDelayRespFollowUp, PortIdentity
from phasegraph_ptp.measurements import PeerDelaySample
from phasegraph_ptp.protocol import DelayMechanism, Destination, PortState, Settings

from .bench import GM, MS, OTHER, US, Bench, S

NS = 1 << 16
T1, T2, T3, T4 = 10_000 * MS, 777_000, 877_000, 10_000 * MS + 150_000  # a link of 25 us, a turnaround of 100 us


def asking(**settings: object) -> tuple[Bench, int]:
    """One that has just asked, at T1, and the sequence of its question."""
    bench = Bench(Settings(delay_mechanism=DelayMechanism.P2P, log_min_pdelay_req_interval=8, **settings))
    bench.stamping = False
    while not bench.sent:
        bench.at(bench.clock.deadline_ns)
    send = bench.last(MessageType.PDELAY_REQ)
    assert send.destination is Destination.PEER
    assert send.event
    return bench, send.message.sequence


def response(sequence: int, **fields: object) -> PDelayResp:
    values = {"source": GM, "requesting": US, "request_receipt_ns": T2, "flags": Flag.TWO_STEP} | fields
    return PDelayResp(sequence=sequence, **values)


def follow_up(sequence: int, **fields: object) -> PDelayRespFollowUp:
    values = {"source": GM, "requesting": US, "response_origin_ns": T3} | fields
    return PDelayRespFollowUp(sequence=sequence, **values)


@pytest.mark.parametrize("order", ["stamp response follow_up", "follow_up response stamp", "response follow_up stamp"])
def test_two_step_in_any_order(order: str) -> None:
    bench, sequence = asking()
    for step in order.split():
        assert bench.samples == []
        if step == "stamp":
            bench.stamp(T1, StampKind.USER)
        elif step == "response":
            bench.receive(response(sequence, correction=3 * NS), at_ns=T4)
        else:
            bench.receive(follow_up(sequence, correction=7 * NS), at_ns=T4 + 9)
    assert bench.samples == [PeerDelaySample(local_ns=T4, delay_ns=25_000 - 5, stamp=StampKind.USER)]
    assert bench.clock.data.port.mean_link_delay_ns == 25_000 - 5


@pytest.mark.parametrize(
    ("answer", "second"),
    [
        ({"flags": 0, "request_receipt_ns": 0, "correction": 100_000 * NS}, None),
        ({"request_receipt_ns": 0}, {"response_origin_ns": 0, "correction": 100_000 * NS}),
    ],
    ids=["one step", "two steps, the turnaround in the correction"],
)
def test_other_ways_to_say_the_turnaround(answer: dict[str, int], second: dict[str, int] | None) -> None:
    bench, sequence = asking()
    bench.stamp(T1)
    bench.receive(response(sequence, **answer), at_ns=T4)
    if second is not None:
        bench.receive(follow_up(sequence, **second), at_ns=T4)
    assert [sample.delay_ns for sample in bench.samples] == [25_000]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (lambda n: [response(n, requesting=OTHER)], "not_for_us"),
        (lambda n: [response(n + 1 & 0xFFFF)], "pdelay_resp_unmatched"),
        (lambda n: [response(n), response(n)], "duplicate"),
        (lambda n: [response(n), follow_up(n, correction=-1001 * NS)], "correction_negative"),
        (lambda n: [response(n), follow_up(n, response_origin_ns=T2 + 3 * MS)], "pdelay_unlikely"),
        (lambda n: [response(n), follow_up(n, response_origin_ns=T2 - 3 * S)], "pdelay_unlikely"),
        (lambda n: [response(n), follow_up(n, source=OTHER)], "several_peers"),
    ],
)
def test_answers_that_do_not_count(answers: object, reason: str) -> None:
    bench, sequence = asking()
    bench.stamp(T1)
    assert callable(answers)
    for message in answers(sequence):
        bench.receive(message, at_ns=T4)
    assert bench.dropped(reason) == 1
    assert bench.samples == []


def test_several_answers_to_one_request_are_an_event() -> None:
    bench, sequence = asking()
    bench.stamp(T1)
    bench.receive(response(sequence), at_ns=T4)
    bench.receive(response(sequence, source=OTHER), at_ns=T4 + 10)
    bench.receive(follow_up(sequence), at_ns=T4 + 20)
    assert len(bench.samples) == 1
    [notice] = bench.told("several_peer_responders")
    assert (notice.fields["first"], notice.fields["second"]) == (str(GM), str(OTHER))


def test_the_follow_up_of_another_neighbour_that_comes_first() -> None:
    bench, sequence = asking()
    bench.stamp(T1)
    bench.receive(follow_up(sequence, source=OTHER, response_origin_ns=T2), at_ns=T4)
    bench.receive(response(sequence), at_ns=T4)
    assert bench.samples == []
    bench.receive(follow_up(sequence), at_ns=T4)
    assert [sample.delay_ns for sample in bench.samples] == [25_000]


def exchange(bench: Bench, at_ns: int, *, neighbor_ppm: float, turnaround_ns: int = 10 * MS) -> None:
    """One exchange over a link of 25 us, with a neighbour that runs fast."""

    def theirs(ns: int) -> int:
        return round(ns * (1 + neighbor_ppm * 1e-6))

    bench.at(at_ns)
    sequence = bench.last(MessageType.PDELAY_REQ).message.sequence
    bench.stamp(at_ns)
    arrived_ns, left_ns = at_ns + 25_000, at_ns + 25_000 + turnaround_ns
    bench.receive(response(sequence, request_receipt_ns=theirs(arrived_ns)), at_ns=left_ns + 25_000)
    bench.receive(follow_up(sequence, response_origin_ns=theirs(left_ns)), at_ns=left_ns + 30_000)


def test_the_neighbours_rate_is_taken_into_account() -> None:
    bench = Bench(Settings(delay_mechanism=DelayMechanism.P2P))
    bench.stamping = False
    for _ in range(20):
        exchange(bench, bench.clock.deadline_ns, neighbor_ppm=200.0)
    delays = [sample.delay_ns for sample in bench.samples]
    assert len(delays) == 20
    assert delays[0] == pytest.approx(25_000 - 1000, abs=2)  # 200 ppm of 10 ms, by half
    assert delays[-1] == pytest.approx(25_005, abs=2)  # in the neighbour's nanoseconds
    assert bench.clock.data.port.neighbor_rate_ratio == pytest.approx(1.0002, abs=1e-8)


def test_an_answer_of_ours() -> None:
    bench = Bench(Settings(delay_mechanism=DelayMechanism.P2P))
    bench.stamping = False
    bench.receive(PDelayReq(source=GM, sequence=5, correction=17), at_ns=T2)
    answer = bench.last(MessageType.PDELAY_RESP)
    assert answer.event
    assert answer.destination is Destination.PEER
    assert isinstance(answer.message, PDelayResp)
    assert (answer.message.sequence, answer.message.requesting, answer.message.two_step) == (5, GM, True)
    assert (answer.message.request_receipt_ns, answer.message.correction) == (T2, 0)
    bench.stamp(T3)
    second = bench.last(MessageType.PDELAY_RESP_FOLLOW_UP)
    assert not second.event
    assert isinstance(second.message, PDelayRespFollowUp)
    assert (second.message.sequence, second.message.requesting) == (5, GM)
    assert (second.message.response_origin_ns, second.message.correction) == (T3, 17)


def test_a_copy_of_a_question_is_not_answered_again() -> None:
    bench = Bench(Settings(delay_mechanism=DelayMechanism.P2P))
    for sequence in (5, 5, 6, 5):
        bench.receive(PDelayReq(source=GM, sequence=sequence))
    bench.receive(PDelayReq(source=OTHER, sequence=5))
    assert len(bench.all(MessageType.PDELAY_RESP)) == 3
    assert bench.dropped("duplicate") == 2


def test_a_unicast_question_has_a_unicast_answer() -> None:
    bench = Bench(Settings(delay_mechanism=DelayMechanism.P2P))
    bench.receive(PDelayReq(source=GM, sequence=5), source="10.0.0.9", unicast=True)
    for kind in (MessageType.PDELAY_RESP, MessageType.PDELAY_RESP_FOLLOW_UP):
        assert bench.last(kind).destination == "10.0.0.9"
        assert bench.last(kind).message.flags & Flag.UNICAST


def test_the_mechanisms_never_mix() -> None:
    peer = Bench(Settings(delay_mechanism=DelayMechanism.P2P))
    peer.now_ns = S
    peer.announced(log_interval=8)
    peer.carry_on(10)
    assert peer.all(MessageType.DELAY_REQ) == []
    assert peer.clock.state is PortState.SLAVE
    peer.receive(DelayResp(source=GM, sequence=1, receive_ns=0, requesting=US))
    end = Bench()
    end.receive(PDelayReq(source=GM, sequence=1))
    end.receive(response(1))
    end.receive(follow_up(1))
    assert end.sent == []
    assert (peer.dropped("mechanism"), end.dropped("mechanism")) == (1, 3)


def test_unanswered_questions_do_not_pile_up() -> None:
    bench = Bench(Settings(delay_mechanism=DelayMechanism.P2P, log_min_pdelay_req_interval=-4))
    bench.stamping = False
    bench.at(200 * S)
    asked = len(bench.all(MessageType.PDELAY_REQ))
    assert asked == pytest.approx(3200, rel=0.02)
    assert bench.clock._machine.peer is not None
    assert len(bench.clock._machine.peer._exchanges) == 4
    assert bench.clock.counters["missed_pdelay_resp"] == asked - 4
    # A flood of answers to nothing leaves nothing behind either.
    for sequence in range(0, 0x10000, 7):
        bench.receive(follow_up(sequence, source=PortIdentity(sequence, 1)))
    assert len(bench.clock._machine.peer._exchanges) == 4
