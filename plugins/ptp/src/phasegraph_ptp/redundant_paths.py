"""One clock out of two paths to the same time, as a pair of networks has (SMPTE ST 2022-7). Pure arithmetic.

The truth lies within the bounds of both paths, so it lies where they overlap: the clock is the mean of both, weighted
by 1 / sigma**2, and moved into the overlap; its bound reaches to the farther end. Where they do not overlap, one of the
two is wrong: the clock stays with the path that led so far. Where a path is lost, the clock is slewed to the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from phasegraph import UNKNOWN_NS, ClockDoubt, ClockEstimate, ClockFix, ClockPublisher, ClockState, PublisherSettings

SLEW_S = 2.0
"""Within how long the clock goes to a mean that has moved, as when a path is lost."""


class RedundantPaths:
    """Takes the estimates of all paths, publishes one clock."""

    def __init__(self, settings: PublisherSettings) -> None:
        self.publisher = ClockPublisher(settings)
        """Makes the estimates."""
        self.lead = 0
        """Index of the path that the clock stays with if the others do not agree with it."""
        self._before: ClockEstimate | None = None
        """Of the leading path, when the clock was last steered."""
        self.used = 0
        """Paths in the mean."""

    def combine(self, now_ns: int, estimates: Sequence[ClockEstimate]) -> ClockEstimate:
        """The clock at a local time, which is not before that of any estimate."""
        self.lead = self._choose_lead(estimates)
        lead = estimates[self.lead]
        if lead.sigma_ns < UNKNOWN_NS:
            self._steer(now_ns, lead, estimates)
        return self.publisher.estimate(
            now_ns,
            silent=lead.state in (ClockState.HOLDOVER, ClockState.UNLOCKED),
            path_delay_ns=lead.path_delay_ns,
            timescale=lead.timescale,
            grandmaster=lead.grandmaster,
            domain=lead.domain,
        )

    def _choose_lead(self, estimates: Sequence[ClockEstimate]) -> int:
        state = estimates[self.lead].state
        locked = any(each.state is ClockState.LOCKED for each in estimates)
        if state is ClockState.LOCKED or (state is ClockState.HOLDOVER and not locked):
            return self.lead
        return min(
            range(len(estimates)),
            key=lambda index: (
                estimates[index].state is not ClockState.LOCKED,
                estimates[index].bound_ns,
                index != self.lead,
            ),
        )

    def _steer(self, now_ns: int, lead: ClockEstimate, estimates: Sequence[ClockEstimate]) -> None:
        used = [lead]
        if lead.state is ClockState.LOCKED:
            used += [each for each in estimates if each is not lead and each.state is ClockState.LOCKED]
            used = [each for each in used if paths_agree(now_ns, lead, each)]
        self.used = len(used)
        base_ns = lead.reference_at(now_ns)
        apart = [each.reference_at(now_ns) - base_ns for each in used]
        weights = [1 / max(each.sigma_ns, 1.0) ** 2 for each in used]
        share = [weight / sum(weights) for weight in weights]
        earliest = max(offset - each.bound_ns for offset, each in zip(apart, used, strict=True))
        latest = min(offset + each.bound_ns for offset, each in zip(apart, used, strict=True))
        mean = sum(part * offset for part, offset in zip(share, apart, strict=True))
        mean = min(max(mean, earliest), latest)
        spread = math.sqrt(sum(part * (offset - mean) ** 2 for part, offset in zip(share, apart, strict=True)))
        # Legs share the local oscillator and often the grandmaster, so their errors do not average out.
        sigma_ns = math.hypot(sum(part * each.sigma_ns for part, each in zip(share, used, strict=True)), spread)
        bound_ns = max(latest - mean, mean - earliest)
        whole = math.floor(mean)
        fix = ClockFix(
            local_ns=now_ns,
            reference_ns=base_ns + whole,
            fraction_ns=mean - whole,
            rate_ppb=sum(part * each.rate_ppb for part, each in zip(share, used, strict=True)),
            lockable=lead.state is ClockState.LOCKED,
            doubt_at=lambda _, lag_ns: ClockDoubt(math.hypot(sigma_ns, lag_ns), bound_ns + abs(lag_ns)),
        )
        before, self._before = self._before, lead
        if before is None:
            self.publisher.steer(fix, slew_s=0.0)
            return
        jumped = before.grandmaster != lead.grandmaster or before.discontinuities != lead.discontinuities
        self.publisher.steer(
            fix,
            slew_s=SLEW_S if self.publisher.was_locked else 0.0,
            other_reference=jumped,
            other_timescale=jumped and before.timescale != lead.timescale,
        )


def paths_agree(now_ns: int, one: ClockEstimate, other: ClockEstimate) -> bool:
    """Whether one time lies within the bounds of both."""
    apart_ns = abs(one.reference_at(now_ns) - other.reference_at(now_ns))
    return one.timescale == other.timescale and apart_ns <= one.bound_ns + other.bound_ns
