"""A comparison as a table and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ..._core.units import format_duration
from .comparison import Result, StrategyComparison
from .recommend import Recommendation

SCHEMA = 1


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _microseconds(value_ns: float | None) -> str:
    return "-" if value_ns is None else f"{value_ns / 1000:.1f}"


_ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("aligned after", lambda result: _seconds(result.time_to_lock_s)),
    ("rate lock after", lambda result: _seconds(result.time_to_rate_lock_s)),
    ("alignment error, frames rms", lambda result: f"{result.alignment_error_rms_frames:.3g}"),
    ("alignment error, frames max", lambda result: f"{result.alignment_error_max_frames:.3g}"),
    ("wander, frames rms", lambda result: f"{result.wander_rms_frames:.3f}"),
    ("wander, frames peak to peak", lambda result: f"{result.wander_pp_frames:.2f}"),
    ("change of pitch, ppm/s max", lambda result: f"{result.pitch_slope_max_ppb_per_s / 1000:.2f}"),
    ("ratio error, ppm rms", lambda result: f"{result.ratio_error_rms_ppb / 1000:.3f}"),
    ("underruns", lambda result: str(result.underruns)),
    ("resyncs", lambda result: str(result.resyncs)),
    ("latency", lambda result: format_duration(result.latency_ns)),
    ("THD+N, dB", lambda result: "-" if result.thd_n_db is None else f"{result.thd_n_db:.1f}"),
)
_APART_ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("between cards, us p99", lambda result: _microseconds(result.apart_p99_ns)),
    ("between cards, us max", lambda result: _microseconds(result.apart_max_ns)),
)
"""Of a graph with several sound cards."""
_WIDTH = 80
_TITLE_WIDTH = 2 + max(len(title) for title, _ in _ROWS)


def as_table(comparison: StrategyComparison, recommendation: Recommendation) -> list[str]:
    """The results by scenario, the strategies left out, and the recommendation, as lines of at most 80 columns."""
    lines: list[str] = []
    for scenario in comparison.scenarios:
        results = [result for result in comparison.results if result.scenario == scenario]
        for block in _blocks(results):
            lines += [*_table(scenario, block), ""]
    notes = [
        f"{format_duration(comparison.duration_s * 1e9)} each, seed {comparison.seed}. Errors, wander, pitch and ratio "
        f"count from the compensator's lock on. THD+N: a tone of {comparison.tone_hz:g} Hz at -6 dBFS, notch of "
        f"+-{comparison.notch_hz:g} Hz, at the end of the run.",
        *_link_offset_notes(comparison),
        *(f"Left out is the strategy '{strategy}': {why}." for strategy, why in comparison.left_out.items()),
        "",
        f"Recommended: {recommendation.strategy}, because {recommendation.reason}.",
    ]
    return [*lines, *(line for note in notes for line in textwrap.wrap(note, _WIDTH, break_on_hyphens=False) or [""])]


def _link_offset_notes(comparison: StrategyComparison) -> Iterator[str]:
    # Underruns are frames that came too late, or not yet: what a network loses is not counted among them.
    for scenario in comparison.scenarios:
        if all(result.underruns for result in comparison.results if result.scenario == scenario):
            yield (
                f"In {scenario} frames arrive after their time with every strategy: the link offset is too short. "
                f"`kernel simulate --scenario {scenario}` says by how much; --set sources.ID.link-offset=TIME "
                "compares with another."
            )


def _blocks(results: list[Result]) -> Iterator[list[Result]]:
    """The results in groups whose columns fit into the width."""
    block: list[Result] = []
    for result in results:
        if block and _TITLE_WIDTH + sum(map(_column_width, [*block, result])) > _WIDTH:
            yield block
            block = []
        block.append(result)
    yield block


def _column_width(result: Result) -> int:
    return 2 + max(len(result.strategy), *(len(show(result)) for _, show in _ROWS))


def _table(scenario: str, results: list[Result]) -> Iterator[str]:
    widths = [_column_width(result) for result in results]
    rows = [(scenario, [result.strategy for result in results])]
    several = any(result.apart_p99_ns is not None for result in results)
    shown = _ROWS + _APART_ROWS if several else _ROWS
    rows += [(f"  {title}", [show(result) for result in results]) for title, show in shown]
    for title, cells in rows:
        yield f"{title:{_TITLE_WIDTH}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def as_json(comparison: StrategyComparison, recommendation: Recommendation, graph: str) -> dict[str, Any]:
    """The same as JSON values."""
    results = [msgspec.to_builtins(result) for result in comparison.results]
    for result in results:
        del result["points"]
    return {
        "schema": SCHEMA,
        "graph": graph,
        "duration_s": comparison.duration_s,
        "seed": comparison.seed,
        "tone_hz": comparison.tone_hz,
        "notch_hz": comparison.notch_hz,
        "results": results,
        "left_out": dict(comparison.left_out),
        "recommendation": msgspec.to_builtins(recommendation),
    }
