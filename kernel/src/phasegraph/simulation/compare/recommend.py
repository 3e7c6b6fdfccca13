"""Which strategy to choose, by published rules, with the reason as a sentence.

Each rule in turn keeps the strategies that are as good as the best by its measure, in their worst scenario. A rule
has a floor and a factor: inaudible differences do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..._option_types.wording import format_count, join_words
from .comparison import Result, StrategyComparison
from .seed_statistics import verdict_of

_NEVER_S = 1e9


class Rule(msgspec.Struct, frozen=True):
    """One measure of a strategy; smaller is better."""

    name: str
    """The quality of the best strategy, as the object of "it has"."""
    measure: Callable[[Result], float]
    words: Callable[[float], str]
    """Formats a value of the measure."""
    floor: float
    """Values below this are equally good."""
    factor: float = 1.5
    """A value of up to this many times the best is as good."""

    def worst(self, results: list[Result]) -> float:
        """The measure of a strategy: its worst in any scenario."""
        return max(self.measure(result) for result in results)


def _in_frames(value: float) -> str:
    return f"{value:.3g} frames"


def _seconds(value: float) -> str:
    return "never" if value >= _NEVER_S else f"{value:.3g} s"


RULES = (
    Rule(
        "the fewest gaps in the audio",
        lambda result: result.underruns + result.resyncs,
        lambda value: f"{format_count(round(value), 'underrun or resync', 'underruns and resyncs')}",
        0,
        1.0,
    ),
    Rule(
        "the frames nearest to their time, which several receivers of one stream need",
        lambda result: result.alignment_error_rms_frames,
        lambda value: f"{_in_frames(value)} alignment error rms",
        1.0,
    ),
    Rule(
        "the steadiest pitch",
        lambda result: result.pitch_slope_max_ppb_per_s / 1000,
        lambda value: f"{value:.3g} ppm/s",
        5.0,
    ),
    Rule(
        "the cleanest tone",
        lambda result: 0.0 if result.thd_n_db is None else 10.0 ** (result.thd_n_db / 20),
        lambda value: f"THD+N {_decibels(value):.0f} dB",
        1e-6,
    ),
    Rule("the least wander", lambda result: result.wander_rms_frames, lambda value: f"{_in_frames(value)} rms", 0.1),
    Rule(
        "the quickest lock",
        lambda result: _NEVER_S if result.time_to_rate_lock_s is None else result.time_to_rate_lock_s,
        _seconds,
        2.0,
    ),
)
"""In the order of what matters. A pitch that moves by 5 ppm/s takes two minutes for a cent; 1e-6 is -120 dB."""


class Recommendation(msgspec.Struct, frozen=True):
    """The recommended strategy."""

    strategy: str
    reason: str
    rules: tuple[str, ...]
    """Each applied rule, in order, and the strategies that it kept."""
    alone: bool = False
    """Whether nothing else was compared."""
    seeds: int = 1
    won: Mapping[str, int] = {}
    """Seeds with which the rules choose a strategy, by strategy."""
    share: tuple[float, float] = (0.0, 1.0)
    """95 % confidence interval of the share of all possible seeds with which the recommended one would be chosen."""


def recommend(comparison: StrategyComparison) -> Recommendation:
    """Apply the rules with each seed until one strategy is left, and recommend the one that is left most often.

    Of equally good ones the first in the requested order is left.
    """
    chosen = [_choose(results) for results in (comparison.results, *comparison.later)]
    verdict = verdict_of([(each.strategy, each.reason) for each in chosen])
    best = next(each for each in chosen if each.strategy == verdict.recommended)
    return msgspec.structs.replace(best, seeds=verdict.seeds, won=verdict.won, share=verdict.share)


def _choose(results: Sequence[Result]) -> Recommendation:
    by_strategy: dict[str, list[Result]] = {}
    for result in results:
        by_strategy.setdefault(result.strategy, []).append(result)
    left = list(by_strategy)
    applied, reasons = [], []
    for rule in RULES:
        if len(left) == 1:
            break
        values = {strategy: rule.worst(by_strategy[strategy]) for strategy in left}
        limit = max(rule.floor, min(values.values()) * rule.factor)
        out = [strategy for strategy in left if values[strategy] > limit]
        left = [strategy for strategy in left if values[strategy] <= limit]
        applied.append(f"{rule.name}: {join_words(left, 'and')}")
        if out:
            others = join_words([f"{strategy}: {rule.words(values[strategy])}" for strategy in out], "and")
            best = rule.words(min(values[strategy] for strategy in left))
            reasons.append(f"{rule.name} ({best}; {others})")
    if not reasons:
        reason = "it is the only one" if len(by_strategy) == 1 else "no rule separates them"
    else:
        reason = f"it has {'; '.join(reasons)}"
    return Recommendation(left[0], reason, tuple(applied), alone=len(by_strategy) == 1)


def _decibels(value: float) -> float:
    return 20 * math.log10(max(value, 1e-12))
