"""``kernel compare``: one graph with several compensators in several simulated worlds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .parameters import (
    GraphArgument,
    duration_option,
    examples,
    file_option,
    format_option,
    graph_argument,
    seed_option,
)


@click.command(
    short_help="Compare compensators in simulated worlds.",
    epilog=examples(
        "kernel compare graph.toml",
        "kernel compare graph.toml --strategies combined,buffer-feedback --scenario usb-card --for 1h",
        "kernel compare graph.toml --format json --plot compare.png",
    ),
)
@graph_argument
@click.option(
    "--strategies",
    metavar="A,B,...",
    help="Kinds of compensator, or ids of compensators of the graph. Default: all that suit the graph's crossing.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME|FILE",
    help="A world; may be repeated. Default: several that differ. `kernel simulate --scenarios` lists them.",
)
@duration_option("--for", "duration_ns", default="10min", help="Virtual time of each run.")
@seed_option
@file_option("--plot", help="Draw the alignment errors as PNG.")
@format_option
@click.pass_context
def compare(
    ctx: click.Context,
    graph: GraphArgument,
    strategies: str | None,
    scenarios: tuple[str, ...],
    duration_ns: int,
    seed: int,
    plot: Path | None,
    format: str,
) -> None:
    """Run a graph with one compensator after the other in several simulated worlds, and recommend one, with reasons.

    Exits with 0, or with 2 if the graph, a scenario or the call is wrong.
    """
    from .._plugins import loader
    from .._run.logging import make_log
    from ..simulation.compare import comparison as comparisons
    from ..simulation.compare.plot import draw, need_matplotlib
    from ..simulation.compare.recommend import recommend
    from ..simulation.compare.table import as_json, as_table
    from ..simulation.scenario import load_scenario
    from .progress import Progress

    deployments = [load_scenario(name) for name in scenarios or comparisons.DEFAULT_SCENARIOS]
    if plot is not None:
        need_matplotlib()
    registry = loader.load()
    comparison = comparisons.compare(
        graph.load(registry),
        registry,
        deployments,
        strategies=None if strategies is None else [name.strip() for name in strategies.split(",")],
        for_ns=duration_ns,
        seed=seed,
        log=make_log(level="error"),
        keep_points=plot is not None,
        on_run=lambda strategy, scenario: Progress(duration_ns, f"{strategy} in {scenario}"),
    )
    recommendation = recommend(comparison)
    if plot is not None:
        draw(comparison, plot)
    if format == "json":
        click.echo(json.dumps(as_json(comparison, recommendation, str(graph.path)), indent=2))
    else:
        for line in as_table(comparison, recommendation):
            click.echo(line)
