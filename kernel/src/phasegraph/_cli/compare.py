"""``kernel simulate`` and ``kernel compare``, once their options are read."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click

from .._core.units import format_duration
from .._graph_file import load_graph
from .._plugins import loader
from .._run.logging import StandardError, make_log
from .._run.session import Session
from .._run.trace import Trace
from .._run.words import in_words
from ..simulation.compare.comparison import DEFAULT_SCENARIOS, compare
from ..simulation.compare.plot import draw, need_matplotlib
from ..simulation.compare.recommend import recommend
from ..simulation.compare.table import as_json, as_table
from ..simulation.scenario import load_scenario
from ..simulation.simulation_run import Simulation
from ..simulation.truth_sentences import truth_in_words
from .run import exit_code, must_be_writable, tell

_SAY_EVERY_S = 5.0


def simulate_command(
    graph_path: Path,
    *,
    profile: str | None,
    overrides: Sequence[str],
    scenario: str,
    duration_ns: int,
    seed: int,
    listen_ns: int,
    report: Path | None,
    trace: Path | None,
) -> int:
    """Simulate a graph; returns the exit code. Raises GraphError for a graph or scenario that is wrong."""
    deployment = load_scenario(scenario)
    registry = loader.load()
    graph = load_graph(graph_path, registry, profile=profile, overrides=overrides)
    must_be_writable(report)
    log = make_log(level="error")
    simulation = Simulation(
        graph,
        registry,
        deployment,
        seed=seed,
        log=log,
        for_ns=duration_ns,
        listen_ns=listen_ns,
        trace=Trace(trace, log.error),
        profile=profile,
    )
    progress = Progress(duration_ns)
    result = simulation.run(progress, signals=True)
    progress.close(result["duration_s"])
    tell(result, [*in_words(result), *truth_in_words(result)], report)
    return exit_code(result)


class Progress:
    """Says on standard error, now and then, how far a simulation has come."""

    def __init__(self, duration_ns: int, title: str = "") -> None:
        self._whole_s = duration_ns / 1e9
        self._title = f"{title}: " if title else ""
        self._began = self._said = time.monotonic()

    def __call__(self, session: Session) -> None:
        """Called twice a virtual second."""
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            done_s = session.meter.duration_s
            rest_s = (self._whole_s - done_s) / done_s * (now - self._began)
            done, whole = format_duration(done_s * 1e9), format_duration(self._whole_s * 1e9)
            speed = done_s / (now - self._began)
            left = format_duration(rest_s * 1e9)
            self._say(f"{done} of {whole} simulated, {speed:.0f} times as fast as real time, {left} left")

    def close(self, done_s: float) -> None:
        """Say how long it took."""
        took_s = time.monotonic() - self._began
        done, took = format_duration(done_s * 1e9), format_duration(took_s * 1e9)
        self._say(f"{done} simulated in {took}: {done_s / took_s:.0f} times as fast as real time")

    def _say(self, line: str) -> None:
        print(self._title + line, file=StandardError(), flush=True)


def compare_command(
    graph_path: Path,
    *,
    profile: str | None,
    overrides: Sequence[str],
    strategies: str | None,
    scenarios: Sequence[str],
    duration_ns: int,
    seed: int,
    plot: Path | None,
    format: str,
) -> int:
    """Compare strategies; returns the exit code. Raises GraphError for a graph, scenario or strategy that is wrong."""
    deployments = [load_scenario(name) for name in scenarios or DEFAULT_SCENARIOS]
    if plot is not None:
        need_matplotlib()
    registry = loader.load()
    graph = load_graph(graph_path, registry, profile=profile, overrides=overrides)
    comparison = compare(
        graph,
        registry,
        deployments,
        strategies=None if strategies is None else [name.strip() for name in strategies.split(",")],
        for_ns=duration_ns,
        seed=seed,
        log=make_log(level="error"),
        keep_points=plot is not None,
        tell=lambda strategy, scenario: Progress(duration_ns, f"{strategy} in {scenario}"),
    )
    recommendation = recommend(comparison)
    if plot is not None:
        draw(comparison, plot)
    if format == "json":
        click.echo(json.dumps(as_json(comparison, recommendation, str(graph_path)), indent=2))
    else:
        for line in as_table(comparison, recommendation):
            click.echo(line)
    return 0
