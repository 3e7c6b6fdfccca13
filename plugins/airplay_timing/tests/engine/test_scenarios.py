"""What happens in a group, against the truth: jitter, sleep, hand-over, steps, rivals, silence."""

from __future__ import annotations

from itertools import pairwise

import pytest

from phasegraph import ClockState
from phasegraph.ieee1588 import Announce, DelayReq, Message, PortIdentity, Sync
from phasegraph_airplay_timing.anchors import Anchor, AnchorTimeline
from phasegraph_airplay_timing.engine import TimingRole
from phasegraph_airplay_timing.wire import compose

from ..simulated_group import MS, Look, Path, S, SimGroup, SimLeader, World

QUIET = Path(delay_ns=200_000, jitter_ns=10_000)
WIFI = Path(delay_ns=1_500_000, jitter_ns=5 * MS, loss=0.1)
LOST = Path(loss=1.0)
HOMEPOD, PHONE = 0x0499_B9B7_E0F1_0008, 0x5273_7EC2_E765_0008


def homepod(**options: object) -> SimLeader:
    return SimLeader(HOMEPOD, "10.0.0.1", epoch_ns=1_173_601 * S, ppm=-12.0, **options)


def phone(**options: object) -> SimLeader:
    return SimLeader(PHONE, "10.0.0.2", epoch_ns=40_000 * S, ppm=9.0, **options)


def group(*leaders: SimLeader, here: Path = QUIET, there: Path = QUIET, **options: object) -> SimGroup:
    options = {"filters": ("envelope",)} | options
    return SimGroup(leaders, here=here, there=there, ppm=18.0, **options)


def errors(looks: list[Look], after_s: float = 0.0) -> list[int]:
    """Of a filter's clock while it has one, in size order; the bound has to cover each."""
    found = []
    for look in looks:
        if look.error_ns is not None and look.true_ns >= after_s * S:
            assert abs(look.error_ns) <= look.estimate.bound_ns + 2, look
            found.append(abs(look.error_ns))
    assert found
    return sorted(found)


def locked_at(looks: list[Look], since_s: float = 0.0) -> float:
    return next(
        look.true_ns / S for look in looks if look.true_ns > since_s * S and look.estimate.state is ClockState.LOCKED
    )


class LateAnnounces(SimLeader):
    """Its first burst of Syncs is over when it announces itself."""

    def _announce(self, world: World) -> None:
        if world.now_ns > S:
            super()._announce(world)


@pytest.mark.parametrize(("name", "soonest_s", "latest_s"), [("envelope", 1.0, 2.2), ("median", 2.5, 6.0)])
def test_only_the_envelope_asks_before_the_first_sync(name: str, soonest_s: float, latest_s: float) -> None:
    world = group(LateAnnounces(HOMEPOD, "10.0.0.1", epoch_ns=1_173_601 * S), filters=(name,))
    world.run(7)
    first = next(look for look in world.looks[name] if look.error_ns is not None)
    assert soonest_s * S < first.true_ns < latest_s * S


@pytest.mark.slow
def test_a_quiet_network() -> None:
    world = group(homepod())
    world.run(60)
    looks = world.looks["envelope"]
    assert locked_at(looks) < 2.0
    nothing_known = [look.estimate for look in looks if not look.estimate.grandmaster]
    assert nothing_known
    assert all(estimate.bound_ns > 10**18 for estimate in nothing_known)
    assert {estimate.state for estimate in nothing_known} <= {ClockState.UNLOCKED, ClockState.ACQUIRING}
    assert errors(looks, locked_at(looks))[-1] < 100_000
    assert errors(looks, 20)[-1] < 2_000
    assert looks[-1].estimate.discontinuities == 0
    assert 170_000 < (looks[-1].estimate.path_delay_ns or 0) < 230_000
    assert abs(looks[-1].estimate.rate_ppb + 30_000) < 500
    assert world.notices == ["ready"]


@pytest.mark.parametrize("seed", range(1, 9))
def test_the_bound_is_below_a_millisecond_in_one_second(seed: int) -> None:
    """And below 100 us in three: where half of the round trip allows it, for the bound contains that."""
    wire = Path(delay_ns=40_000, jitter_ns=10_000)
    world = group(homepod(), here=wire, there=wire, seed=seed)
    first_s = None
    while first_s is None:
        world.run(0.01)
        first_s = world.now_ns / S if world.engine.candidates else None
    world.run(5)
    looks = world.looks["envelope"]
    errors(looks)  # the bound covers them
    for limit_ns, within_s in ((MS, 1.0), (MS // 10, 3.0)):
        assert next(look.true_ns / S for look in looks if look.estimate.bound_ns < limit_ns) - first_s < within_s
        assert max(look.estimate.bound_ns for look in looks if look.true_ns / S > first_s + within_s) < limit_ns


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.slow
def test_wifi_jitter_beside_nqptp_and_the_median(seed: int) -> None:
    world = group(homepod(), here=WIFI, there=WIFI, seed=seed, filters=("envelope", "median", "nqptp"))
    world.run(60)
    ours, median, nqptp = (errors(world.looks[name], 10) for name in ("envelope", "median", "nqptp"))
    assert errors(world.looks["envelope"], locked_at(world.looks["envelope"]))[-1] < 1 * MS
    for share in (0.5, 0.95):
        at = int(share * len(ours))
        assert 10 * ours[at] < nqptp[at]
        assert ours[at] < median[at]


@pytest.mark.slow
def test_an_asymmetric_path_is_covered_by_the_bound() -> None:
    world = group(homepod(), here=WIFI, there=Path(delay_ns=3_000_000, jitter_ns=5 * MS, loss=0.1))
    world.run(60)
    looks = world.looks["envelope"]
    assert errors(looks, 20)[-1] < 1 * MS  # three quarters of a millisecond are the asymmetry's


class AskedLeader(SimLeader):
    """Notes when each Delay_Req came."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__(HOMEPOD, "10.0.0.1", epoch_ns=1_173_601 * S, ppm=-12.0, answers=answers)
        self.asked_ns: list[int] = []

    def receive(self, message: Message, world: World) -> None:
        """See `SimLeader.receive`."""
        if isinstance(message, DelayReq):
            self.asked_ns.append(world.now_ns)
        super().receive(message, world)

    def asked_between(self, begin_s: int, end_s: int) -> int:
        """How many came in a span."""
        return sum(begin_s * S <= asked_ns < end_s * S for asked_ns in self.asked_ns)


@pytest.mark.slow
def test_a_new_leader_is_asked_three_times_for_each_sync_for_twenty_seconds() -> None:
    leader = AskedLeader()
    world = group(leader)
    world.run(40)
    assert 20 * 10 <= leader.asked_between(5, 15) <= 24 * 10
    assert 7 * 10 <= leader.asked_between(25, 35) <= 8 * 10 + 1
    assert not world.engine.one_way


@pytest.mark.parametrize("name", ["median", "nqptp"])
def test_filters_that_do_not_gain_from_more_requests_ask_once_for_each_sync(name: str) -> None:
    leader = AskedLeader()
    world = group(leader, filters=(name,))
    world.run(16)
    assert 7 * 10 <= leader.asked_between(5, 15) <= 8 * 10 + 1


def test_one_that_does_not_answer_is_not_asked_more_often() -> None:
    leader = AskedLeader(answers=False)
    world = group(leader)
    world.run(20)
    assert leader.asked_between(5, 15) <= 11
    assert world.engine.one_way


@pytest.mark.slow
def test_bursts_go_on_as_long_as_they_are_answered() -> None:
    world = group(homepod())
    world.run(20)
    assert world.engine.counters["syncs"] > 8 * 18
    assert world.engine.counters["wake_ups"] == 0


def test_a_leader_whose_syncs_were_over_before_its_announce_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Announces get lost too: those of 0.7 s here, in which the first burst ends."""
    world = group(homepod())
    send = world.to_follower

    def lossy(leader: SimLeader, message: Message) -> None:
        if not isinstance(message, Announce) or world.now_ns > 700 * MS:
            send(leader, message)

    monkeypatch.setattr(world, "to_follower", lossy)
    world.run(2.0)
    assert next(look.true_ns for look in world.looks["envelope"] if look.estimate.grandmaster) < 1.7 * S
    assert world.engine.counters["wake_ups"] == 0


@pytest.mark.slow
def test_a_leader_that_sleeps_is_woken_but_not_pestered() -> None:
    leader = homepod()
    world = group(leader)
    world.run(20)
    leader.sleep()
    world.run(2.5)
    before = world.engine.counters["syncs"]
    assert world.engine.counters["wake_ups"] >= 1
    world.run(3)
    assert world.engine.counters["syncs"] > before + 15
    leader.present = False
    world.run(30)
    assert 4 <= world.engine.counters["wake_ups"] <= 10
    assert world.looks["envelope"][-1].estimate.state is ClockState.HOLDOVER
    errors(world.looks["envelope"])


@pytest.mark.parametrize("priority1", [248, 246, 250])
@pytest.mark.slow
def test_a_phone_leaves_and_another_takes_over(priority1: int) -> None:
    first, second = homepod(), phone(priority1=priority1)
    second.present = False
    world = group(first, second, here=WIFI, there=WIFI)
    world.run(60)
    first.present, second.present = False, True
    world.run(60)
    looks = world.looks["envelope"]
    errors(looks)  # of whichever leader is published
    names = [name for name, after in pairwise(look.estimate.grandmaster for look in looks) if name != after]
    assert [name for name in names if name] == [first.name]
    assert looks[-1].estimate.grandmaster == second.name
    locked = next(look.estimate for look in looks if look.estimate.state is ClockState.LOCKED)
    assert looks[-1].estimate.discontinuities == locked.discontinuities + 1
    between = [
        look.estimate.state for look in looks if look.true_ns > 63 * S and look.estimate.grandmaster == first.name
    ]
    assert set(between) <= {ClockState.HOLDOVER}
    assert locked_at([look for look in looks if look.estimate.grandmaster == second.name], 60) < 75


@pytest.mark.slow
def test_what_sounds_goes_on_when_the_leader_changes() -> None:
    first, second = homepod(), phone()
    second.present = False
    world = group(first, second, here=WIFI, there=WIFI)
    world.run(60)
    begun = len(world.looks["envelope"])
    first.present, second.present = False, True
    world.run(60)
    looks = world.looks["envelope"][begun - 1 :]
    timeline = AnchorTimeline(44_100)
    timeline.clock(looks[0].estimate, looks[0].estimate.local_ns)
    timeline.set(Anchor(rtp=2**32 - 44_100 * 30, reference_ns=looks[0].estimate.reference_ns, clock=first.name))
    heard = []
    for look in looks:
        local_ns = look.estimate.local_ns
        timeline.clock(look.estimate, local_ns)
        frame = timeline.rtp_at(local_ns)
        assert frame is not None
        heard.append((local_ns, frame))
    assert timeline.rebased == 1
    for (before_ns, before), (after_ns, after) in pairwise(heard):
        frames = (after - before) % 2**32
        assert abs(frames - (after_ns - before_ns) * 44_100 / S) < 3  # 68 us: a slew, and no jump


@pytest.mark.slow
def test_two_leaders_do_not_flap() -> None:
    first, second = homepod(), phone()
    world = group(first, second, here=WIFI, there=WIFI)
    world.run(60)
    assert len(world.followed) <= 2  # the better one may have been heard second
    assert world.followed[-1] == first.name  # its identity is the lesser one
    assert world.looks["envelope"][-1].estimate.discontinuities <= 1


@pytest.mark.slow
def test_a_step_of_the_leaders_time_is_followed_and_counted() -> None:
    leader = homepod()
    world = group(leader)
    world.run(20)
    leader.epoch_ns += 700 * MS
    world.run(2)
    looks = world.looks["envelope"]
    assert looks[-1].estimate.discontinuities == 1
    world.run(20)
    assert errors([look for look in looks if look.true_ns > 22 * S])[-1] < 100_000
    assert looks[-1].estimate.state is ClockState.LOCKED
    assert looks[-1].estimate.discontinuities == 1


@pytest.mark.parametrize("name", ["envelope", "median"])
@pytest.mark.parametrize("years", [56, -0.03])
def test_a_first_time_of_another_epoch_poisons_nothing(name: str, years: float) -> None:
    leader = homepod()
    far_ns = round(years * 31_556_952) * S
    leader.epoch_ns += far_ns
    world = group(leader, filters=(name,))
    while not world.engine.counters["syncs"]:
        world.run(0.01)
    leader.epoch_ns -= far_ns
    world.run(2)
    looks = world.looks[name]
    assert locked_at(looks) < 2.5
    assert errors([look for look in looks if look.estimate.state is ClockState.LOCKED])[-1] < 100_000
    assert looks[-1].estimate.discontinuities == 0


def test_a_rejected_first_exchange_calibrates_nothing() -> None:
    leader = homepod()
    world = group(leader, here=Path(delay_ns=150 * MS), there=Path(delay_ns=150 * MS))
    world.run(2)
    assert world.engine.counters["dropped_round_trip"] > 0
    assert world.engine.counters["exchanges"] == 0
    assert world.looks["envelope"][-1].estimate.state is not ClockState.LOCKED
    world.here = world.there = QUIET
    world.run(10)
    looks = world.looks["envelope"]
    assert looks[-1].estimate.state is ClockState.LOCKED
    assert abs(looks[-1].error_ns or 0) < 100_000


def test_a_leader_that_does_not_answer() -> None:
    leader = homepod(answers=False)
    world = group(leader, here=WIFI, there=QUIET)
    world.run(20)
    looks = world.looks["envelope"]
    assert world.notices == ["one_way"]
    assert world.engine.one_way
    assert {look.estimate.state for look in looks} <= {ClockState.UNLOCKED, ClockState.ACQUIRING}
    assert errors(looks)[-1] < 20 * MS
    leader.answers = True
    world.run(10)
    assert world.notices[:2] == ["one_way", "two_way"]
    assert looks[-1].estimate.state is ClockState.LOCKED
    assert errors(looks, 28)[-1] < 1 * MS


def test_sequence_numbers_wrap() -> None:
    leader = homepod()
    leader.sequence = 65_530
    world = group(leader)
    world.run(10)
    assert leader.sequence < 200
    assert world.looks["envelope"][-1].estimate.state is ClockState.LOCKED
    dropped = {name for name, count in world.engine.counters.items() if name.startswith("dropped") and count > 1}
    assert dropped <= {"dropped_other_leader"}


def test_auto_leads_until_somebody_insists() -> None:
    leader = homepod()
    leader.present = False
    world = group(leader, role=TimingRole.AUTO)
    world.run(5)
    assert world.engine.leads
    assert world.looks["envelope"][-1].estimate.state is ClockState.LOCKED
    leader.present = True
    world.run(10)
    assert not world.engine.leads
    assert world.looks["envelope"][-1].estimate.grandmaster == leader.name
    leader.present = False
    world.run(20)
    assert world.engine.leads
    assert len(world.followed) == 3
    errors(world.looks["envelope"])


class InsistentHomePod(SimLeader):
    """A HomePod of OS 27 on its own: leads once no other clock has been offered for 2 s, and never follows."""

    def __init__(self, *, grouped: bool = False) -> None:
        super().__init__(HOMEPOD, "10.0.0.1", epoch_ns=1_173_601 * S)
        self.grouped = grouped
        self.silences: list[float] = []
        self._announces = 0
        self._offered_ns = -60 * S
        self._announced_ns = -60 * S

    def receive(self, message: Message, world: World) -> None:
        if isinstance(message, Announce | Sync) and message.source.clock != self.data.grandmaster:
            if self._offered_ns >= 0 and world.now_ns - self._offered_ns > S // 2:
                self.silences.append((world.now_ns - self._offered_ns) / S)
            self._offered_ns = world.now_ns
            if isinstance(message, Sync) and self.grouped:
                world.to_follower(
                    self, compose.delay_req(PortIdentity(self.data.grandmaster, 0x8005), message.sequence)
                )
        super().receive(message, world)

    def _announce(self, world: World) -> None:
        pause_ns = 20 * S if world.now_ns - self._offered_ns < 2 * S else S // 4
        if self.grouped and self._announces >= 3:
            return
        if self.present and (self.grouped or world.now_ns - self._announced_ns >= pause_ns):
            self._announces += 1
            self._announced_ns = world.now_ns
            super()._announce(world)

    def _sync(self, world: World) -> None:
        if not self.grouped and world.now_ns - self._offered_ns >= 2 * S:
            self._left = 4
            super()._sync(world)


def test_auto_gives_way_to_a_homepod_that_waits_to_lead() -> None:
    leader = InsistentHomePod()
    leader.present = False
    world = group(leader, role=TimingRole.AUTO)
    world.run(10)
    assert world.engine.leads
    leader.present = True
    world.run(30)
    assert "yielding" in world.notices
    assert not world.engine.leads
    assert world.looks["envelope"][-1].estimate.grandmaster == leader.name
    errors(world.looks["envelope"])


@pytest.mark.slow
def test_auto_is_silent_once_for_a_clock_that_only_announces_itself() -> None:
    leader = InsistentHomePod()
    leader._sync = lambda world: None  # type: ignore[method-assign]
    world = group(leader, role=TimingRole.AUTO)
    world.run(200)
    assert world.engine.leads
    assert world.notices.count("yielding") == 1
    assert len(leader.silences) == 1


def test_auto_leads_on_without_a_pause_where_a_homepod_follows() -> None:
    leader = InsistentHomePod(grouped=True)
    leader.present = False
    world = group(leader, role=TimingRole.AUTO)
    world.run(10)
    leader.present = True
    world.run(60)
    assert world.engine.leads
    assert leader.silences == []


def test_a_leader_that_is_the_reference_knows_its_time_exactly() -> None:
    world = group(homepod(), role=TimingRole.LEAD)
    world.run(5)
    estimate = world.looks["envelope"][-1].estimate
    assert (estimate.state, estimate.sigma_ns, estimate.bound_ns) == (ClockState.LOCKED, 0.0, 0.0)


def test_no_clock_takes_the_lead_from_one_that_leads() -> None:
    world = group(homepod(), role=TimingRole.LEAD)
    world.run(10)
    assert world.engine.leads
    assert world.engine.counters["dropped_rival"] > 30
    assert len(world.followed) == 1
