"""What a sweep shows: quantiles and confidence of each candidate, and a recommendation that says how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..compare.comparison import StrategyComparison
from ..compare.recommend import recommend
from ..compare.seed_statistics import FigureSpread, figure_spread, verdict_of
from .sweep_jobs import SweepJob, SweepOutcome

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
    """95 % confidence interval of the share of all possible seeds with which it would be chosen."""


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
    verdict = verdict_of(winners)
    low, high = verdict.share
    return SweepSummary(
        spreads=spreads,
        recommended=verdict.recommended,
        reason=verdict.reason,
        seeds_won=verdict.won[verdict.recommended],
        seeds=verdict.seeds,
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
    figures = (
        {name: figure_spread([getattr(result, name) for result in results]) for name in FIGURES} if results else {}
    )
    return CandidateSpread(
        candidate=candidate,
        scenario=scenario,
        runs=len(outcomes),
        failures=len(outcomes) - len(results),
        figures=figures,
    )
