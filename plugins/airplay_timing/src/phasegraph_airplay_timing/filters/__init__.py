"""Filters: from single stamps to where the leader's time is, how fast it runs, and how wrong both may be. Pure.

A filter is told of one leader only. It asks no clock; times are integers, in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from .envelope import EnvelopeFilter
from .given import GivenFilter
from .median import MedianFilter
from .nqptp import NqptpFilter
from .samples import PATH_LIMIT_NS, RATE_LIMIT, ExchangeSample, Filter, Sample, Solution, SyncSample

FILTERS: dict[str, Callable[[], Filter]] = {
    "envelope": EnvelopeFilter,
    "median": MedianFilter,
    "nqptp": NqptpFilter,
}
"""Those that a graph can choose, by name."""

__all__ = [
    "FILTERS",
    "PATH_LIMIT_NS",
    "RATE_LIMIT",
    "EnvelopeFilter",
    "ExchangeSample",
    "Filter",
    "GivenFilter",
    "MedianFilter",
    "NqptpFilter",
    "Sample",
    "Solution",
    "SyncSample",
]
