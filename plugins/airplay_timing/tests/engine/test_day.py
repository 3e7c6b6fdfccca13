"""Hours, and a day, in which everything wraps that can: sequence numbers, 48.16 and 32.32 seconds."""

from __future__ import annotations

import pytest

from phasegraph import ClockState
from phasegraph.ieee1588 import PortIdentity, encode
from phasegraph_airplay_timing.engine import (
    CompactEngine,
    LeaderChanged,
    LeaderClock,
    NtpEngine,
    PtpEngine,
    SampleTaken,
    SendDatagram,
    TimingEngine,
    TimingPeer,
    TimingRole,
)
from phasegraph_airplay_timing.filters import EnvelopeFilter
from phasegraph_airplay_timing.wire import apple, compose

S, MS = 10**9, 10**6
HOURS, DAY, EVERY_NS = 4 * 3_600 * S, 24 * 3_600 * S, 20 * S
SPANS = (HOURS, pytest.param(DAY, marks=pytest.mark.slow))
DELAY_NS = 500_000
PPM = 25
LEADER, FOLLOWER = ("10.0.0.1", 7001), ("10.0.0.2", 7001)
WRAP = 2**32 * S


def theirs(true_ns: int, epoch_ns: int) -> int:
    """What the leader's clock shows."""
    return epoch_ns + true_ns + true_ns * PPM // 1_000_000


class Pair:
    """A leader and a follower, a fixed delay apart."""

    def __init__(self, leader: TimingEngine, follower: TimingEngine, epoch_ns: int) -> None:
        self.leader, self.follower = leader, follower
        self.epoch_ns = epoch_ns
        self.tracker = LeaderClock(EnvelopeFilter, silence_ns=30 * S, now_ns=0)
        self.worst_ns = 0

    def settle(self, now: int) -> int:
        """Let them talk until nothing is under way; returns when that is."""
        while True:
            answers = [(self.leader, self.follower, LEADER), (self.follower, self.leader, FOLLOWER)]
            quiet = True
            for speaker, hearer, source in answers:
                for action in speaker.actions():
                    quiet = False
                    if isinstance(action, SendDatagram):
                        if action.token is not None:
                            speaker.departed(action.token, self.local(speaker, now))
                        at = self.local(hearer, now + DELAY_NS)
                        hearer.receive(action.data, source, at, at)
                    elif isinstance(action, SampleTaken):
                        self.tracker.add_sample(action.sample)
                    elif isinstance(action, LeaderChanged) and speaker is self.follower:
                        self.tracker.set_leader(action.leader, own=action.own)
            if quiet:
                return now
            now += DELAY_NS

    def local(self, engine: TimingEngine, true_ns: int) -> int:
        return theirs(true_ns, self.epoch_ns) if engine is self.leader else true_ns

    def live(self, for_ns: int) -> None:
        for true_ns in range(0, for_ns, EVERY_NS):
            for engine in (self.leader, self.follower):
                engine.tick(self.local(engine, true_ns))
            now = self.settle(true_ns)
            estimate = self.tracker.publish(now)
            if estimate.state is ClockState.LOCKED:
                error = abs(estimate.reference_at(now) - theirs(now, self.epoch_ns))
                assert error <= estimate.bound_ns
                self.worst_ns = max(self.worst_ns, error)


@pytest.mark.parametrize("span_ns", SPANS)
@pytest.mark.parametrize("epoch_ns", [WRAP - HOURS // 2, 7 * S])
@pytest.mark.slow
def test_compact_seconds_wrap(epoch_ns: int, span_ns: int) -> None:
    peers = [[TimingPeer(*each, each[1])] for each in (FOLLOWER, LEADER)]
    leader = CompactEngine(TimingRole.LEAD, 1, peers[0], epoch_ns)
    pair = Pair(leader, CompactEngine(TimingRole.FOLLOW, 2, peers[1], 0), epoch_ns)
    pair.live(span_ns)
    assert pair.tracker.estimate.state is ClockState.LOCKED
    assert pair.tracker.estimate.discontinuities == 0
    assert pair.tracker.misfits == 0
    assert pair.worst_ns < 50_000


@pytest.mark.parametrize("span_ns", SPANS)
@pytest.mark.parametrize("epoch_ns", [WRAP - HOURS // 2, pytest.param(7 * S, marks=pytest.mark.slow)])
def test_ntp_seconds_wrap(epoch_ns: int, span_ns: int) -> None:
    peers = [[TimingPeer(*each, each[1])] for each in (FOLLOWER, LEADER)]
    pair = Pair(NtpEngine(TimingRole.LEAD, peers[0], epoch_ns), NtpEngine(TimingRole.FOLLOW, peers[1], 0), epoch_ns)
    pair.live(span_ns)
    assert pair.tracker.estimate.state is ClockState.LOCKED
    assert (pair.tracker.estimate.discontinuities, pair.tracker.misfits) == (0, 0)
    assert pair.worst_ns < 50_000


@pytest.mark.parametrize("span_ns", SPANS)
@pytest.mark.slow
def test_sequence_numbers_wrap_and_the_clock_goes_on(span_ns: int) -> None:
    port, us = PortIdentity(0x0499_B9B7_E0F1_0008, 0x800C), PortIdentity(2, 0x8008)
    engine = PtpEngine(TimingRole.FOLLOW, us.clock, [TimingPeer(LEADER[0], 319, 320)], 0)
    tracker = LeaderClock(EnvelopeFilter, silence_ns=30 * S, now_ns=0)
    sequence, worst = 65_000, 0
    for now in range(0, span_ns, EVERY_NS):
        sequence = (sequence + 1) % 2**16
        engine.receive(
            encode(compose.announce(port, sequence, compose.AnnouncedDataset(grandmaster=port.clock))), LEADER, now, now
        )
        sync, arrival = compose.sync(port, sequence), now + DELAY_NS
        engine.receive(encode(sync), LEADER, arrival, arrival)
        engine.receive(encode(compose.follow_up(port, sequence, theirs(now, 7 * S))), LEADER, arrival, arrival)
        for action in engine.actions():
            if isinstance(action, SendDatagram) and action.token is not None:
                engine.departed(action.token, arrival)
                request = apple.decode(action.data)
                assert request.sequence == sequence
                reached = theirs(arrival + DELAY_NS, 7 * S)
                answer = compose.delay_resp(port, request, reached)
                engine.receive(encode(answer), LEADER, arrival + 2 * DELAY_NS, arrival + 2 * DELAY_NS)
            elif isinstance(action, SampleTaken):
                tracker.add_sample(action.sample)
            elif isinstance(action, LeaderChanged):
                tracker.set_leader(action.leader, own=action.own)
        for action in engine.actions():
            assert isinstance(action, SampleTaken)
            tracker.add_sample(action.sample)
        estimate = tracker.publish(arrival + 2 * DELAY_NS)
        if estimate.state is ClockState.LOCKED:
            worst = max(worst, abs(estimate.reference_at(now) - theirs(now, 7 * S)))
    assert sequence < 65_000
    assert engine.counters["exchanges"] > span_ns // EVERY_NS - 40
    assert tracker.estimate.state is ClockState.LOCKED
    assert (tracker.estimate.discontinuities, tracker.misfits) == (0, 0)
    assert worst < 10_000
