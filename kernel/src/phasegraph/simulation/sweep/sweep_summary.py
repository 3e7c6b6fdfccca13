"""What a sweep shows: quantiles and confidence of each candidate, and a recommendation that says how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..compare.comparison import Result, StrategyComparison
from ..compare.recommend import recommend
from .sweep_jobs import SweepJob, SweepOutcome

QUANTILES = (0.05, 0.5, 0.95)
CONFIDENCE_SIGMAS = 1.96
"""Of a normal distribution: 95 %."""
_RESAMPLES = 1000
FIGURES = (
    "time_to_lock_s",
    "alignment_error_rms_frames",
    "alignment_error_max_frames",
    "wander_pp_frames",
    "pitch_slope_max_ppb_per_s",
    "underruns",
    "resyncs",
    "latency_ns",
)
"""The figures of a `Result` that the summary has."""


class FigureSpread(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a candidate over the seeds of a scenario. An event that never came counts as infinite."""

    low: float
    median: float
    high: float
    """Quantiles: see `QUANTILES`."""
    median_from: float
    median_to: float
    """The median's 95 % confidence interval, by bootstrap."""


class CandidateSpread(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate in one scenario."""

    candidate: str
    scenario: str
    runs: int
    failures: int
    figures: dict[str, FigureSpread]


class SweepSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A whole sweep."""

    spreads: tuple[CandidateSpread, ...]
    recommended: str
    """Empty where no seed has all results."""
    reason: str
    seeds_won: int
    """Seeds with which the rules of `recommend` choose the recommended candidate."""
    seeds: int
    """Seeds of which all results are there."""
    share_from: float
    share_to: float
    """95 % confidence interval (Wilson) of the share of all possible seeds with which it would be chosen."""


def summarise(jobs: Sequence[SweepJob], outcomes: Mapping[str, SweepOutcome]) -> SweepSummary:
    """The summary of the jobs that have outcomes. The same outcomes give the same summary."""
    done = [(job, outcomes[job.key]) for job in jobs if job.key in outcomes]
    cells: dict[tuple[str, str], list[SweepOutcome]] = {}
    for job, outcome in done:
        cells.setdefault((job.candidate, job.scenario), []).append(outcome)
    spreads = tuple(_spread(candidate, scenario, cell) for (candidate, scenario), cell in cells.items())
    winners = _winners(jobs, outcomes)
    if not winners:
        reason = "no seed has results of all candidates in all scenarios"
        return SweepSummary(
            spreads=spreads, recommended="", reason=reason, seeds_won=0, seeds=0, share_from=0.0, share_to=1.0
        )
    counts = {name: sum(winner == name for winner, _ in winners) for name, _ in winners}
    best = max(counts, key=lambda name: counts[name])
    reason = next(why for winner, why in winners if winner == best)
    low, high = wilson_interval(counts[best], len(winners))
    return SweepSummary(
        spreads=spreads,
        recommended=best,
        reason=reason,
        seeds_won=counts[best],
        seeds=len(winners),
        share_from=low,
        share_to=high,
    )


def _winners(jobs: Sequence[SweepJob], outcomes: Mapping[str, SweepOutcome]) -> list[tuple[str, str]]:
    # For each seed with all results, which candidate the rules choose and why. One that failed is not eligible.
    winners = []
    for seed in dict.fromkeys(job.seed for job in jobs):
        of_seed = [job for job in jobs if job.seed == seed]
        if any(job.key not in outcomes for job in of_seed):
            continue
        failed = {job.candidate for job in of_seed if outcomes[job.key].result is None}
        results = tuple(
            msgspec.structs.replace(result, strategy=job.candidate)
            for job in of_seed
            if job.candidate not in failed and (result := outcomes[job.key].result) is not None
        )
        if results:
            comparison = StrategyComparison(
                duration_s=0.0, seed=seed, tone_hz=0.0, notch_hz=0.0, results=results, left_out={}
            )
            chosen = recommend(comparison)
            winners.append((chosen.strategy, chosen.reason))
    return winners


def _spread(candidate: str, scenario: str, outcomes: Sequence[SweepOutcome]) -> CandidateSpread:
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    figures = {name: _figure_spread(_values(results, name)) for name in FIGURES} if results else {}
    return CandidateSpread(
        candidate=candidate,
        scenario=scenario,
        runs=len(outcomes),
        failures=len(outcomes) - len(results),
        figures=figures,
    )


def _values(results: Sequence[Result], name: str) -> NDArray[np.float64]:
    values = [getattr(result, name) for result in results]
    return np.array([math.inf if value is None else value for value in values], np.float64)


def _figure_spread(values: NDArray[np.float64]) -> FigureSpread:
    # Quantiles that are values that were measured: infinite ones cannot be averaged.
    low, median, high = np.quantile(values, QUANTILES, method="inverted_cdf").tolist()
    random = np.random.default_rng(len(values))
    drawn = random.choice(values, (_RESAMPLES, len(values)))
    medians = np.quantile(drawn, 0.5, axis=1, method="inverted_cdf")
    first, last = np.quantile(medians, (0.025, 0.975), method="inverted_cdf").tolist()
    return FigureSpread(low=low, median=median, high=high, median_from=first, median_to=last)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, by Wilson's score."""
    z2 = CONFIDENCE_SIGMAS**2
    share, centre = successes / trials, 1 + z2 / trials
    half = CONFIDENCE_SIGMAS * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, (share + z2 / (2 * trials) - half) / centre), min(1.0, (share + z2 / (2 * trials) + half) / centre)
