"""From samples to the published clock: one filter per leader, hand-over between them, and no jump but a counted one.

A sample that the filter's answer excludes goes to a second filter. If the next one of the same direction fits the first
filter again, the sample was a stray, spoofed or delayed one, and the second filter is dropped. If several of them fit
each other, the leader's time was set, and the second filter takes over. Only the same direction counts: after a step
of up to 100 ms every sample of the other direction looks like a late one, and a late one fits. A new leader is met in
the same way, with the old mapping as holdover meanwhile. No single sample, the first included, can spoil the mapping.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from phasegraph import NS_PER_S, ClockDoubt, ClockEstimate, ClockFix, ClockPublisher, PublisherSettings

from ..filters import (
    PATH_LIMIT_NS,
    RATE_LIMIT,
    DelayExchange,
    EnvelopeFilter,
    FilterSolution,
    LeaderSync,
    TimingFilter,
    TimingSample,
)
from ..filters.timing_samples import limits_of

ENOUGH, ENOUGH_NS = 4, 400_000_000
"""Exchanges, spare ones aside, and the time that all span, from which a mapping is usable."""
SUSPECTED = 3
"""This many samples that fit each other, and not the mapping, widen the bound by the step that they show."""
ONE_WAY_NS = 2_000_000_000
"""How long Syncs alone are collected before they have to do."""
GATE_NS = 1_000_000
"""How far beyond the bound a sample may lie."""
SETTINGS = PublisherSettings(
    lock_within_ns=1_000_000, unlock_beyond_ns=100_000_000, slew_limit_ppb=200_000.0, settling_fixes=1
)
"""See `ClockPublisher`. The first solution of a track rests on several exchanges, so one fix settles it."""
SLEW_S, LONGEST_SLEW_S = 0.5, 5.0
"""A lag is removed within the first if the fix's three sigmas are within what a lock needs. The fixes of a clock that
is locked by patience are noisier, and the clock is their mean, weighted by variance: its time is longer by the square
of the excess, up to the second (from then on the error of the rate counts more), and not longer than the lock lasts."""
FREE_SLEW_S = 1.0
"""The same while a clock that was locked is not: no limit of the rate makes its corrections inaudible then."""
PATIENCE_SPENT_NS = 50_000_000_000
"""Another leader, or another time of the same one, has the rest of the publisher's minute of patience until the lock:
without any it would be locked at once, by whatever its first packets show."""
HORIZON_NS = 250_000_000
"""How long a published estimate holds."""


class LeaderClock:
    """A group's clock: `set_leader` says whose samples come, `add_sample` takes each, `publish` is called often."""

    def __init__(self, make: Callable[[], TimingFilter], *, silence_ns: int, now_ns: int) -> None:
        """``make`` makes a filter; after ``silence_ns`` without a sample it is holdover."""
        self.estimate = ClockEstimate(local_ns=now_ns, reference_ns=0)
        """The newest snapshot."""
        self.misfits = 0
        """Samples that could not be of the clock that is followed."""
        self._make = make
        self._silence_ns = silence_ns
        self._leader = ""
        self._own = False
        self._current = _LeaderTrack("", make())
        self._next: _LeaderTrack | None = None
        self._publisher = ClockPublisher(SETTINGS)
        self._replaced = self._other_timescale = False
        self._unlocked_ns = now_ns
        """When it was steered without a lock last."""

    def set_leader(self, leader: str, *, own: bool) -> None:
        """The samples to come are of this leader; with ``own``, local time is the reference."""
        self._other_timescale |= own or self._own
        self._leader, self._own, self._next = leader, own, None
        if own or not self._current.syncs:
            self._current = _LeaderTrack(leader, self._make())

    def add_sample(self, sample: TimingSample) -> None:
        """A sample of the leader."""
        track, direction = self._current, type(sample)
        fits = track.leader == self._leader and track.fits(sample)
        fresh = self._next
        if fits and (fresh is None or fresh.began_with is direction):
            track.add_sample(sample)
            if track.settled:
                self._next = None
            return
        self.misfits += not fits and track.leader == self._leader
        if fresh is None or not fresh.fits(sample):
            fresh = self._next = _LeaderTrack(self._leader, self._make())
        fresh.add_sample(sample)
        if fresh.settled:
            self._current, self._next, self._replaced = fresh, None, True

    def publish(self, now_ns: int) -> ClockEstimate:
        """Publish for ``now_ns``; the next call is expected within `HORIZON_NS`."""
        track, publisher = self._current, self._publisher
        if self._own:
            self._steer(ClockFix(local_ns=now_ns, reference_ns=now_ns, doubt_at=_exact(now_ns)))
            self.estimate = publisher.estimate(now_ns, silent=False, grandmaster=self._leader)
            return self.estimate
        now_ns = max(now_ns, track.last_ns)
        silent = now_ns - track.last_ns > self._silence_ns or track.leader != self._leader
        solution = track.filter.solve(now_ns) if track.settled else None
        if solution is not None:
            ahead = track.filter.solve(now_ns + HORIZON_NS) or solution
            self._steer(
                ClockFix(
                    local_ns=now_ns,
                    reference_ns=now_ns + solution.offset_ns,
                    rate_ppb=solution.rate * NS_PER_S,
                    lockable=solution.two_way and not silent,
                    doubt_at=_doubt_of(solution, ahead, self._suspected_step_ns(solution, now_ns)),
                ),
                solution.sigma_ns,
            )
        self.estimate = publisher.estimate(
            now_ns,
            silent=silent or solution is None,
            path_delay_ns=None if solution is None else solution.delay_ns,
            grandmaster=track.leader if solution is not None else self.estimate.grandmaster,
        )
        return self.estimate

    def _steer(self, fix: ClockFix, sigma_ns: float = 0.0) -> None:
        publisher = self._publisher
        if self._replaced:
            publisher.restart_patience(fix.local_ns - PATIENCE_SPENT_NS)
        slew_s = FREE_SLEW_S
        if publisher.locked:
            noisy_s = SLEW_S * (3 * sigma_ns / SETTINGS.lock_within_ns) ** 2
            locked_s = (fix.local_ns - self._unlocked_ns) / NS_PER_S
            slew_s = max(SLEW_S, min(noisy_s, locked_s, LONGEST_SLEW_S))
        else:
            self._unlocked_ns = fix.local_ns
        publisher.steer(
            fix,
            slew_s=slew_s if publisher.was_locked else 0.0,
            other_reference=self._replaced,
            other_timescale=self._other_timescale,
        )
        self._replaced = self._other_timescale = False

    def _suspected_step_ns(self, solution: FilterSolution, now_ns: int) -> int:
        # How far the samples that do not fit, but fit each other, are from the mapping.
        fresh = self._next
        if fresh is None or fresh.leader != self._current.leader or fresh.samples < SUSPECTED:
            return 0
        other = fresh.filter.solve(max(now_ns, fresh.last_ns))
        return 0 if other is None else abs(other.offset_ns - solution.offset_ns)


def _exact(fixed_ns: int) -> Callable[[int, float], ClockDoubt]:
    # The doubt of our own time: none, until another leader's time is awaited.
    def doubt_at(local_ns: int, lag_ns: float) -> ClockDoubt:
        bound_ns = (local_ns - fixed_ns) * RATE_LIMIT + abs(lag_ns)
        return ClockDoubt(bound_ns / 3, bound_ns)

    return doubt_at


def _doubt_of(solution: FilterSolution, ahead: FilterSolution, step_ns: int) -> Callable[[int, float], ClockDoubt]:
    # The doubt of a solution, which has to hold until the next call; from then on it grows as clocks may part.
    def doubt_at(local_ns: int, lag_ns: float) -> ClockDoubt:
        beyond_ns = max(0, local_ns - ahead.local_ns) * RATE_LIMIT
        bound_ns = max(solution.bound_ns, ahead.bound_ns) + abs(lag_ns) + step_ns + beyond_ns
        return ClockDoubt(math.hypot(solution.sigma_ns, lag_ns, step_ns, beyond_ns / 3), bound_ns)

    return doubt_at


class _LeaderTrack:
    """A filter, with the samples that it has got."""

    def __init__(self, leader: str, filter: TimingFilter) -> None:
        self.leader = leader
        self.filter = filter
        self._judges: list[TimingFilter] = (
            [filter] if isinstance(filter, EnvelopeFilter) else [filter, EnvelopeFilter()]
        )
        """They decide which samples belong together: only the envelope sees a small step beside any filter."""
        self.syncs = 0
        self.last_ns = 0
        self.began_with: type[TimingSample] | None = None
        """The direction of the first sample."""
        self._exchanges = 0
        """Without spare ones, which say nothing of another Sync."""
        self._first_ns = self._newest_ns = 0
        """Local times that the filter's samples are for. Only the envelope uses the arrivals of answers."""

    @property
    def samples(self) -> int:
        """Samples of both directions."""
        return self.syncs + self._exchanges

    @property
    def settled(self) -> bool:
        """Whether it can be used."""
        span_ns = self._newest_ns - self._first_ns
        if self._exchanges >= ENOUGH:
            return span_ns >= ENOUGH_NS
        return self.syncs >= ENOUGH and span_ns >= ONE_WAY_NS

    def fits(self, sample: TimingSample) -> bool:
        """Whether this can be a sample of the same clock: no packet comes before it was sent, or much too late."""
        solutions = [judge.solve(max(_seen_ns(sample), self.last_ns)) for judge in self._judges]
        return all(
            _is_possible(lower, local_ns, offset_ns, solution)
            for solution in solutions
            if solution is not None
            for lower, local_ns, offset_ns in limits_of(sample)
        )

    def add_sample(self, sample: TimingSample) -> None:
        """Give the filter a sample."""
        local_ns = _seen_ns(sample)
        if not self.samples:
            self._first_ns, self.began_with = local_ns, type(sample)
        if isinstance(sample, LeaderSync):
            self.syncs += 1
        else:
            self._exchanges += not sample.spare
        self.last_ns = max(self.last_ns, local_ns)
        if isinstance(sample, DelayExchange) and not isinstance(self.filter, EnvelopeFilter):
            local_ns = sample.asked_ns
        self._newest_ns = max(self._newest_ns, local_ns)
        for judge in self._judges:
            judge.add_sample(sample)


def _seen_ns(sample: TimingSample) -> int:
    if isinstance(sample, LeaderSync):
        return sample.arrived_ns
    return sample.asked_ns if sample.answered_ns is None else sample.answered_ns


def _is_possible(lower: bool, local_ns: int, offset_ns: int, solution: FilterSolution) -> bool:
    beside = offset_ns - solution.offset_at(local_ns)
    early = beside if lower else -beside
    return -(solution.bound_ns + PATH_LIMIT_NS) <= early <= solution.bound_ns + GATE_NS
