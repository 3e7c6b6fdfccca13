"""The grandmaster as a kind of clock sees it that brings its own simulation."""

from __future__ import annotations

import numpy as np

from .grandmaster import Grandmaster
from .local_clock import true_now_ns
from .scenario_options import ClockOptions, NetworkOptions


class Reference:
    """Implements `phasegraph.SimulatedReference`."""

    def __init__(
        self, base: Grandmaster, clock: ClockOptions, network: NetworkOptions, random: np.random.Generator
    ) -> None:
        self._base = base
        self._asymmetry = clock.asymmetry
        self._network = network
        self._random = random

    @property
    def grandmaster(self) -> str:
        """See `SimulatedReference.grandmaster`."""
        return self._base.identity(true_now_ns())

    @property
    def silent(self) -> bool:
        """See `SimulatedReference.silent`."""
        return self._base.silent(true_now_ns())

    def shows_ns(self) -> int:
        """See `SimulatedReference.shows_ns`."""
        return self._base.at(true_now_ns())

    def way_here_ns(self) -> int | None:
        """See `SimulatedReference.way_here_ns`."""
        return self._way(self._asymmetry)

    def way_there_ns(self) -> int | None:
        """See `SimulatedReference.way_there_ns`."""
        return self._way(-self._asymmetry)

    def _way(self, longer_ns: int) -> int | None:
        network = self._network
        if self.silent or self._random.random() < network.loss:
            return None
        if network.jitter_shape == "exponential":
            jitter = self._random.exponential(network.jitter)
        else:
            jitter = self._random.uniform(0.0, network.jitter)
        return max(0, network.delay + longer_ns + round(jitter))
