"""A comparison as a picture: the alignment error of each strategy over time, one panel for each scenario."""

from __future__ import annotations

from pathlib import Path

from ..._core.errors import GraphError, Problem
from .comparison import StrategyComparison

_MOST_POINTS = 4000


def draw(comparison: StrategyComparison, path: Path) -> None:
    """Write a PNG. Raises GraphError where matplotlib is not installed, or the file cannot be written."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scenarios = comparison.scenarios
    figure = Figure(figsize=(12, 3 * len(scenarios)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(scenarios), 2, squeeze=False, sharex=True)
    for (left, right), scenario in zip(panels, scenarios, strict=True):
        for result in comparison.results:
            if result.scenario == scenario:
                points = result.points[:: max(1, len(result.points) // _MOST_POINTS)]
                seconds, error, ratio = zip(*points, strict=True) if points else ((), (), ())
                left.plot(seconds, error, label=result.strategy, linewidth=0.8)
                right.plot(seconds, [value / 1000 for value in ratio], label=result.strategy, linewidth=0.8)
        left.set(title=scenario, ylabel="alignment error, frames", yscale="symlog")
        right.set(title=scenario, ylabel="ratio error, ppm", yscale="symlog")
        for panel in (left, right):
            panel.grid(visible=True, alpha=0.3)
    panels[0][0].legend()
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    try:
        figure.savefig(path, format="png", dpi=100)
    except OSError as error:
        raise GraphError([Problem("--plot", f"cannot write {path}: {error.strerror}")]) from error


def need_matplotlib() -> None:
    """Raises GraphError with the install command if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        hint = "pip install 'phasegraph[plot]'"
        raise GraphError([Problem("--plot", "drawing needs matplotlib, which is not installed", hint)]) from None
