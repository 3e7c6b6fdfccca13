"""A comparison as a picture: the alignment error of each strategy over time, one panel for each scenario."""

from __future__ import annotations

from pathlib import Path

from ..._core.errors import GraphError, Problem
from ..._core.invocation import install_command
from .comparison import StrategyComparison

_MOST_POINTS = 4000
_LINEAR_TO = 3.0
"""Largest value of a panel whose axis is linear."""


def draw(comparison: StrategyComparison, path: Path) -> None:
    """Write a PNG. Raises GraphError where matplotlib is not installed, or the file cannot be written."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter, SymmetricalLogLocator

    scenarios = comparison.scenarios
    figure = Figure(figsize=(12, 3 * len(scenarios)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(scenarios), 2, squeeze=False, sharex=True)
    for (left, right), scenario in zip(panels, scenarios, strict=True):
        extremes = [0.0, 0.0]
        for result in comparison.results:
            if result.scenario == scenario:
                points = result.points[:: max(1, len(result.points) // _MOST_POINTS)]
                seconds, error, ratio_ppb = zip(*points, strict=True) if points else ((), (), ())
                values = error, [value / 1000 for value in ratio_ppb]
                for panel, column in zip((left, right), values, strict=True):
                    panel.plot(seconds, column, label=result.strategy, linewidth=0.8)
                extremes = [max([extreme, *map(abs, column)]) for extreme, column in zip(extremes, values, strict=True)]
        left.set(title=scenario, ylabel="alignment error, frames")
        right.set(title=scenario, ylabel="ratio error, ppm")
        for panel, extreme in zip((left, right), extremes, strict=True):
            panel.grid(visible=True, alpha=0.3)
            if extreme > _LINEAR_TO:  # decades, each with one number as people write it: 1, 10, -100
                panel.set_yscale("symlog", linthresh=1.0, linscale=1.0)
                panel.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1.0))
                panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                panel.yaxis.set_minor_formatter(NullFormatter())
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
        hint = install_command("phasegraph[plot]")
        raise GraphError([Problem("--plot", "drawing needs matplotlib, which is not installed", hint)]) from None
