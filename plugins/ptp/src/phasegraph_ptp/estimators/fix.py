"""What the parts of an estimator tell each other: an observation of one direction, and what follows from many."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple, Protocol

import msgspec

NS_PER_S = 1_000_000_000
DRIFT_PPB_PER_S = 3.0
"""How fast an oscillator's rate may move for long, as warming up makes it; added to its wander in holdover."""


class Direction(enum.IntEnum):
    """Which way a packet went."""

    SYNC = 0
    """To us: tells ``offset + delay``, offset being local less reference time."""
    DELAY = 1
    """From us: tells ``delay - offset``."""
    PEER = 2
    """To the neighbour and back: tells ``delay``."""


class Observation(NamedTuple):
    """One packet. The value is an integer, since offsets between epochs do not fit a float."""

    direction: Direction
    local_ns: int
    value_ns: int


class Fix(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the reference is, and how surely. The offset is ``base_ns + offset_ns``; a rate in ppb is one in ns/s."""

    local_ns: int
    base_ns: int
    offset_ns: float
    rate_ppb: float
    """How fast the offset grows: local against reference."""
    delay_ns: float | None
    """Mean path delay; None while nothing has told it."""
    variance: float
    """Of the offset, ns**2."""
    covariance: float
    """Of offset and rate, ns * ppb."""
    rate_variance: float
    """ppb**2."""
    wander: float
    """Random walk of the rate, ppb / sqrt(s)."""
    memory_s: float
    """How much of the past the fix averages over, roughly."""
    settled: bool
    """Whether it has what it needs, rather than a first guess."""
    generation: int
    """Counts how often the tracker began anew."""

    def offset_at(self, local_ns: int) -> float:
        """The offset at a local time, less ``base_ns``."""
        return self.offset_ns + self.rate_ppb * ((local_ns - self.local_ns) / NS_PER_S)

    def variance_at(self, local_ns: int) -> float:
        """Variance of the offset at a later local time, if nothing more is heard until then; ns**2."""
        t = max(0, local_ns - self.local_ns) / NS_PER_S
        known = self.variance + 2 * t * self.covariance + t * t * self.rate_variance
        return max(known, 0.0) + self.wander**2 * t**3 / 3 + (0.5 * DRIFT_PPB_PER_S * t * t) ** 2

    @property
    def rate_sigma_ppb(self) -> float:
        """Standard deviation of the rate."""
        return math.sqrt(max(self.rate_variance, 0.0))


class Tracker(Protocol):
    """Digests observations of one reference over one path. What differs between the estimators."""

    def add(self, observation: Observation) -> Fix | None:
        """Take one in; a new fix where it made one. Never raises."""

    def restart(self) -> None:
        """Another path or another reference from now on: forget all but the rate, and count a generation."""

    def metrics(self) -> dict[str, int | float]:
        """Figures of its own."""
