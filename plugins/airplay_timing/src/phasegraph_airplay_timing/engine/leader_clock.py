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

from phasegraph import UNKNOWN_NS, ClockEstimate, ClockState

from ..filters import PATH_LIMIT_NS, RATE_LIMIT, EnvelopeFilter, FilterSolution, LeaderSync, TimingFilter, TimingSample

ENOUGH, ENOUGH_NS = 4, 400_000_000
"""Exchanges, and the time that they span, from which a mapping is usable."""
SUSPECTED = 3
"""This many samples that fit each other, and not the mapping, widen the bound by the step that they show."""
ONE_WAY_NS = 2_000_000_000
"""How long Syncs alone are collected before they have to do."""
GATE_NS = 1_000_000
"""How far beyond the bound a sample may lie."""
LOCK_NS = 1_000_000
"""Locked once three sigmas are within this."""
LOST_NS = 100_000_000
"""Holdover ends when its bound has grown beyond this."""
HORIZON_NS = 250_000_000
"""How long a published estimate holds."""
_SLEW, _SLEW_NS = 200e-6, 500_000_000


class LeaderClock:
    """The clock. Told by `follow` whose samples come, by `add` of each, by `update` of time."""

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
        self._was_locked = False
        self._jump = True

    def set_leader(self, leader: str, *, own: bool) -> None:
        """The samples to come are of this leader; with ``own``, local time is the reference."""
        self._jump |= own or self._own
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
            self._current, self._next, self._jump = fresh, None, True

    def update(self, now_ns: int) -> ClockEstimate:
        """Publish for ``now_ns``; the next call is expected within `HORIZON_NS`."""
        before, track = self.estimate, self._current
        if self._own:
            if self._jump or before.local_ns < now_ns:
                self.estimate = self._lead(now_ns)
            return self.estimate
        now_ns = max(now_ns, track.last_ns)
        solution = track.filter.solve(now_ns) if track.settled else None
        if solution is None:
            self.estimate = self._wait(now_ns)
            return self.estimate
        ahead = track.filter.solve(now_ns + HORIZON_NS) or solution
        discontinuities, reference_ns = before.discontinuities, before.reference_at(now_ns)
        error_ns = now_ns + solution.offset_ns - reference_ns
        if self._jump or not self._was_locked:
            discontinuities += self._was_locked
            reference_ns, error_ns, self._jump = reference_ns + error_ns, 0, False
        slew = max(-_SLEW, min(_SLEW, error_ns / max(_SLEW_NS, now_ns - before.local_ns)))
        step_ns = self._suspected_step_ns(solution, now_ns)
        sigma_ns = math.hypot(solution.sigma_ns, error_ns, step_ns)
        bound_ns = max(solution.bound_ns, ahead.bound_ns) + abs(error_ns) + step_ns
        holding = now_ns - track.last_ns > self._silence_ns or track.leader != self._leader
        state = self._state(solution, holding, sigma_ns, bound_ns)
        self._was_locked |= state is ClockState.LOCKED
        self.estimate = ClockEstimate(
            local_ns=now_ns,
            reference_ns=reference_ns,
            rate_ppb=(solution.rate + slew) * 1e9,
            sigma_ns=sigma_ns,
            bound_ns=bound_ns,
            state=state,
            grandmaster=track.leader,
            path_delay_ns=solution.delay_ns,
            discontinuities=discontinuities,
        )
        return self.estimate

    def _suspected_step_ns(self, solution: FilterSolution, now_ns: int) -> int:
        # How far the samples that do not fit, but fit each other, are from the mapping.
        fresh = self._next
        if fresh is None or fresh.leader != self._current.leader or fresh.samples < SUSPECTED:
            return 0
        other = fresh.filter.solve(max(now_ns, fresh.last_ns))
        return 0 if other is None else abs(other.offset_ns - solution.offset_ns)

    def _state(self, solution: FilterSolution, holding: bool, sigma_ns: float, bound_ns: float) -> ClockState:
        if holding:
            lost = not self._was_locked or bound_ns > LOST_NS
            return ClockState.UNLOCKED if lost else ClockState.HOLDOVER
        # Once locked it stays so a little longer, not to flap.
        patience = 2 if self.estimate.state is ClockState.LOCKED else 1
        good = solution.two_way and 3 * sigma_ns <= patience * LOCK_NS
        return ClockState.LOCKED if good else ClockState.ACQUIRING

    def _lead(self, now_ns: int) -> ClockEstimate:
        jumps = self.estimate.discontinuities + (self._jump and self._was_locked)
        self._jump, self._was_locked = False, True
        return ClockEstimate(
            local_ns=now_ns,
            reference_ns=now_ns,
            sigma_ns=0.0,
            bound_ns=0.0,
            state=ClockState.LOCKED,
            grandmaster=self._leader,
            discontinuities=jumps,
        )

    def _wait(self, now_ns: int) -> ClockEstimate:
        # Nothing is known yet; or we led, and our own mapping goes on until the new leader's time is known.
        before = self.estimate
        doubt = before.bound_ns + (now_ns - before.local_ns) * RATE_LIMIT if self._was_locked else UNKNOWN_NS
        hearing = ClockState.ACQUIRING if self._leader else ClockState.UNLOCKED
        return ClockEstimate(
            local_ns=now_ns,
            reference_ns=before.reference_at(now_ns),
            rate_ppb=before.rate_ppb,
            sigma_ns=doubt / 3,
            bound_ns=doubt,
            state=ClockState.HOLDOVER if self._was_locked and doubt <= LOST_NS else hearing,
            grandmaster=before.grandmaster,
            discontinuities=before.discontinuities,
        )


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
        self._first_ns = 0

    @property
    def samples(self) -> int:
        """Samples of both directions."""
        return self.syncs + self._exchanges

    @property
    def settled(self) -> bool:
        """Whether it can be used."""
        span_ns = self.last_ns - self._first_ns
        if self._exchanges >= ENOUGH:
            return span_ns >= ENOUGH_NS
        return self.syncs >= ENOUGH and span_ns >= ONE_WAY_NS

    def fits(self, sample: TimingSample) -> bool:
        """Whether this can be a sample of the same clock: no packet comes before it was sent, or much too late."""
        if isinstance(sample, LeaderSync):
            local_ns, offset_ns = sample.arrived_ns, sample.departed_ns - sample.arrived_ns
        else:
            local_ns, offset_ns = sample.asked_ns, sample.reached_ns - sample.asked_ns
        return all(
            _is_possible(sample, local_ns, offset_ns, solution)
            for judge in self._judges
            if (solution := judge.solve(max(local_ns, self.last_ns))) is not None
        )

    def add_sample(self, sample: TimingSample) -> None:
        """Give the filter a sample."""
        local_ns = sample.arrived_ns if isinstance(sample, LeaderSync) else sample.asked_ns
        if not self.samples:
            self._first_ns, self.began_with = local_ns, type(sample)
        if isinstance(sample, LeaderSync):
            self.syncs += 1
        else:
            self._exchanges += 1
        self.last_ns = max(self.last_ns, local_ns)
        for judge in self._judges:
            judge.add_sample(sample)


def _is_possible(sample: TimingSample, local_ns: int, offset_ns: int, solution: FilterSolution) -> bool:
    beside = offset_ns - solution.offset_at(local_ns)
    early = beside if isinstance(sample, LeaderSync) else -beside
    return -(solution.bound_ns + PATH_LIMIT_NS) <= early <= solution.bound_ns + GATE_NS
