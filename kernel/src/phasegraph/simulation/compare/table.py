"""A comparison as a table and as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ..._core.units import format_duration
from ..._option_types.wording import join_words
from .comparison import StrategyComparison
from .recommend import Recommendation
from .seed_statistics import confidence_words, figure_spread

SCHEMA = 1


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f} s"


def _decibels(value: float) -> str:
    return "-" if math.isinf(value) else f"{value:.1f}"


def _microseconds(value_ns: float) -> str:
    return "-" if math.isinf(value_ns) else f"{value_ns / 1000:.1f}"


_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("aligned after", "time_to_lock_s", _seconds),
    ("rate lock after", "time_to_rate_lock_s", _seconds),
    ("alignment error, frames rms", "alignment_error_rms_frames", lambda value: f"{value:.3g}"),
    ("alignment error, frames max", "alignment_error_max_frames", lambda value: f"{value:.3g}"),
    ("wander, frames rms", "wander_rms_frames", lambda value: f"{value:.3f}"),
    ("wander, frames peak to peak", "wander_pp_frames", lambda value: f"{value:.2f}"),
    ("change of pitch, ppm/s max", "pitch_slope_max_ppb_per_s", lambda value: f"{value / 1000:.2f}"),
    ("ratio error, ppm rms", "ratio_error_rms_ppb", lambda value: f"{value / 1000:.3f}"),
    ("underruns", "underruns", lambda value: f"{value:.0f}"),
    ("resyncs", "resyncs", lambda value: f"{value:.0f}"),
    ("latency", "latency_ns", format_duration),
    ("THD+N, dB", "thd_n_db", _decibels),
)
"""Title, field of `Result`, and its words. None in a result counts as infinite."""
_APART_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("between cards, us p99", "apart_p99_ns", _microseconds),
    ("between cards, us max", "apart_max_ns", _microseconds),
)
"""Of a graph with several sound cards."""
_WIDTH = 80
_TITLE_WIDTH = 2 + max(len(title) for title, _, _ in _ROWS)


def as_table(comparison: StrategyComparison, recommendation: Recommendation) -> list[str]:
    """The results by scenario, the strategies left out, and the recommendation, as lines of at most 80 columns."""
    lines: list[str] = []
    for scenario in comparison.scenarios:
        for block in _blocks(_columns(comparison, scenario)):
            lines += [*_table(scenario, block), ""]
    seeds = f"seed {comparison.seed}"
    if comparison.later:
        seeds = f"seeds {comparison.seeds[0]} to {comparison.seeds[-1]}: their median, 5 % and 95 % quantiles"
    notes = [
        f"{format_duration(comparison.duration_s * 1e9)} each, {seeds}. Errors, wander, pitch and ratio "
        f"count from the compensator's lock on. THD+N: a tone of {comparison.tone_hz:g} Hz at -6 dBFS, notch of "
        f"+-{comparison.notch_hz:g} Hz, at the end of the run.",
        *_link_offset_notes(comparison),
        *(f"Left out is the strategy '{strategy}': {why}." for strategy, why in comparison.left_out.items()),
        "",
        f"Recommended: {recommendation.strategy}, because {recommendation.reason}.{_sureness(recommendation)}",
    ]
    return [*lines, *(line for note in notes for line in textwrap.wrap(note, _WIDTH, break_on_hyphens=False) or [""])]


def _sureness(recommendation: Recommendation) -> str:
    # Among several strategies; of a single one there is nothing to be sure of.
    if recommendation.alone:
        return ""
    if recommendation.seeds == 1:
        return " How sure that is one seed does not say: --seeds 10 does."
    words = confidence_words(recommendation.won[recommendation.strategy], recommendation.seeds)
    others = [f"{name} with {count}" for name, count in recommendation.won.items() if name != recommendation.strategy]
    return f" {words}" + (f" Chosen too: {join_words(others, 'and')}." if others else "")


def _link_offset_notes(comparison: StrategyComparison) -> Iterator[str]:
    # Underruns are frames that came too late, or not yet: what a network loses is not counted among them.
    for scenario in comparison.scenarios:
        if all(result.underruns for result in comparison.results if result.scenario == scenario):
            yield (
                f"In {scenario} frames arrive after their time with every strategy: the link offset is too short. "
                f"`kernel simulate --scenario {scenario}` says by how much; --set sources.ID.link-offset=TIME "
                "compares with another."
            )


def _columns(comparison: StrategyComparison, scenario: str) -> list[tuple[str, list[str]]]:
    """The head and the cells of each strategy."""
    shown = _ROWS
    if any(result.apart_p99_ns is not None for result in comparison.results if result.scenario == scenario):
        shown = _ROWS + _APART_ROWS
    columns = []
    for strategy in comparison.strategies:
        results = comparison.of(strategy, scenario)
        columns.append(
            (strategy, [_cell([getattr(result, name) for result in results], say) for _, name, say in shown])
        )
    return columns


def _cell(values: list[float | None], say: Callable[[float], str]) -> str:
    if len(values) == 1:
        return say(math.inf if values[0] is None else values[0])
    spread = figure_spread(values)
    low, median, high = say(spread.low), say(spread.median), say(spread.high)
    return median if low == high else f"{median} ({low}..{high})"


def _blocks(columns: list[tuple[str, list[str]]]) -> Iterator[list[tuple[str, list[str]]]]:
    """The columns in groups that fit into the width."""
    block: list[tuple[str, list[str]]] = []
    for column in columns:
        if block and _TITLE_WIDTH + sum(map(_column_width, [*block, column])) > _WIDTH:
            yield block
            block = []
        block.append(column)
    yield block


def _column_width(column: tuple[str, list[str]]) -> int:
    return 2 + max(len(column[0]), *map(len, column[1]))


def _table(scenario: str, columns: list[tuple[str, list[str]]]) -> Iterator[str]:
    widths = [_column_width(column) for column in columns]
    titles = [f"  {title}" for title, _, _ in _ROWS + _APART_ROWS]
    rows = [(scenario, [head for head, _ in columns])]
    rows += [(title, list(cells)) for title, *cells in zip(titles, *(cells for _, cells in columns), strict=False)]
    for title, cells in rows:
        yield f"{title:{_TITLE_WIDTH}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def as_json(comparison: StrategyComparison, recommendation: Recommendation, graph: str) -> dict[str, Any]:
    """The same as JSON values."""
    by_seed = [
        [{**msgspec.to_builtins(result), "seed": seed} for result in results]
        for seed, results in zip(comparison.seeds, (comparison.results, *comparison.later), strict=True)
    ]
    results = [result for of_seed in by_seed for result in of_seed]
    for result in results:
        del result["points"]
    return {
        "schema": SCHEMA,
        "graph": graph,
        "duration_s": comparison.duration_s,
        "seed": comparison.seed,
        "seeds": comparison.seeds,
        "tone_hz": comparison.tone_hz,
        "notch_hz": comparison.notch_hz,
        "results": results,
        "spreads": _spreads(comparison) if comparison.later else [],
        "left_out": dict(comparison.left_out),
        "recommendation": msgspec.to_builtins(recommendation),
    }


def _spreads(comparison: StrategyComparison) -> list[dict[str, Any]]:
    # An infinite value, of an event that never came, is None: JSON has no other.
    spreads = []
    for strategy in comparison.strategies:
        for scenario in comparison.scenarios:
            results = comparison.of(strategy, scenario)
            figures = {
                name: {
                    key: None if math.isinf(value) else value
                    for key, value in msgspec.to_builtins(figure_spread([getattr(it, name) for it in results])).items()
                }
                for _, name, _ in _ROWS
            }
            spreads.append({"strategy": strategy, "scenario": scenario, "figures": figures})
    return spreads
