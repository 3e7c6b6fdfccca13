"""The summary of a sweep as text, JSON and a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..._core.errors import GraphError, Problem
from ..compare.plot import need_matplotlib
from ..compare.seed_statistics import FigureSpread, confidence_words
from .sweep_jobs import SweepJob, SweepOutcome
from .sweep_summary import CandidateSpread, SweepSummary

SCHEMA = 1
_WIDTH = 80
_COLUMNS = (
    ("aligned, s", "time_to_lock_s", 1.0),
    ("error rms, frames", "alignment_error_rms_frames", 1.0),
    ("wander p-p, frames", "wander_pp_frames", 1.0),
    ("pitch, ppm/s", "pitch_slope_max_ppb_per_s", 0.001),
)
"""Title, figure and factor of each column."""


def as_table(summary: SweepSummary, results: str) -> list[str]:
    """Lines of at most 80 columns: by scenario, the median of each figure with its 5 % and 95 % quantiles."""
    lines: list[str] = []
    names = [spread.candidate for spread in summary.spreads]
    width = min(26, 2 + max(map(len, names), default=0))
    for scenario in dict.fromkeys(spread.scenario for spread in summary.spreads):
        lines.append(f"{scenario:{width}}" + "".join(f"{title:>20}" for title, _, _ in _COLUMNS[: _fitting(width)]))
        for spread in summary.spreads:
            if spread.scenario == scenario:
                lines += _rows(spread, width)
        lines.append("")
    notes = [
        "Each figure: the median over the seeds, and in brackets its 5 % and 95 % quantiles.",
        _verdict(summary),
        f"All results: {results}",
    ]
    return [*lines, *(line for note in notes for line in textwrap.wrap(note, _WIDTH, break_on_hyphens=False))]


def _fitting(width: int) -> int:
    return max(1, min(len(_COLUMNS), (_WIDTH - width) // 20))


def _rows(spread: CandidateSpread, width: int) -> list[str]:
    name = textwrap.wrap(spread.candidate, width - 2, break_on_hyphens=False) or [""]
    cells = [_cell(spread.figures.get(figure), factor) for _, figure, factor in _COLUMNS[: _fitting(width)]]
    rows = [f"  {name[0]:{width - 2}}" + "".join(f"{cell:>20}" for cell in cells)]
    rows += [f"  {rest}" for rest in name[1:]]
    if spread.failures:
        rows.append(f"    {spread.failures} of {spread.runs} failed")
    return rows


def _cell(spread: FigureSpread | None, factor: float) -> str:
    if spread is None:
        return "-"
    return f"{_number(spread.median * factor)} ({_number(spread.low * factor)}..{_number(spread.high * factor)})"


def _number(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.2g}"


def _verdict(summary: SweepSummary) -> str:
    if not summary.recommended:
        return f"No recommendation: {summary.reason}."
    sure = confidence_words(summary.seeds_won, summary.seeds)
    return f"Recommended: {summary.recommended}, because {summary.reason}. {sure}"


def as_json(summary: SweepSummary, results: str) -> dict[str, Any]:
    """The same as JSON values; a figure that is infinite is None."""
    plain: dict[str, Any] = msgspec.to_builtins(summary)
    for spread in plain["spreads"]:
        for figure in spread["figures"].values():
            figure |= {name: None for name, value in figure.items() if math.isinf(value)}
    return {"schema": SCHEMA, "results": results, **plain}


def draw(jobs: Sequence[SweepJob], outcomes: Mapping[str, SweepOutcome], path: Path) -> None:
    """Write a PNG: by scenario, the spread of start-up time and of the largest error after it, for each candidate.

    Raises GraphError where matplotlib is not installed, or the file cannot be written.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for job in jobs:
        result = outcomes[job.key].result if job.key in outcomes else None
        if result is not None and result.time_to_lock_s is not None:
            figures = result.time_to_lock_s, result.alignment_error_max_frames
            cells.setdefault((job.scenario, job.candidate), []).append(figures)
    scenarios = list(dict.fromkeys(scenario for scenario, _ in cells))
    figure = Figure(figsize=(12, 1.2 + 2.4 * max(1, len(scenarios))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(max(1, len(scenarios)), 2, squeeze=False)
    for (left, right), scenario in zip(panels, scenarios, strict=False):
        names = [candidate for where, candidate in cells if where == scenario]
        for panel, at in ((left, 0), (right, 1)):
            panel.boxplot([[each[at] for each in cells[scenario, name]] for name in names], orientation="horizontal")
            panel.set_yticks(range(1, len(names) + 1), names)
            panel.grid(visible=True, axis="x", alpha=0.3)
        left.set(title=f"{scenario}: start-up", xlabel="seconds until aligned")
        right.set(title=f"{scenario}: after that", xlabel="largest alignment error, frames")
        right.axvline(1.0, color="black", linestyle="--", linewidth=0.8)  # one frame: what a listener may rely on
        right.set_xlim(left=0.0)
    try:
        figure.savefig(path, format="png", dpi=100)
    except OSError as error:
        raise GraphError([Problem("--plot", f"cannot write {path}: {error.strerror}")]) from error
