"""Whether two paths are as long in both directions, as far as one can see it: they tell the same time. Pure arithmetic.

One end of a path cannot measure its asymmetry. Two paths to the same time can: where one takes longer from the
grandmaster than back, the clock that follows over it is late by half of the difference, and the other's is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from phasegraph import NS_PER_S, ClockEstimate, ClockState

from .redundant_paths import paths_agree

APART_LEAST_NS = 1_000.0
"""Paths that are less apart agree, however sure they are: switches differ by some hundred nanoseconds."""
APART_SIGMAS = 3.0
APART_S = 10.0
"""How long they have to be apart."""
SMOOTHED_S = 3.0
LEARNT_S = 20.0
"""Time constant of the delays that are remembered while the paths agree."""


class PathComparison:
    """Compares two paths that are both locked."""

    def __init__(self, names: Sequence[str]) -> None:
        """``names`` are those of the interfaces."""
        self._names = tuple(names)
        self.apart_ns: float | None = None
        self._compared_ns = 0
        self._since_ns: int | None = None
        self._agree = True
        self._delays: tuple[float, float] = (0.0, 0.0)
        self._delays_before: tuple[float, float] | None = None
        """While the paths agreed."""
        self._grandmasters = ("", "")

    def compare(self, now_ns: int, estimates: Sequence[ClockEstimate]) -> None:
        """Look at both paths now."""
        first, second = estimates
        delays = first.path_delay_ns, second.path_delay_ns
        locked = first.state is ClockState.LOCKED and second.state is ClockState.LOCKED
        if not locked or delays[0] is None or delays[1] is None:
            self.apart_ns = self._since_ns = None
            return
        apart_ns = float(second.reference_at(now_ns) - first.reference_at(now_ns))
        elapsed_s = max(0, now_ns - self._compared_ns) / NS_PER_S
        self._compared_ns = now_ns
        if self.apart_ns is None:
            self.apart_ns = apart_ns
        self.apart_ns += _share(elapsed_s, SMOOTHED_S) * (apart_ns - self.apart_ns)
        self._agree = paths_agree(now_ns, first, second)
        self._grandmasters = first.grandmaster, second.grandmaster
        self._delays = delays[0], delays[1]
        limit_ns = max(APART_LEAST_NS, APART_SIGMAS * math.hypot(first.sigma_ns, second.sigma_ns))
        if abs(self.apart_ns) > limit_ns:
            self._since_ns = now_ns if self._since_ns is None else self._since_ns
            return
        self._since_ns = None
        if abs(apart_ns) > limit_ns:
            return
        if self._delays_before is None:
            self._delays_before = self._delays
        part = _share(elapsed_s, LEARNT_S)
        before = self._delays_before
        self._delays_before = (
            before[0] + part * (self._delays[0] - before[0]),
            before[1] + part * (self._delays[1] - before[1]),
        )

    def trouble(self, now_ns: int) -> str:
        """What is wrong with the pair, with a remedy; empty if nothing is."""
        apart_ns = self.apart_ns
        if apart_ns is None or self._since_ns is None or now_ns - self._since_ns < APART_S * NS_PER_S:
            return ""
        told = f"{self._names[0]} and {self._names[1]} tell times {abs(apart_ns) / 1000:.1f} us apart"
        if not self._agree:
            return (
                f"{told}, more than their bounds: the grandmasters {' and '.join(self._grandmasters)} do not tell one "
                "time: give both the same reference"
            )
        lopsided = f"lopsided by {2 * abs(apart_ns) / 1000:.1f} us"
        remedy = "look there for a queue or a switch without PTP, or set asymmetry"
        if self._delays_before is None:
            longer = int(self._delays[1] > self._delays[0])
            others = f"{self._delays[longer] / 1000:.1f} us, the other {self._delays[1 - longer] / 1000:.1f} us"
            return f"{told}: a path is {lopsided}, rather the longer one, {self._names[longer]} ({others}): {remedy}"
        changes = [abs(now - then) for now, then in zip(self._delays, self._delays_before, strict=True)]
        changed = int(changes[1] > changes[0])
        delays = f"{self._delays[changed] / 1000:.1f} us, {self._delays_before[changed] / 1000:.1f} us before"
        return f"{told}: the path of {self._names[changed]} became {lopsided} (delay {delays}): {remedy}"


def _share(elapsed_s: float, constant_s: float) -> float:
    return 1 - math.exp(-elapsed_s / constant_s)
