"""Looks at all clocks and sound cards of a simulation, ten times a second, against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np

from .._core.clock import NS_PER_S, ClockEstimate, ClockState
from .._core.node import ClockSource, Metric
from .grandmaster import Grandmaster
from .local_clock import true_now_ns
from .truth import CrossingTruth, Settling, Spread

INTERVAL_NS = 100_000_000
LOCK_NS = 10_000
"""A clock whose error is below this has locked, in truth: half a frame."""
_LOCK_S = 5.0
_MANY = 600


class ClockTruth:
    """Watches one clock."""

    def __init__(self) -> None:
        self._overall, self._locked = Spread(), Spread()
        self._settling = Settling(LOCK_NS, _LOCK_S)
        self._has_locked = False
        self._beyond = 0
        self._newest: list[tuple[float, float, bool]] = []

    def look(self, true_s: float, error_ns: int, estimate: ClockEstimate) -> None:
        """One estimate, and how wrong it is."""
        if estimate.state is ClockState.UNLOCKED:
            return
        self._has_locked |= estimate.state is ClockState.LOCKED
        self._beyond += abs(error_ns) > estimate.bound_ns
        self._newest.append((true_s, error_ns, self._has_locked))
        if len(self._newest) == _MANY:
            self._flush()

    def _flush(self) -> None:
        if self._newest:
            seconds, error, locked = (np.array(column) for column in zip(*self._newest, strict=True))
            self._overall.add(error.astype(np.float64))
            self._locked.add(error[locked.astype(np.bool_)].astype(np.float64))
            self._settling.add(seconds, error)
            self._newest.clear()

    def metrics(self) -> dict[str, Metric]:
        """The figures; without a name's ``overall`` they are those after the clock said that it had locked."""
        self._flush()
        if not self._overall.count:
            return {}
        latest = self._locked if self._locked.count else self._overall
        metrics: dict[str, Metric] = {
            "true_offset_error_rms_ns": round(latest.rms, 1),
            "true_offset_error_max_ns": round(latest.peak),
            "true_offset_error_mean_ns": round(latest.mean, 1),
            "true_overall_offset_error_rms_ns": round(self._overall.rms, 1),
            "true_overall_offset_error_max_ns": round(self._overall.peak),
            "true_outside_bound": self._beyond,
        }
        if self._settling.since_s is not None:
            metrics["true_time_to_lock_s"] = round(self._settling.since_s, 3)
        return metrics


class Probe:
    """The step that looks."""

    def __init__(
        self, grandmaster: Grandmaster, clocks: Mapping[str, ClockSource], truths: Iterable[CrossingTruth]
    ) -> None:
        """``clocks`` by id; ``truths`` are those of the crossings whose streams are on the grandmaster's time."""
        self.clocks = {id: ClockTruth() for id in clocks}
        self._grandmaster = grandmaster
        self._nodes = clocks
        self._pairs = list(combinations(truths, 2))
        self._apart = Spread()
        self._began_ns: int | None = None

    def step(self, local_ns: int) -> int:
        """Look; returns when to look again."""
        now = true_now_ns()
        if self._began_ns is None:
            self._began_ns = now
        truth = self._grandmaster.at(now)
        for id, watch in self.clocks.items():
            estimate = self._nodes[id].estimate()
            watch.look((now - self._began_ns) / NS_PER_S, estimate.reference_at(local_ns) - truth, estimate)
        if self._pairs and all(one.tap.correction.locked and other.tap.correction.locked for one, other in self._pairs):
            apart = [one.behind_ns - other.behind_ns for one, other in self._pairs]
            self._apart.add(np.array(apart, np.float64))
        return local_ns + INTERVAL_NS

    def metrics(self) -> dict[str, Metric]:
        """How far apart what sounds on several cards is, while all compensators are locked."""
        if not self._apart.count:
            return {}
        return {"true_apart_rms_ns": round(self._apart.rms, 1), "true_apart_max_ns": round(self._apart.peak)}
