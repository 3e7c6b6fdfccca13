"""Filters: from single stamps to where the leader's time is, how fast it runs, and how wrong both may be. Pure.

A filter is told of one leader only. It asks no clock; times are integers, in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from .envelope import EnvelopeFilter
from .median import MedianFilter
from .nqptp import NqptpFilter
from .smoothed_offsets import SmoothedOffsetFilter
from .timing_samples import (
    PATH_LIMIT_NS,
    RATE_LIMIT,
    DelayExchange,
    FilterSolution,
    LeaderSync,
    TimingFilter,
    TimingSample,
)

FILTERS: dict[str, Callable[[], TimingFilter]] = {
    "envelope": EnvelopeFilter,
    "median": MedianFilter,
    "nqptp": NqptpFilter,
}
"""The filters that a graph can choose, by name."""
SPARES = {"envelope": 2, "median": 0, "nqptp": 0}
"""Additional delay requests for each of a new leader's first Syncs: of more packets the fastest is faster, and the rate
is known sooner. It has one before the first Sync too, and follows a leader by its first Announce. The others stand for
what other followers do, and get the packets that these get; a median does not gain from several answers to one Sync."""

__all__ = [
    "FILTERS",
    "PATH_LIMIT_NS",
    "RATE_LIMIT",
    "SPARES",
    "DelayExchange",
    "EnvelopeFilter",
    "FilterSolution",
    "LeaderSync",
    "MedianFilter",
    "NqptpFilter",
    "SmoothedOffsetFilter",
    "TimingFilter",
    "TimingSample",
]
