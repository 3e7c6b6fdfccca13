"""What several seeds say of the same trial: quantiles, confidence intervals, and how sure a recommendation is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from ..._option_types.wording import format_count

QUANTILES = (0.05, 0.5, 0.95)
_ONE_SIDE = 0.025
"""What a confidence of 95 % leaves out on each side."""
_HALVINGS = 40
_RESAMPLES = 1000


class FigureSpread(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a candidate over the seeds of a scenario. An event that never came counts as infinite."""

    low: float
    median: float
    high: float
    """Quantiles: see `QUANTILES`."""
    median_from: float
    median_to: float
    """The median's 95 % confidence interval, by bootstrap."""


class SeedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules of `recommend` choose with each seed."""

    recommended: str
    reason: str
    won: Mapping[str, int]
    """Seeds with which a candidate is chosen."""
    seeds: int

    @property
    def share(self) -> tuple[float, float]:
        """See `share_interval`, of the recommended candidate."""
        return share_interval(self.won[self.recommended], self.seeds)


def figure_spread(values: Sequence[float | None]) -> FigureSpread:
    """The spread of a figure, None for an event that never came. The same values give the same spread."""
    # Quantiles are values that were measured: infinite ones cannot be averaged.
    known = np.array([math.inf if value is None else value for value in values], np.float64)
    low, median, high = np.quantile(known, QUANTILES, method="inverted_cdf").tolist()
    random = np.random.default_rng(len(known))
    drawn = random.choice(known, (_RESAMPLES, len(known)))
    medians = np.quantile(drawn, 0.5, axis=1, method="inverted_cdf")
    first, last = np.quantile(medians, (_ONE_SIDE, 1 - _ONE_SIDE), method="inverted_cdf").tolist()
    return FigureSpread(low=low, median=median, high=high, median_from=first, median_to=last)


def verdict_of(winners: Sequence[tuple[str, str]]) -> SeedVerdict:
    """The verdict of at least one seed: ``winners`` has the chosen candidate and the reason for each."""
    won = {name: sum(winner == name for winner, _ in winners) for name, _ in winners}
    best = max(won, key=lambda name: won[name])
    reason = next(why for winner, why in winners if winner == best)
    return SeedVerdict(recommended=best, reason=reason, won=won, seeds=len(winners))


def confidence_words(won: int, seeds: int) -> str:
    """How sure a recommendation is that ``won`` of ``seeds`` seeds led to, as sentences."""
    low, high = share_interval(won, seeds)
    sure = "That is sure." if low > 0.5 else "That is not sure: more seeds may choose another."
    of_all = f"so with {100 * low:.0f} to {100 * high:.0f} % of all seeds (95 % confidence)"
    return f"It is chosen with {won} of {format_count(seeds, 'seed', 'seeds')}, {of_all}. {sure}"


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, by Clopper and Pearson: exact, and never narrower than it says."""
    return _least_share(successes, trials), 1.0 - _least_share(trials - successes, trials)


def _least_share(successes: int, trials: int) -> float:
    # The share with which as many successes, or more, come by chance in `_ONE_SIDE` of all cases; by bisection.
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    counts = np.arange(successes, trials + 1)
    ways = factorials[trials] - factorials[counts] - factorials[trials - counts]
    least, most = 0.0, 1.0
    for _ in range(_HALVINGS if successes else 0):
        share = (least + most) / 2
        chance = np.exp(ways + counts * math.log(share) + (trials - counts) * math.log1p(-share)).sum()
        least, most = (share, most) if chance < _ONE_SIDE else (least, share)
    return least
