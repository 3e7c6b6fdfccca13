"""A comparison as a picture: by scenario, the alignment error at the start and over the run, and the ratio's error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._core.errors import GraphError, Problem
from ..._core.invocation import install_command
from .comparison import Point, StrategyComparison

_MOST_POINTS = 4000
_START_S = 20.0
"""The start-up, which has a panel of its own."""
_FRAME = 1.0
"""The alignment that a listener may rely on: a line on either side."""
_LEAST_FRAMES, _LEAST_PPM = 1.5, 0.5
_MOST_FRAMES, _MOST_PPM = 20.0, 20.0
"""Least and largest value that an axis shows: a strategy that fails must not flatten the others."""


def draw(comparison: StrategyComparison, path: Path) -> None:
    """Write a PNG. Raises GraphError where matplotlib is not installed, or the file cannot be written."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scenarios = comparison.scenarios
    figure = Figure(figsize=(16, 1.0 + 2.8 * len(scenarios)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(scenarios), 3, squeeze=False)
    for row, scenario in zip(panels, scenarios, strict=True):
        by_strategy = {it.strategy: it.points for it in comparison.results if it.scenario == scenario}
        whole = [each for points in by_strategy.values() for each in points]
        start = min(_START_S, max((at for at, _, _ in whole), default=_START_S))
        starts = {name: [each for each in points if each[0] <= start] for name, points in by_strategy.items()}
        later = {name: [each for each in points if each[0] > start] or points for name, points in by_strategy.items()}
        for panel, lines, column, title in (
            (row[0], starts, 1, f"{scenario}: the first {start:.0f} s"),
            (row[1], later, 1, f"{scenario}: after that"),
            (row[2], later, 2, f"{scenario}: pitch after that"),
        ):
            frames = column == 1
            _draw_panel(panel, lines, column, *((_LEAST_FRAMES, _MOST_FRAMES) if frames else (_LEAST_PPM, _MOST_PPM)))
            panel.set_title(title)
            panel.set_ylabel("alignment error, frames" if frames else "ratio error, ppm")
            if frames:
                for edge in (-_FRAME, _FRAME):
                    panel.axhline(edge, color="black", linestyle="--", linewidth=0.8)
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(1, len(labels)))
    try:
        figure.savefig(path, format="png", dpi=100)
    except OSError as error:
        raise GraphError([Problem("--plot", f"cannot write {path}: {error.strerror}")]) from error


def _draw_panel(panel: Any, lines: Mapping[str, Sequence[Point]], column: int, least: float, most: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    extreme = least
    for name, points in lines.items():
        shown = points[:: max(1, len(points) // _MOST_POINTS)]
        scale = 1.0 if column == 1 else 0.001
        values = [each[column] * scale for each in shown]
        panel.plot([each[0] for each in shown], values, label=name, linewidth=0.9)
        extreme = max([extreme, *map(abs, values)])
    limit = 1.08 * min(extreme, most)
    panel.set_ylim(-limit, limit)
    panel.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.grid(visible=True, alpha=0.3)
    panel.margins(x=0.01)
    if extreme > most:
        panel.annotate(f"up to {extreme:.3g}", (0.99, 0.96), xycoords="axes fraction", ha="right", va="top")


def need_matplotlib() -> None:
    """Raises GraphError with the install command if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        hint = install_command("phasegraph[plot]")
        raise GraphError([Problem("--plot", "drawing needs matplotlib, which is not installed", hint)]) from None
