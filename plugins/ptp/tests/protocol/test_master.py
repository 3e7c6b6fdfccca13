"""What a master sends, and what it answers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from phasegraph import ClockEstimate, StampKind
from phasegraph.ieee1588 import (
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    Management,
    Message,
    MessageType,
    PathTrace,
    PortIdentity,
    SmpteSynchronizationMetadata,
    Sync,
    decode,
    encode,
    understand,
)
from phasegraph_ptp.protocol import Destination, PortRole, PortState, Settings, TimeProperties

from .bench import ESTIMATE, GM, MS, US, Bench, S

METADATA = SmpteSynchronizationMetadata(frame_rate_numerator=25, frame_rate_denominator=1)


def master(**settings: object) -> Bench:
    """A grandmaster that has just become MASTER."""
    bench = Bench(Settings(role=PortRole.GRANDMASTER, **settings), serving=True)
    while bench.clock.state is not PortState.MASTER:
        bench.at(bench.clock.deadline_ns)
    return bench


def sent(bench: Bench, kind: type[Message]) -> list[Message]:
    return [send.message for send in bench.sent if isinstance(send.message, kind)]


@pytest.mark.parametrize("timeout", [2, 3, 10])
def test_it_waits_for_announces_first(timeout: int) -> None:
    settings = Settings(role=PortRole.GRANDMASTER, log_announce_interval=1, announce_receipt_timeout=timeout)
    bench = Bench(settings, serving=True)
    bench.at(2 * timeout * S - 1)
    assert bench.clock.state is PortState.LISTENING
    assert bench.sent == []
    bench.at(2 * (timeout + 1) * S)
    assert bench.clock.state is PortState.MASTER


def test_the_rhythm() -> None:
    bench = master(log_announce_interval=0, log_sync_interval=-2)
    bench.sent.clear()
    bench.at(bench.now_ns + 60 * S)
    assert len(sent(bench, Announce)) == 60
    assert len(sent(bench, Sync)) == len(sent(bench, FollowUp)) == 240
    for kind in (Announce, Sync, FollowUp):
        assert all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(sent(bench, kind)))
    assert {message.log_interval for message in sent(bench, Announce)} == {0}
    assert {message.log_interval for message in (*sent(bench, Sync), *sent(bench, FollowUp))} == {-2}
    assert {send.destination for send in bench.sent} == {Destination.PRIMARY}
    assert {send.message.type for send in bench.sent if send.event} == {MessageType.SYNC}


def test_after_a_pause_there_is_no_burst() -> None:
    bench = master()
    bench.at(bench.now_ns + S)
    bench.sent.clear()
    bench.now_ns += 30 * S
    bench.at(bench.now_ns)
    assert len(sent(bench, Sync)) == 1


def test_a_follow_up_has_the_time_when_its_sync_left() -> None:
    bench = master()
    bench.clock.serve(ClockEstimate(local_ns=0, reference_ns=7 * S, rate_ppb=1000.0), TimeProperties())
    bench.stamping = False
    bench.sent.clear()
    bench.at(bench.now_ns + 125 * MS)
    [sync] = sent(bench, Sync)
    assert sync.two_step
    assert not sent(bench, FollowUp)
    bench.stamp(100 * S, StampKind.USER)
    [follow_up] = sent(bench, FollowUp)
    assert isinstance(follow_up, FollowUp)
    assert follow_up.sequence == sync.sequence
    assert follow_up.precise_origin_ns == 107 * S + 100_000


def test_an_announce() -> None:
    properties = TimeProperties(
        utc_offset_s=36, utc_offset_valid=True, leap61=True, time_traceable=True, ptp_timescale=False, time_source=0x20
    )
    bench = master(
        priority1=1,
        priority2=2,
        clock_class=6,
        clock_accuracy=0x21,
        clock_variance=0x4E5D,
        domain=5,
        sdo=0x123,
        minor_version=1,
        path_trace=True,
    )
    bench.clock.serve(ESTIMATE, properties)
    bench.at(bench.now_ns + 2 * S)
    announce = sent(bench, Announce)[-1]
    assert decode(encode(announce)) == announce
    assert isinstance(announce, Announce)
    assert (announce.priority1, announce.clock_class, announce.clock_accuracy) == (1, 6, 0x21)
    assert (announce.clock_variance, announce.priority2, announce.grandmaster) == (0x4E5D, 2, US.clock)
    assert (announce.steps_removed, announce.utc_offset_s, announce.time_source) == (0, 36, 0x20)
    assert (announce.domain, announce.major_sdo, announce.minor_sdo, announce.minor_version) == (5, 1, 0x23, 1)
    assert announce.flags == Flag.UTC_OFFSET_VALID | Flag.LEAP_61 | Flag.TIME_TRACEABLE
    assert PathTrace.from_tlv(announce.tlvs[0]).clocks == (US.clock,)
    assert bench.clock.data.time_properties == properties
    assert TimeProperties.from_announce(announce) == properties


@pytest.mark.parametrize(
    ("unicast", "destination", "log_interval"), [(False, Destination.PRIMARY, 3), (True, "10.0.0.9", 0x7F)]
)
def test_an_answer_goes_the_way_the_question_came(unicast: bool, destination: object, log_interval: int) -> None:
    bench = master(log_min_delay_req_interval=3)
    request = DelayReq(source=GM, sequence=77, correction=-5)
    bench.receive(request, source="10.0.0.9", unicast=unicast, at_ns=100 * S + 7)
    send = bench.last(MessageType.DELAY_RESP)
    assert (send.destination, send.event) == (destination, False)
    answer = send.message
    assert isinstance(answer, DelayResp)
    assert (answer.sequence, answer.requesting, answer.correction) == (77, GM, -5)
    assert answer.receive_ns == ESTIMATE.reference_at(100 * S + 7)
    assert answer.log_interval == log_interval
    assert bool(answer.flags & Flag.UNICAST) is unicast


def test_only_a_master_answers() -> None:
    bench = Bench(Settings(role=PortRole.ORDINARY), serving=True)
    bench.receive(DelayReq(source=GM, sequence=1))
    assert bench.sent == []
    assert bench.dropped("not_master") == 1


def test_answers_are_limited_together_and_for_each() -> None:
    bench = master(answers_per_s=400)
    start_ns = bench.now_ns
    bench.sent.clear()
    for number in range(1000):
        bench.receive(DelayReq(source=GM, sequence=number), source="10.6.6.6", at_ns=start_ns + number * MS)
    greedy = len(sent(bench, DelayResp))
    assert greedy == pytest.approx(100 * 1.25, abs=2)  # a quarter of them in a second, and a burst
    for number in range(1000):
        source = f"10.{number % 200}.0.1"
        bench.receive(DelayReq(source=GM, sequence=number), source=source, at_ns=start_ns + S + number * MS)
    assert len(sent(bench, DelayResp)) - greedy == pytest.approx(400 * 1.25, abs=30)
    assert bench.dropped("rate_limited") == 2000 - len(sent(bench, DelayResp))


def test_the_memory_of_who_asked_is_bounded() -> None:
    bench = master()
    for number in range(5000):
        bench.receive(DelayReq(source=PortIdentity(number, 1), sequence=1), source=f"10.0.{number}")
    assert len(bench.clock._port.answers._due_of) <= 1024


def test_synchronization_metadata_once_a_second() -> None:
    bench = master(synchronization_metadata=METADATA)
    bench.sent.clear()
    bench.at(bench.now_ns + 10 * S)
    told = sent(bench, Management)
    assert len(told) == 10
    assert isinstance(told[0], Management)
    assert told[0].action == 3
    assert understand(told[0].tlvs[0]) == METADATA
    assert decode(encode(told[0])) == told[0]


def test_a_follower_keeps_its_grandmasters_metadata_only() -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced(log_interval=8)
    for source, rate in ((PortIdentity(0x77, 1), 30), (GM, 25)):
        tlv = SmpteSynchronizationMetadata(frame_rate_numerator=rate, frame_rate_denominator=1).to_tlv()
        bench.receive(Management(source=source, sequence=1, action=3, tlvs=(tlv,)))
    assert bench.clock.synchronization_metadata == METADATA


def test_stamps_of_syncs_that_never_come() -> None:
    bench = master(log_sync_interval=-7)
    bench.stamping = False
    bench.at(bench.now_ns + 60 * S)
    assert len(bench.clock._port._departing) == 1024
    assert bench.dropped("transmit_stamp_lost") > 5000
    bench.stamp(bench.now_ns)  # those that were forgotten are not missed
    assert len(sent(bench, FollowUp)) == 1024 + 1
