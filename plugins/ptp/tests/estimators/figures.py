"""Runs an estimator through a world, and says how it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from phasegraph import ClockEstimate, ClockState
from phasegraph_ptp.estimators import ESTIMATORS, ClockEstimator
from phasegraph_ptp.measurements import Sample, SyncSample

from .world import OSCILLATORS, Change

Array = NDArray[np.float64]
US = 1e3
CONVERGED_NS = 20e3
CONVERGED_FOR_S = 5.0
kalman_in_quick_tests = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "kalman" else pytest.mark.slow) for name in ESTIMATORS]
)
"""Each estimator; the default one in the quick tests."""
each_with_oscillators = pytest.mark.parametrize(
    ("name", "oscillator"),
    [
        pytest.param(name, oscillator, marks=() if oscillator == "bad" or name == "kalman" else pytest.mark.slow)
        for name in ESTIMATORS
        for oscillator in OSCILLATORS
    ],
)
"""Each estimator with each oscillator; the quick tests have the worst one, and the default estimator with all."""


@dataclass
class Track:
    """What was told, half an interval after each Sync, and how wrong it was. Times in s, errors in ns."""

    asymmetry_ns: float
    at: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    estimates: list[ClockEstimate] = field(default_factory=list)

    def figures(self, warm_s: float = 0.0) -> Figures:
        """In numbers, from when it has warmed up."""
        at, error = np.array(self.at), np.array(self.error)
        sigma = np.array([each.sigma_ns for each in self.estimates])
        bound = np.array([each.bound_ns for each in self.estimates])
        jumps = np.array([each.discontinuities for each in self.estimates])
        states = np.array([each.state.value for each in self.estimates])
        seen = error + self.asymmetry_ns  # what of it could be known
        warm = at >= warm_s
        rate = np.diff(error) / np.diff(at) / 1e3  # ns/s are ppb
        steady = warm[1:] & warm[:-1] & (np.diff(jumps) == 0)
        locked = at[states == ClockState.LOCKED.value]
        return Figures(
            bias_us=float(seen[warm].mean()) / US,
            sd_us=float(seen[warm].std()) / US,
            p99_us=float(np.quantile(np.abs(seen[warm]), 0.99)) / US,
            worst_us=float(np.abs(seen[warm]).max()) / US,
            rate_p99_ppm=float(np.quantile(np.abs(rate[steady]), 0.99)) if steady.any() else 0.0,
            sigma_us=float(np.median(sigma[warm])) / US,
            beyond_3_sigma=float(np.mean(np.abs(seen) > 3 * sigma)),
            beyond_bound=float(np.mean(np.abs(error) > bound)),
            converged_s=_converged(at, np.abs(seen), sigma),
            locked_s=float(locked[0]) if len(locked) else float("inf"),
            locked_share=float(np.mean(states[warm] == ClockState.LOCKED.value)),
        )


@dataclass(frozen=True)
class Figures:
    """How an estimator did; errors less the asymmetry that cannot be measured."""

    bias_us: float
    sd_us: float
    p99_us: float
    worst_us: float
    rate_p99_ppm: float
    """Error of the told line's rate, between two Syncs."""
    sigma_us: float
    beyond_3_sigma: float
    """Share of the time, from the very start."""
    beyond_bound: float
    converged_s: float
    """From when on it is right within 20 us for 5 s, or, where that is less than its own three sigmas, within those."""
    locked_s: float
    locked_share: float


def _converged(at: Array, error: Array, sigma: Array) -> float:
    good = error <= np.maximum(CONVERGED_NS, np.where(sigma < 1e6, 3 * sigma, 0.0))
    begin = None
    for when, fine in zip(at, good, strict=True):
        begin = (when if begin is None else begin) if fine else None
        if begin is not None and when - begin >= CONVERGED_FOR_S:
            return float(begin)
    return float("inf")


class Story(Protocol):
    """Packets, and the truth."""

    events: list[tuple[float, Sample | Change]]
    """By true time in ns."""
    sync_s: float
    asymmetry_ns: float

    def local_ns(self, true_ns: float) -> int:
        """The local clock at a true time."""

    def reference_ns(self, true_ns: float, changes: int) -> int:
        """The time of the reference after a number of changes."""


def follow(estimator: ClockEstimator, play: Story, every_s: float | None = None) -> Track:
    """Feed all that happens, and look half a Sync interval after each Sync; ``every_s`` looks in silences as well."""
    track = Track(play.asymmetry_ns)
    half_ns = play.sync_s * 5e8
    changes = 0
    pause_ns = every_s * 1e9 if every_s else float("inf")

    def look(true_ns: float) -> None:
        local_ns = play.local_ns(true_ns)
        estimate = estimator.estimate(local_ns)
        of = changes if estimator.current else changes - 1
        track.at.append(true_ns / 1e9)
        track.error.append(float(estimate.reference_ns - play.reference_ns(true_ns, of)))
        track.estimates.append(estimate)

    before = play.events[0][0]
    for true_ns, event in play.events:
        while true_ns - before > pause_ns:
            before += pause_ns
            look(before)
        if isinstance(event, Change):
            changes += 1
            if event.told:
                estimator.reference_changed(play.local_ns(true_ns), same_timescale=event.same_timescale)
        else:
            estimator.add_sample(event)
        if isinstance(event, SyncSample):
            look(true_ns + half_ns)
            before = true_ns + half_ns
    return track
