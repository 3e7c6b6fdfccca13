"""What packets take, by direction: numbers of nanoseconds for an array of times, from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Way = Callable[[np.random.Generator, Array], Array]
US = 1e3
MS = 1e6


@dataclass(frozen=True)
class Path:
    """Both ways between two clocks."""

    there: Way
    """From the grandmaster."""
    back: Way
    asymmetry_ns: float = 0.0
    """By how much the way there is longer than the mean of both, queues apart: it cannot be measured."""
    loss: float = 0.0


def stack(base: float, scale: float) -> Way:
    """A network stack of its own accord: gamma distributed."""
    return lambda random, at: base + random.gamma(2, scale, len(at))


def gaussian(base: float, sd: float) -> Way:
    """Even noise, without a floor."""
    return lambda random, at: np.maximum(base + random.normal(0, sd, len(at)), US)


def uniform(base: float, width: float) -> Way:
    """Receive moderation: anything up to a width."""
    return lambda random, at: base + random.uniform(0, width, len(at)) + random.gamma(2, US, len(at))


def exponential(base: float, mean: float) -> Way:
    """A queue that is hardly ever empty."""
    return lambda random, at: base + random.exponential(mean, len(at))


def short_cuts(base: float, less: float, share: float, scale: float) -> Way:
    """Two modes: some packets are earlier than all others."""
    return lambda random, at: base - less * (random.random(len(at)) < share) + random.gamma(2, scale, len(at))


def loaded(base: float, share: float, mean: float, period_s: float = 0.0) -> Way:
    """A share of the packets waits behind bulk traffic; with a period, in its first half only."""

    def way(random: np.random.Generator, at: Array) -> Array:
        busy = random.random(len(at)) < share
        if period_s:
            busy &= at % (period_s * 1e9) < period_s * 0.5e9
        return base + random.gamma(2, 1.5 * US, len(at)) + busy * random.exponential(mean, len(at))

    return way


def wireless(base: float, mean: float, share: float, least: float, most: float) -> Way:
    """Contention, and bursts of retries."""
    return lambda random, at: (
        base
        + random.exponential(mean, len(at))
        + (random.random(len(at)) < share) * random.uniform(least, most, len(at))
    )


def empirical(delays: Array) -> Way:
    """Measured delays, resampled."""
    return lambda random, at: random.choice(delays, len(at))


PATHS = {
    "hardware": Path(exponential(US, 100), exponential(US, 100)),
    "quiet": Path(stack(20 * US, US), stack(20 * US, US)),
    "gaussian": Path(gaussian(MS, 200 * US), gaussian(MS, 200 * US)),
    "uniform": Path(uniform(MS, 400 * US), uniform(MS, 400 * US)),
    "exponential": Path(exponential(MS, 200 * US), exponential(MS, 200 * US), loss=0.01),
    "bimodal": Path(short_cuts(15 * US, 11 * US, 0.05, 800), short_cuts(15 * US, 11 * US, 0.05, 800)),
    "moderation": Path(uniform(20 * US, 50 * US), stack(20 * US, US)),
    "load": Path(loaded(25 * US, 0.6, 120 * US), stack(25 * US, 1.5 * US)),
    "bulk": Path(loaded(4 * US, 0.5, 1200 * US), stack(4 * US, 0.5 * US)),
    "load on/off": Path(loaded(25 * US, 0.6, 120 * US, period_s=120), stack(25 * US, 1.5 * US)),
    "wireless": Path(
        wireless(1.2 * MS, MS, 0.05, 5 * MS, 40 * MS),
        wireless(0.9 * MS, 0.7 * MS, 0.02, 5 * MS, 20 * MS),
        asymmetry_ns=150 * US,
        loss=0.02,
    ),
    "asymmetric": Path(stack(1.5 * MS, 10 * US), stack(0.5 * MS, 10 * US), asymmetry_ns=500 * US),
}
