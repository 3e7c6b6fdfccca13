"""An estimator behind a follower of the simulated segment, and the truth beside it."""

from __future__ import annotations

from phasegraph import ClockEstimate, StampKind
from phasegraph.ieee1588 import Announce, Message
from phasegraph_ptp.estimators.clock_estimator import ClockEstimator
from phasegraph_ptp.protocol import ParentChanged

from .node import Node
from .world import World


class FollowedClock:
    """Gives an estimator what a follower measures, with stamps of hardware, and knows the grandmaster's time."""

    def __init__(self, world: World, grandmaster: Node, follower: Node, estimator: ClockEstimator) -> None:
        self.announced_ns: int | None = None
        """True time of the first Announce since then."""
        self._world, self._grandmaster, self._follower, self._estimator = world, grandmaster, follower, estimator
        grandmaster.passes, follower.on_sample, follower.on_followed = (
            self._passes,
            estimator.add_sample,
            self._followed,
        )
        grandmaster.stamp_kind = follower.stamp_kind = StampKind.HARDWARE

    def look(self) -> tuple[ClockEstimate, int]:
        """What the clock shows now, and its error in ns."""
        estimate, grandmaster = self._estimator.estimate(self._follower.local_ns), self._grandmaster
        told_ns = grandmaster.told.reference_ns + grandmaster.local_ns - grandmaster.told.local_ns
        return estimate, estimate.reference_ns - told_ns

    def _passes(self, message: Message) -> bool:
        if self.announced_ns is None and isinstance(message, Announce):
            self.announced_ns = self._world.now_ns
        return True

    def _followed(self, change: ParentChanged) -> None:
        self._estimator.reference_changed(self._follower.local_ns, same_timescale=change.same_timescale)
