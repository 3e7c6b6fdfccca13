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

__all__ = [
    "FILTERS",
    "PATH_LIMIT_NS",
    "RATE_LIMIT",
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
