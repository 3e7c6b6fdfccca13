"""What the parts of an estimator exchange: an observation of one direction, and the offset that follows from many."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple, Protocol

import msgspec

NS_PER_S = 1_000_000_000
DRIFT = 3.0
"""What an oscillator's rate may move by in the long run, as temperature makes it, besides its wander; ppb / s."""
LONGEST_NS = 10 * NS_PER_S
"""Longer than any path and any queue."""


class Direction(enum.IntEnum):
    """Which way a packet went."""

    SYNC = 0
    """To us: measures ``offset + delay``, offset being local less reference time."""
    DELAY = 1
    """From us: measures ``delay - offset``."""
    PEER = 2
    """To the neighbour and back: measures ``delay``."""

    @property
    def sign(self) -> int:
        """The sign of the offset in what it measures."""
        return (1, -1, 0)[self]


class PathObservation(NamedTuple):
    """One packet. The value is an integer, since offsets between epochs do not fit a float."""

    direction: Direction
    local_ns: int
    value_ns: int


class OffsetEstimate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the reference is, and how surely. The offset is ``base_ns + offset_ns``; a rate in ppb is one in ns/s."""

    local_ns: int
    base_ns: int
    offset_ns: float
    rate_ppb: float
    """How fast the offset grows: local against reference."""
    delay_ns: float | None
    """Mean path delay; None while nothing has measured it."""
    variance: float
    """Of the offset, ns**2."""
    covariance: float
    """Of offset and rate, ns * ppb."""
    rate_variance: float
    """ppb**2."""
    wander: float
    """Random walk of the rate, ppb / sqrt(s)."""
    drift: float = DRIFT
    """How fast the rate may move for long, ppb / s."""
    memory_s: float
    """How much of the past it averages over, roughly."""
    settled: bool
    """Whether it rests on enough packets, rather than on a first guess."""
    generation: int
    """Counts how often the filter restarted."""

    def offset_at(self, local_ns: int) -> float:
        """The offset at a local time, less ``base_ns``."""
        return self.offset_ns + self.rate_ppb * ((local_ns - self.local_ns) / NS_PER_S)

    def variance_at(self, local_ns: int) -> float:
        """Variance of the offset at a later local time, if no sample comes until then; ns**2."""
        t = max(0, local_ns - self.local_ns) / NS_PER_S
        known = self.variance + 2 * t * self.covariance + t * t * self.rate_variance
        return max(known, 0.0) + self.wander**2 * t**3 / 3 + (0.5 * self.drift * t * t) ** 2

    def innovation(self, observation: PathObservation) -> float:
        """By how much an observation exceeds its expected value, the delay taken for 0 where it is not known."""
        sign = observation.direction.sign
        value = float(observation.value_ns - sign * self.base_ns)
        return value - sign * self.offset_at(observation.local_ns) - (self.delay_ns or 0.0)

    def reference(self) -> tuple[int, float]:
        """Reference time at ``local_ns``: whole nanoseconds, and the fraction from 0 to 1."""
        whole = math.ceil(self.offset_ns)
        return self.local_ns - self.base_ns - whole, whole - self.offset_ns


class OffsetFilter(Protocol):
    """Digests observations of one reference over one path. What differs between the estimators."""

    generation: int
    """How often it restarted, by `restart` or because it found that path or reference changed."""

    def add_observation(self, observation: PathObservation) -> OffsetEstimate | None:
        """Digest one; the new estimate, if one was made. Never raises."""

    def restart(self) -> None:
        """Another path or another reference from now on: forget all but the rate."""

    def metrics(self) -> dict[str, int | float]:
        """Figures of its own."""
