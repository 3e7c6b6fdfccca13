"""From packet stamps to a clock estimate: the plugin's own registry of estimators. Pure arithmetic.

estimator = make_estimator("kalman", lock_within=20_000)
estimator.add_sample(sample)                 # SyncSample, DelaySample, PeerDelaySample, as they come
estimator.reference_changed(now_ns, same_timescale=True)
estimator.estimate(now_ns)                   # a ClockEstimate; timescale and grandmaster are the caller's
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from .clock_estimator import ClockEstimator
from .kalman import KalmanOffsetFilter
from .offset_estimate import OffsetFilter
from .options import EstimatorOptions, KalmanOptions, WindowOptions
from .window import MedianOffsetFilter, RegressionOffsetFilter


class EstimatorKind(msgspec.Struct, frozen=True):
    """An estimator that can be chosen by name."""

    summary: str
    options: type[EstimatorOptions]
    make_filter: Callable[[Any], OffsetFilter]


ESTIMATORS: Mapping[str, EstimatorKind] = MappingProxyType(
    {
        "kalman": EstimatorKind(
            "Order statistics of each direction apart into a bank of Kalman filters; the one to use.",
            KalmanOptions,
            KalmanOffsetFilter,
        ),
        "linear-regression": EstimatorKind(
            "A robust straight line through the newest seconds of both directions.",
            WindowOptions,
            RegressionOffsetFilter,
        ),
        "median": EstimatorKind(
            "The median of each direction over the newest seconds.", WindowOptions, MedianOffsetFilter
        ),
    }
)


def make_estimator(name: str = "kalman", **options: Any) -> ClockEstimator:
    """An estimator of `ESTIMATORS`, with some of its options. Raises KeyError or TypeError for what it has not."""
    kind = ESTIMATORS[name]
    given = kind.options(**options)
    return ClockEstimator(kind.make_filter(given), given)


__all__ = [
    "ESTIMATORS",
    "ClockEstimator",
    "EstimatorKind",
    "EstimatorOptions",
    "KalmanOptions",
    "WindowOptions",
    "make_estimator",
]
