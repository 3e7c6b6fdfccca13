"""A comparison as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..._core.units import format_duration
from .comparison import Result, StrategyComparison
from .recommend import Recommendation

SCHEMA = 1


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


_COLUMNS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("strategy", lambda result: result.strategy),
    ("aligned", lambda result: _seconds(result.time_to_lock_s)),
    ("rate lock", lambda result: _seconds(result.time_to_rate_lock_s)),
    ("alignment rms", lambda result: f"{result.alignment_error_rms_frames:.3g}"),
    ("max", lambda result: f"{result.alignment_error_max_frames:.3g}"),
    ("wander", lambda result: f"{result.wander_rms_frames:.3f}"),
    ("p-p", lambda result: f"{result.wander_pp_frames:.2f}"),
    ("pitch, ppm/s", lambda result: f"{result.pitch_slope_max_ppb_per_s / 1000:.2f}"),
    ("ratio, ppm", lambda result: f"{result.ratio_error_rms_ppb / 1000:.3f}"),
    ("underruns", lambda result: str(result.underruns)),
    ("resyncs", lambda result: str(result.resyncs)),
    ("latency", lambda result: format_duration(result.latency_ns)),
    ("THD+N, dB", lambda result: "-" if result.thd_n_db is None else f"{result.thd_n_db:.1f}"),
)


def as_table(comparison: StrategyComparison, recommendation: Recommendation) -> list[str]:
    """The results by scenario, the strategies left out, and the recommendation, as lines of text."""
    lines: list[str] = []
    for scenario in comparison.scenarios:
        results = [result for result in comparison.results if result.scenario == scenario]
        rows = [[name for name, _ in _COLUMNS], *([show(result) for _, show in _COLUMNS] for result in results)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines.append(scenario)
        for first, *rest in rows:
            cells = [
                f"{first:{widths[0]}}",
                *(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)),
            ]
            lines.append("  " + "  ".join(cells))
        lines.append("")
    lines.append(
        f"{format_duration(comparison.duration_s * 1e9)} each, seed {comparison.seed}. Alignment and wander are in "
        "frames. Alignment, wander, pitch and ratio count from the compensator's lock on. THD+N: a tone of "
        f"{comparison.tone_hz:g} Hz at -6 dBFS, notch of +-{comparison.notch_hz:g} Hz, at the end of the run."
    )
    lines += [f"Left out: {strategy}: {why}." for strategy, why in comparison.left_out.items()]
    return [*lines, "", f"Recommended: {recommendation.strategy}, because {recommendation.reason}."]


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
