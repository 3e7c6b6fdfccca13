"""Delay request-response as a follower: when it asks, whose answers it takes, and what it makes of silence."""

from __future__ import annotations

from itertools import pairwise

import pytest

from phasegraph import StampKind
from phasegraph.ieee1588 import DelayResp, MessageType, PDelayResp, PortIdentity
from phasegraph_ptp.measurements import DelaySample
from phasegraph_ptp.protocol import Destination, PortState, SendMessage, Settings, Unicast
from phasegraph_ptp.protocol.delay_request import MISSES_BEFORE_FALLBACK
from phasegraph_ptp.protocol.mean_path_delay import MeanPathDelay

from .bench import GM, GM_ADDRESS, MS, OTHER, US, Bench, S

REQ = MessageType.DELAY_REQ
NS = 1 << 16


def follower(**settings: object) -> Bench:
    """Follows, and has had a Sync: it is about to ask."""
    bench = Bench(Settings(**settings))
    bench.now_ns = S
    bench.announced(log_interval=8)
    bench.synced(1)
    return bench


def always(send: SendMessage) -> bool:
    return True


def by_multicast(send: SendMessage) -> bool:
    return send.destination is Destination.PRIMARY


def test_nothing_is_asked_before_the_first_sync() -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced(log_interval=8)
    bench.at(3 * S)
    assert bench.all(REQ) == []
    bench.synced(1)
    bench.at(5 * S)
    assert bench.all(REQ)


def test_a_sample() -> None:
    bench = follower(asymmetry_ns=700)
    bench.at(3 * S)
    send = bench.last(REQ)
    assert send.destination is Destination.PRIMARY
    assert send.event
    sent_ns = bench.now_ns
    bench.now_ns += 2 * MS
    bench.receive(bench.delay_resp(send, receive_ns=12345, correction=9))
    sample = bench.samples[-1]
    assert isinstance(sample, DelaySample)
    assert sample.local_ns <= sent_ns
    assert (sample.reference_ns, sample.correction, sample.stamp) == (12345, 9 - 700 * NS, StampKind.KERNEL)
    assert bench.samples[0].correction == 700 * NS
    assert bench.clock.state is PortState.SLAVE


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"requesting": OTHER}, "not_for_us"),
        ({"requesting": PortIdentity(US.clock, 2)}, "not_for_us"),
        ({"source": OTHER}, "not_parent"),
        ({"source": PortIdentity(GM.clock, 2)}, "not_parent"),
        ({"domain": 3}, "domain"),
        ({"correction": -1001 * NS}, "correction_negative"),
        ({"correction": 10 * S * NS + 1}, "correction_huge"),
    ],
)
def test_answers_that_do_not_count(wrong: dict[str, object], reason: str) -> None:
    bench = follower()
    bench.at(3 * S)
    bench.receive(bench.delay_resp(bench.last(REQ), **wrong))
    assert bench.dropped(reason) == 1
    assert all(not isinstance(sample, DelaySample) for sample in bench.samples)


def test_an_answer_to_nothing_and_one_too_many() -> None:
    bench = follower()
    bench.at(3 * S)
    response = bench.delay_resp(bench.last(REQ))
    for sequence in (response.sequence + 1, response.sequence, response.sequence):
        bench.receive(DelayResp(source=GM, requesting=US, receive_ns=0, sequence=sequence & 0xFFFF))
    assert bench.dropped("delay_resp_unmatched") == 2
    assert sum(isinstance(sample, DelaySample) for sample in bench.samples) == 1


def test_a_peer_delay_answer_is_refused() -> None:
    bench = follower()
    bench.receive(PDelayResp(source=GM, sequence=1, request_receipt_ns=0, requesting=US))
    assert bench.dropped("mechanism") == 1


@pytest.mark.parametrize(
    ("delay_ms", "answer_ms", "late"), [(1, 99, False), (1, 101, True), (20, 399, False), (20, 401, True)]
)
def test_late_answers(delay_ms: int, answer_ms: int, late: bool) -> None:
    bench = follower()
    slave = bench.clock._machine.slave
    assert slave is not None
    slave.delay.add_delay(delay_ms * MS)
    bench.at(bench.clock.deadline_ns)
    bench.at(bench.now_ns + MS)
    bench.receive(bench.delay_resp(bench.last(REQ)), at_ns=bench.now_ns - MS + answer_ms * MS)
    assert len(bench.samples) == (1 if late else 2)
    assert bench.dropped("delay_resp_late") == late


@pytest.mark.parametrize(
    ("own", "stated", "expected_s"), [(0, -3, 1.0), (-3, 0, 1.0), (-3, 2, 4.0), (-2, 0x7F, 0.25), (-2, -100, 0.25)]
)
def test_no_faster_than_either_side_wants(own: int, stated: int, expected_s: float) -> None:
    bench = follower(log_min_delay_req_interval=own)
    bench.answers, bench.answer = always, {"log_interval": stated}
    bench.carry_on(60 * expected_s)
    departures = [sample.local_ns for sample in bench.samples if isinstance(sample, DelaySample)][2:]
    gaps = [(b - a) / S for a, b in pairwise(departures)]
    assert max(gaps) <= 2 * expected_s
    assert 0.7 * expected_s < sum(gaps) / len(gaps) < 1.3 * expected_s
    assert min(gaps) < 0.3 * expected_s < 1.7 * expected_s < max(gaps)  # they are random


def test_another_master_another_account() -> None:
    bench = follower()
    bench.at(3 * S)
    asked = bench.last(REQ)
    bench.announced(OTHER, priority1=1, log_interval=8)
    assert bench.clock.data.parent.port == OTHER
    # Neither the old master's answer nor a new one's to the old question is a measurement.
    bench.receive(bench.delay_resp(asked))
    bench.receive(bench.delay_resp(asked, source=OTHER))
    assert all(not isinstance(sample, DelaySample) for sample in bench.samples)
    assert (bench.dropped("not_parent"), bench.dropped("delay_resp_unmatched")) == (1, 1)


def test_a_stamp_may_come_after_the_answer() -> None:
    bench = follower()
    bench.stamping = False
    bench.at(2 * S)
    while not bench.unstamped:
        bench.at(bench.now_ns + MS)
    bench.receive(bench.delay_resp(bench.last(REQ)))
    assert all(not isinstance(sample, DelaySample) for sample in bench.samples)
    bench.stamp(bench.now_ns - 5, StampKind.USER)
    last = bench.samples[-1]
    assert isinstance(last, DelaySample)
    assert (last.local_ns, last.stamp) == (bench.now_ns - 5, StampKind.USER)


def test_a_stamp_that_comes_after_the_master_has_changed() -> None:
    bench = follower()
    bench.stamping = False
    while not bench.unstamped:
        bench.at(bench.now_ns + MS)
    bench.receive(bench.delay_resp(bench.last(REQ)))
    bench.announced(OTHER, priority1=1, log_interval=8)
    bench.stamp(bench.now_ns)
    assert all(not isinstance(sample, DelaySample) for sample in bench.samples)


def test_the_mean_delay_falls_quickly_and_rises_slowly() -> None:
    mean = MeanPathDelay()
    assert mean.patience_ns == S
    for delay_ns, expected_ns in ((16_000.0, 16_000.0), (32_000.0, 17_000.0), (1_000.0, 13_000.0), (-9_000.0, 9_750.0)):
        mean.add_delay(delay_ns)
        assert mean.ns == expected_ns


@pytest.mark.slow
def test_stamps_that_never_come_are_forgotten() -> None:
    bench = follower(log_min_delay_req_interval=-7)
    bench.stamping, bench.answers, bench.answer = False, always, {"log_interval": -7}
    bench.carry_on(60)
    machine, port = bench.clock._machine, bench.clock._port
    assert len(bench.unstamped) > 5000
    assert len(port._departing) <= 1024
    assert machine.slave is not None
    assert machine.slave.requester is not None
    assert len(machine.slave.requester._waiting) <= 256
    assert bench.dropped("transmit_stamp_lost") > 5000
    # The grandmaster is not to blame.
    assert bench.told("master_demoted") == []


def missed_until(bench: Bench, name: str, seconds: int) -> int:
    """How many Delay_Reqs were missed when the operator is told under a name; it has to come in time."""
    for _ in range(seconds):
        bench.carry_on(1)
        if bench.told(name):
            break
    assert bench.told(name)
    return bench.clock.counters["missed_delay_resp"]


def test_hybrid_asks_by_unicast_and_falls_back_after_three_misses() -> None:
    bench = follower(unicast=Unicast.HYBRID, log_min_delay_req_interval=-1)
    bench.answers = by_multicast
    assert missed_until(bench, "unicast_fallback", 20) >= MISSES_BEFORE_FALLBACK
    notice = bench.told("unicast_fallback")[0]
    assert notice.fields["address"] == GM_ADDRESS
    assert "another PTP daemon" in str(notice.fields["reason"])
    bench.carry_on(10)
    destinations = [send.destination for send in bench.all(REQ)]
    first_multicast = destinations.index(Destination.PRIMARY)
    assert set(destinations[:first_multicast]) == {GM_ADDRESS}
    assert MISSES_BEFORE_FALLBACK <= first_multicast <= MISSES_BEFORE_FALLBACK + 3  # some were under way
    assert set(destinations[first_multicast:]) == {Destination.PRIMARY}
    assert bench.clock.state is PortState.SLAVE
    assert len(bench.told("unicast_fallback")) == 1


@pytest.mark.slow
def test_hybrid_tries_again_later_less_and_less_often() -> None:
    bench = follower(unicast=Unicast.HYBRID)
    bench.answers = by_multicast
    bench.carry_on(600)
    # It fell back after a few seconds, and tried again after 60, 120 and 240 more.
    tried = [n for n, send in enumerate(bench.all(REQ)) if send.destination == GM_ADDRESS]
    assert len([n for n in tried if n > 20]) == 3
    assert bench.told("unicast_restored") == bench.told("master_demoted") == []
    bench.announced(log_interval=8)
    bench.answers, bench.answer = always, {"log_interval": 0x7F}
    bench.carry_on(500)
    assert len(bench.told("unicast_restored")) == 1
    assert bench.last(REQ).destination == GM_ADDRESS


def test_an_answer_by_multicast_to_a_unicast_question_is_an_answer() -> None:
    bench = follower(unicast=Unicast.HYBRID)
    bench.answers = always
    bench.carry_on(20)
    assert {send.destination for send in bench.all(REQ)} == {GM_ADDRESS}
    assert bench.told("unicast_fallback") == []
    assert bench.clock.state is PortState.SLAVE


def test_a_master_that_stops_answering_is_demoted() -> None:
    bench = follower()
    bench.answers = always
    bench.carry_on(20)
    assert bench.told("master_demoted") == []
    before = bench.clock.counters["missed_delay_resp"]
    bench.answers = lambda send: False
    assert missed_until(bench, "master_demoted", 40) - before > 4
    assert bench.clock.state is PortState.LISTENING
    assert "Delay_Resp" in str(bench.told("master_demoted")[0].fields["reason"])
