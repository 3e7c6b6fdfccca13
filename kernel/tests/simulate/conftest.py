"""Whole simulations of small graphs, with the simulated kinds of the testing kit in place of other plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegraph._graph_file import parse_graph
from phasegraph._plugins.loader import Registry
from phasegraph._run.logging import make_log
from phasegraph.simulation.scenario import parse_scenario
from phasegraph.simulation.simulation_run import Simulation
from phasegraph.testing.graph_runs import shared_registry

PLAYING = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
clock = "house"
link-offset = "40ms"
[compensators.align]
kind = "sim-align"
time = "2s"
[sinks.card]
kind = "sim-card"
input = "stage"
compensator = "align"
"""
"""A stream of a network on a sound card."""
IDEAL = """
[clock]
noise = "0ns"
first-error = "0ns"
[network]
jitter = "0ns"
[card]
block = 256
granularity = 0
stamp-noise = "0ns"
callback-jitter = "0ns"
late-callbacks = 0.0
"""
"""Nothing is wrong but what is added."""


def scenario(**tables: str) -> str:
    """The ideal scenario with some lines more in its tables."""
    text = IDEAL
    for table, lines in tables.items():
        head = f"[{table}]\n"
        text = text.replace(head, f"{head}{lines}\n") if head in text else f"{text}{head}{lines}\n"
    return text


Make = Callable[..., Simulation]


@pytest.fixture
def make() -> Make:
    """Builds a simulation of a graph's text."""

    def build(
        graph: str = PLAYING,
        world: str = IDEAL,
        *,
        for_s: float = 12.0,
        seed: int = 0,
        audio_s: float = 0.0,
        registry: Registry | None = None,
        folder: Path | None = None,
    ) -> Simulation:
        registry = registry or shared_registry()
        return Simulation(
            parse_graph(graph, registry, folder or Path.cwd()),
            registry,
            parse_scenario(world),
            seed=seed,
            log=make_log(level="error"),
            for_ns=round(for_s * 1e9),
            rendered_ns=round(audio_s * 1e9),
        )

    return build


@pytest.fixture
def simulate(make: Make) -> Callable[..., dict[str, Any]]:
    """Runs a simulation of a graph's text and gives its report."""
    return lambda *arguments, **options: make(*arguments, **options).run()
