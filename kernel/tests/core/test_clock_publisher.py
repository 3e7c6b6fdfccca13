"""The one publisher of a clock: what is slewed and what jumps, and what locked means."""

from __future__ import annotations

import pytest

from phasegraph import ClockDoubt, ClockFix, ClockPublisher, ClockState, PublisherSettings
from phasegraph._core.clock_publisher import LAST_REFERENCE_NS, SlewedClock

S = 10**9


def fix(
    local_ns: int, ahead_ns: float = 0.0, *, sigma_ns: float = 100.0, lockable: bool = True, **more: float
) -> ClockFix:
    """Reference time is local time plus a year, and ``ahead_ns``; sigma grows by 100 ns a second."""

    def doubt_at(now_ns: int, lag_ns: float) -> ClockDoubt:
        sigma = sigma_ns + 100 * max(0, now_ns - local_ns) / S + abs(lag_ns)
        return ClockDoubt(sigma, 6 * sigma)

    reference_ns = local_ns + 365 * 86_400 * S + round(ahead_ns)
    return ClockFix(local_ns=local_ns, reference_ns=reference_ns, lockable=lockable, doubt_at=doubt_at, **more)


def locked() -> ClockPublisher:
    publisher = ClockPublisher(PublisherSettings(lock_within_ns=20_000, unlock_beyond_ns=1_000_000))
    for second in range(5):
        assert publisher.steer(fix(second * S), slew_s=1.0)
    assert publisher.estimate(5 * S, silent=False).state is ClockState.LOCKED
    return publisher


def test_a_clock_is_slewed_no_further_than_it_lagged() -> None:
    clock = SlewedClock(ClockFix(local_ns=0, reference_ns=10**18, fraction_ns=0.5, rate_ppb=100.0, doubt_at=ClockDoubt))
    clock.steer(S, 2_000.0, 50.0, 4.0, 20_000.0)
    assert clock.time_at(S) == (10**18 + S + 100, 0.5)
    assert clock.rate_at(2 * S) == 50.0 - 500.0
    assert clock.lag_at(3 * S) == pytest.approx(1_000)
    assert clock.lag_at(100 * S) == pytest.approx(0)
    assert clock.rate_at(100 * S) == 50.0
    clock.steer(6 * S, -1e9, 0.0, 1.0, 20_000.0)
    assert clock.rate_at(7 * S) == 20_000.0


def test_before_the_first_fix_nothing_is_promised() -> None:
    publisher = ClockPublisher(PublisherSettings(lock_within_ns=20_000, unlock_beyond_ns=1_000_000))
    assert publisher.estimate(7, silent=True).state is ClockState.UNLOCKED
    publisher.steer(fix(S), slew_s=1.0)
    estimate = publisher.estimate(S, silent=False)
    assert (estimate.state, estimate.discontinuities) == (ClockState.ACQUIRING, 0)


@pytest.mark.parametrize("change", [{"sigma_ns": 7_000.0}, {"lockable": False}, {"rate_sigma_ppb": 1_500.0}])
def test_lock_needs_five_good_fixes_in_a_row(change: dict[str, float]) -> None:
    publisher = ClockPublisher(PublisherSettings(lock_within_ns=20_000, unlock_beyond_ns=1_000_000))
    for second in range(4):
        publisher.steer(fix(second * S), slew_s=1.0)
    publisher.steer(fix(4 * S, **change), slew_s=1.0)  # type: ignore[arg-type]
    for second in range(5, 10):
        assert not publisher.locked
        publisher.steer(fix(second * S), slew_s=1.0)
    assert publisher.locked


def test_where_the_network_is_noisy_half_the_limit_locks_after_a_minute() -> None:
    publisher = ClockPublisher(PublisherSettings(lock_within_ns=20_000, unlock_beyond_ns=1_000_000))
    states = []
    for second in range(70):
        publisher.steer(fix(second * S, sigma_ns=50_000.0), slew_s=1.0)
        states.append(publisher.locked)
    assert states.index(True) == 65


def test_a_locked_clock_is_slewed_and_a_reachable_distance_is_no_jump() -> None:
    publisher = locked()
    publisher.steer(fix(5 * S, 20_000), slew_s=5.0)
    assert publisher.lag_at(5 * S) == pytest.approx(-20_000)
    assert publisher.estimate(6 * S, silent=False).rate_ppb == pytest.approx(4_000)
    publisher.steer(fix(6 * S, 2_000_000, sigma_ns=400_000.0), slew_s=5.0)  # within its own bound
    assert publisher.discontinuities == 0
    assert publisher.estimate(6 * S, silent=False).rate_ppb == pytest.approx(20_000)


@pytest.mark.parametrize(
    ("ahead_ns", "what"), [(2_000_000, {}), (500, {"other_timescale": True}), (2_000_000, {"other_reference": True})]
)
def test_a_jump_is_counted_and_ends_the_lock(ahead_ns: int, what: dict[str, bool]) -> None:
    publisher = locked()
    publisher.steer(fix(5 * S, ahead_ns), slew_s=5.0, **what)
    estimate = publisher.estimate(5 * S, silent=False)
    assert (estimate.state, estimate.discontinuities) == (ClockState.ACQUIRING, 1)
    assert estimate.reference_ns - 5 * S == 365 * 86_400 * S + ahead_ns


def test_another_reference_that_is_near_is_slewed_to() -> None:
    publisher = locked()
    publisher.steer(fix(5 * S, 20_000), slew_s=5.0, other_reference=True)
    assert publisher.discontinuities == 0
    assert publisher.locked


def test_a_correction_at_once_is_no_jump() -> None:
    publisher = ClockPublisher(PublisherSettings(lock_within_ns=20_000, unlock_beyond_ns=1_000_000))
    for second in range(4):
        publisher.steer(fix(second * S, 3_000 * second), slew_s=0.0)
        assert publisher.lag_at(second * S) == 0
    assert publisher.discontinuities == 0


def test_silence_is_holdover_until_the_bound_has_grown_too_much() -> None:
    publisher = locked()
    at = {second: publisher.estimate(second * S, silent=True) for second in (6, 600, 1_600, 1_700)}
    assert [estimate.state for estimate in at.values()] == [*[ClockState.HOLDOVER] * 3, ClockState.UNLOCKED]
    assert at[6].bound_ns < at[600].bound_ns < at[1_600].bound_ns


def test_times_that_leave_no_room_are_refused() -> None:
    publisher = locked()
    before = publisher.estimate(5 * S, silent=False)
    far = fix(5 * S, LAST_REFERENCE_NS - 365 * 86_400 * S - 5 * S)
    assert not publisher.steer(far, slew_s=5.0)
    assert publisher.estimate(5 * S, silent=False) == before
