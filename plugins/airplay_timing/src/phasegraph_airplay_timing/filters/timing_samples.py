"""Input and output of filters."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

PATH_LIMIT_NS = 100_000_000
"""A path is not taken for longer than this, one way. Without answers, it is all that is known of its delay."""
RATE_LIMIT = 300e-6
"""No clock runs faster or slower than another by more."""


class LeaderSync(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One Sync, from the leader to us."""

    origin_ns: int
    """When it left, by the leader's clock, before corrections."""
    correction: int = 0
    """Of the Follow_Up, in 2**-16 ns."""
    sync_correction: int = 0
    """Of the Sync itself, in 2**-16 ns: nearly always zero."""
    arrived_ns: int
    """T2, local time of the Sync's arrival."""
    told_ns: int
    """Local time at which the Follow_Up came, which only the filter ``nqptp`` wants to know."""

    @property
    def departed_ns(self) -> int:
        """T1, with the corrections."""
        return self.origin_ns + (self.correction + self.sync_correction >> 16)


class DelayExchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Sync that the filter already has, and our Delay_Req that followed it."""

    sync: LeaderSync
    asked_ns: int
    """T3, local time at which the question left."""
    reached_ns: int
    """T4, the leader's time at which it arrived."""
    answered_ns: int | None = None
    """Local time at which the answer arrived, which left at ``reached_ns`` or later."""
    spare: bool = False
    """Whether it is another exchange after the same Sync."""

    @property
    def round_trip_ns(self) -> int:
        """Both ways together."""
        return self.reached_ns - self.sync.departed_ns - (self.asked_ns - self.sync.arrived_ns)

    @property
    def offset_ns(self) -> int:
        """The leader's time less local time, were both ways equally long."""
        return (self.sync.departed_ns - self.sync.arrived_ns + self.reached_ns - self.asked_ns) // 2


TimingSample = LeaderSync | DelayExchange


def limits_of(sample: TimingSample) -> Iterator[tuple[bool, int, int]]:
    """What a sample says of the offset: whether it is a lower limit, the local time that it is for, and the limit.

    A packet takes no less than no time: the offset is at least what a packet of the leader shows, and at most what a
    packet to the leader shows.
    """
    if isinstance(sample, LeaderSync):
        yield True, sample.arrived_ns, sample.departed_ns - sample.arrived_ns
        return
    yield False, sample.asked_ns, sample.reached_ns - sample.asked_ns
    if sample.answered_ns is not None:
        yield True, sample.answered_ns, sample.reached_ns - sample.answered_ns


def slope_of(points: Sequence[tuple[int, int]]) -> float:
    """The slope of offsets over local times by least squares, about the first point so that the numbers stay small."""
    times = [local - points[0][0] for local, _ in points]
    gains = [offset - points[0][1] for _, offset in points]
    return statistics.linear_regression(times, gains).slope


class FilterSolution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the leader's time is."""

    local_ns: int
    """The local time that this is for."""
    offset_ns: int
    """The leader's time less local time."""
    rate: float
    """By how much the leader's time runs faster than local time, as a ratio."""
    sigma_ns: float
    bound_ns: float
    """The offset is not farther off than this, whatever the asymmetry of the path."""
    two_way: bool
    """Whether the path's delay has been measured. If not, it is missing from the offset, and in the bound."""
    delay_ns: float | None
    """The least delay of one way that was seen, by halves of round trips."""

    def offset_at(self, local_ns: int) -> int:
        """The offset at another local time, by the rate."""
        return self.offset_ns + round((local_ns - self.local_ns) * self.rate)


class TimingFilter(Protocol):
    """A filter of one leader's stamps."""

    def add_sample(self, sample: TimingSample) -> None:
        """Another sample, not older than the one before but for reordering."""

    def solve(self, now_ns: int) -> FilterSolution | None:
        """The solution at a local time not before the last sample; None while there is none."""
