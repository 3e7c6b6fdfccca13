"""What must not work: duplicates, guesses, strangers, other people's answers, noise."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph.ieee1588 import DelayResp, PDelayReq, PDelayResp, PortIdentity, encode
from phasegraph_airplay_timing.engine import (
    LeaderChanged,
    LeaderClock,
    PtpEngine,
    SampleTaken,
    SendDatagram,
    TimingPeer,
    TimingRole,
)
from phasegraph_airplay_timing.engine.ptp_engine import PORT
from phasegraph_airplay_timing.engine.timing_engine import MOST_ADOPTED
from phasegraph_airplay_timing.filters import DelayExchange, EnvelopeFilter, LeaderSync
from phasegraph_airplay_timing.wire import apple, compose

S, MS = 10**9, 10**6
OWN, LEADER, OTHER = 0x02AA_0008, 0x0499_B9B7_E0F1_0008, 0x0599_B9B7_E0F1_0008
HOME, AWAY = ("10.0.0.1", 461), ("10.0.0.66", 319)
US = PortIdentity(OWN, PORT)


class Follower:
    """An engine that follows, and what it does."""

    def __init__(self, peers: tuple[str, ...] = ("10.0.0.1",)) -> None:
        self.now = 1000 * S
        self.engine = PtpEngine(TimingRole.FOLLOW, OWN, [TimingPeer(each, 319, 320) for each in peers], self.now)
        self.done: list[object] = []
        for sequence in (1, 2):
            self.deliver(
                compose.announce(PortIdentity(LEADER, 0x8005), sequence, compose.AnnouncedDataset(grandmaster=LEADER))
            )

    def deliver(self, message: object, source: tuple[str, int] = HOME) -> None:
        self.handle_socket_item(encode(message), source)

    def handle_socket_item(self, data: bytes, source: tuple[str, int] = HOME) -> None:
        self.now += MS
        self.engine.receive(data, source, self.now, self.now)
        for action in self.engine.actions():
            self.done.append(action)
            if isinstance(action, SendDatagram) and action.token is not None:
                self.engine.departed(action.token, self.now)
        self.done += self.engine.actions()

    def sync(self, sequence: int, clock: int = LEADER, source: tuple[str, int] = HOME) -> None:
        self.now += 125 * MS
        origin = self.now + 77 * S
        self.deliver(compose.sync(PortIdentity(clock, 0x8005), sequence), source)
        self.deliver(compose.follow_up(PortIdentity(clock, 0x800C), sequence, origin), source)

    def answer(
        self, sequence: int, *, clock: int = LEADER, source: tuple[str, int] = HOME, to: PortIdentity = US
    ) -> None:
        request = compose.delay_req(to, sequence)
        self.deliver(compose.delay_resp(PortIdentity(clock, 0x8010), request, self.now + 77 * S), source)

    def measured(self, kind: type) -> int:
        return sum(isinstance(each, SampleTaken) and isinstance(each.sample, kind) for each in self.done)

    def dropped(self) -> dict[str, int]:
        return {name: n for name, n in self.engine.counters.items() if name.startswith("dropped")}


def test_the_ordinary_course() -> None:
    follower = Follower()
    follower.sync(1)
    follower.answer(1)
    assert (follower.measured(LeaderSync), follower.measured(DelayExchange)) == (1, 1)
    assert follower.dropped() == {}
    (request,) = [apple.decode(each.data) for each in follower.done if isinstance(each, SendDatagram)]
    assert (request.sequence, request.flags, request.major_sdo) == (1, 0x0608, 1)
    assert [each for each in follower.done if isinstance(each, LeaderChanged)] == [
        LeaderChanged("04-99-B9-B7-E0-F1-00-08")
    ]


def test_follow_up_before_sync() -> None:
    follower = Follower()
    follower.deliver(compose.follow_up(PortIdentity(LEADER, 0x800C), 9, follower.now + 77 * S))
    follower.deliver(compose.sync(PortIdentity(LEADER, 0x8005), 9))
    assert follower.measured(LeaderSync) == 1


def test_duplicates_are_dropped() -> None:
    follower = Follower()
    for _ in range(2):
        follower.sync(1)
    follower.answer(1)
    follower.answer(1)
    assert (follower.measured(LeaderSync), follower.measured(DelayExchange)) == (1, 1)
    assert follower.dropped() == {"dropped_duplicate": 2, "dropped_unasked": 1}


def test_guessed_sequence_numbers_are_dropped() -> None:
    follower = Follower()
    follower.sync(1)
    for sequence in (0, 2, 3, 65535):
        follower.answer(sequence)
    assert follower.measured(DelayExchange) == 0
    assert follower.dropped() == {"dropped_unasked": 4}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"clock": OTHER}, "other_leader"),
        ({"source": AWAY}, "stranger"),
        ({"to": PortIdentity(OWN, 1)}, "other_requester"),
        ({"to": PortIdentity(OTHER, PORT)}, "other_requester"),
    ],
)
def test_answers_of_others_and_to_others(how: dict[str, object], reason: str) -> None:
    follower = Follower()
    follower.sync(1)
    follower.answer(1, **how)
    assert follower.measured(DelayExchange) == 0
    assert follower.dropped() == {f"dropped_{reason}": 1}


def test_a_peer_cannot_speak_for_the_leader() -> None:
    follower = Follower(("10.0.0.1", "10.0.0.66"))
    follower.sync(1, source=AWAY)
    follower.answer(1, source=AWAY)
    follower.deliver(compose.announce(PortIdentity(LEADER, 1), 3, compose.AnnouncedDataset(0, grandmaster=OTHER)), AWAY)
    assert follower.measured(LeaderSync) == 0
    assert follower.dropped() == {"dropped_other_leader": 3, "dropped_address": 1}


def test_a_device_may_speak_from_its_address_of_the_other_family() -> None:
    # Phones open a session by IPv6 and send time by IPv4.
    follower = Follower(("fe80::7",))
    follower.deliver(compose.announce(PortIdentity(LEADER, 1), 3, compose.AnnouncedDataset(grandmaster=LEADER)))
    follower.sync(1)
    follower.answer(1)
    assert follower.measured(DelayExchange) == 1
    assert [each.destination for each in follower.done if isinstance(each, SendDatagram)] == [("10.0.0.1", 319)]
    assert not follower.engine.concerns("fe80::8")
    assert follower.dropped() == {}


def test_no_address_stands_in_for_a_peer_that_speaks_for_itself() -> None:
    follower = Follower(("fe80::7",))
    other = compose.announce(PortIdentity(OTHER, 1), 3, compose.AnnouncedDataset(grandmaster=OTHER))
    follower.deliver(other, ("fe80::7", 320))
    for sequence in range(3):
        follower.sync(sequence)
    assert follower.measured(LeaderSync) == 0
    assert follower.dropped() == {"dropped_stranger": 6}
    assert not follower.engine.concerns("10.0.0.1")


def test_halves_expire() -> None:
    follower = Follower()
    follower.deliver(compose.sync(PortIdentity(LEADER, 1), 5))
    follower.now += 2 * S
    follower.deliver(compose.follow_up(PortIdentity(LEADER, 1), 14, follower.now))
    follower.deliver(compose.follow_up(PortIdentity(LEADER, 1), 5, follower.now))
    assert follower.measured(LeaderSync) == 0
    assert follower.dropped() == {"dropped_unpaired": 2}


def test_a_clock_that_stands_still_tells_nothing() -> None:
    follower = Follower()
    for sequence in range(1, 6):
        follower.now += 125 * MS
        follower.deliver(compose.sync(PortIdentity(LEADER, 1), sequence))
        follower.deliver(compose.follow_up(PortIdentity(LEADER, 1), sequence, 555 * S))
    assert follower.measured(LeaderSync) == 1
    assert follower.dropped() == {"dropped_stopped": 4}
    follower.engine.tick(follower.now + 3 * S)
    sent = [
        apple.decode(each.data)
        for each in follower.engine.actions()
        if isinstance(each, SendDatagram) and not each.event
    ]
    assert [message.priority1 for message in sent] == [127]
    follower.engine.tick(follower.now + 3 * S + 151 * MS)
    sent = [
        apple.decode(each.data)
        for each in follower.engine.actions()
        if isinstance(each, SendDatagram) and not each.event
    ]
    assert [message.priority1 for message in sent] == [129]


def test_a_leader_that_pauses_is_asked_again_with_a_number_of_its_own() -> None:
    follower = Follower()
    follower.sync(1)
    began = follower.now
    asked = []
    while follower.now < began + 3 * S:
        follower.now += 10 * MS
        follower.engine.tick(follower.now)
        for action in follower.engine.actions():
            if isinstance(action, SendDatagram) and action.event:
                assert action.token is not None
                follower.engine.departed(action.token, follower.now)
                asked.append((round((follower.now - began) / MS, -2), apple.decode(action.data).sequence))
    assert asked == [(400, 0x8002), (800, 0x8003), (1200, 0x8004)]
    follower.now = began + 1_250 * MS
    follower.answer(0x8004)
    assert follower.measured(DelayExchange) == 0, "that question is long past"
    follower.sync(2)
    follower.now += 400 * MS
    follower.engine.tick(follower.now)
    (nudge,) = [each for each in follower.engine.actions() if isinstance(each, SendDatagram) and each.event]
    assert nudge.token is not None
    follower.engine.departed(nudge.token, follower.now)
    follower.answer(0x8003)
    assert follower.measured(DelayExchange) == 1


def test_a_flood_of_strangers_fills_no_memory() -> None:
    follower = Follower(())
    for number in range(300):
        source = (f"10.1.{number // 250}.{number % 250}", 320)
        data = compose.AnnouncedDataset(grandmaster=number + 1)
        follower.deliver(compose.announce(PortIdentity(number + 1, 1), 1, data), source)
    assert len(follower.engine.peers) <= MOST_ADOPTED
    assert follower.engine.follower is not None
    assert follower.engine.follower.leader.clock == LEADER
    for sequence in range(500):
        follower.deliver(compose.sync(PortIdentity(LEADER, 1), sequence))
    assert len(follower.done) < 20


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6))
def test_damaged_packets_never_raise(seed: int, damage: list[tuple[int, int]]) -> None:
    random = Random(seed)
    follower = Follower()
    follower.sync(1)
    port = PortIdentity(LEADER, 0x800C)
    wire = bytearray(
        encode(
            random.choice(
                [
                    compose.sync(port, 2),
                    compose.follow_up(port, 2, random.randrange(2**60)),
                    compose.delay_resp(port, compose.delay_req(US, 1), random.randrange(2**60)),
                    compose.announce(port, 3, compose.AnnouncedDataset(grandmaster=LEADER)),
                ]
            )
        )
    )
    for at, value in damage:
        wire[at % len(wire)] = value
    follower.handle_socket_item(bytes(wire[: random.randrange(len(wire) + 1)]))
    follower.handle_socket_item(bytes(wire))
    follower.engine.tick(follower.now)


def test_a_spoofed_time_among_good_ones_is_a_misfit() -> None:
    tracker = LeaderClock(EnvelopeFilter, silence_ns=2 * S, now_ns=0)
    tracker.set_leader("leader", own=False)
    for number in range(80):
        now = number * 125 * MS
        sync = LeaderSync(origin_ns=now + 77 * S, arrived_ns=now + MS, told_ns=now + MS)
        tracker.add_sample(sync)
        tracker.add_sample(DelayExchange(sync=sync, asked_ns=now + 2 * MS, reached_ns=now + 3 * MS + 77 * S))
        if number % 2:
            tracker.add_sample(LeaderSync(origin_ns=now + 500 * S, arrived_ns=now + 4 * MS, told_ns=now))
        tracker.publish(now + 4 * MS)
    assert tracker.misfits == 40
    assert tracker.estimate.discontinuities == 0
    assert abs(tracker.estimate.reference_at(10 * S) - 87 * S) < 10_000


def test_pdelay_is_answered() -> None:
    follower = Follower()
    follower.deliver(PDelayReq(source=PortIdentity(LEADER, 3), sequence=8, major_sdo=1))
    first, second = (apple.decode(each.data) for each in follower.done if isinstance(each, SendDatagram))
    assert isinstance(first, PDelayResp)
    assert (first.sequence, second.sequence, first.requesting) == (8, 8, PortIdentity(LEADER, 3))
    assert first.request_receipt_ns == follower.now == second.response_origin_ns


def test_a_leader_answers_with_the_time_of_arrival() -> None:
    engine = PtpEngine(TimingRole.LEAD, OWN, [TimingPeer("10.0.0.1", 319, 320)], 0)
    engine.tick(0)
    engine.actions()
    request = compose.delay_req(PortIdentity(LEADER, 1), 42)
    engine.receive(encode(request), HOME, 5 * S + 7, 5 * S + 9)
    (answer,) = engine.actions()
    assert isinstance(answer, SendDatagram)
    assert (answer.destination, answer.event) == (("10.0.0.1", 320), False)
    message = apple.decode(answer.data)
    assert isinstance(message, DelayResp)
    assert (message.sequence, message.receive_ns, message.requesting) == (42, 5 * S + 7, PortIdentity(LEADER, 1))
