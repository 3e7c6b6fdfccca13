"""``kernel compare``: one graph with several compensators in several simulated worlds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from ..simulation.compare.comparison import Result, StrategyTrial


@click.command(
    short_help="Compare compensators in simulated worlds.",
    epilog=examples(
        "kernel compare graph.toml",
        "kernel compare graph.toml --strategies combined,buffer-feedback --scenario usb-card --for 1h",
        "kernel compare graph.toml --seeds 10 --format json --plot compare.png",
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
@click.option(
    "--seeds",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Number of seeds, from --seed on: of several the report has medians, quantiles and confidence.",
)
@click.option(
    "--processes", type=click.IntRange(1, 1024), help="Processes on this machine. Default: one for each core."
)
@file_option("--plot", help="Draw the alignment errors with the first seed as PNG.")
@format_option
@click.pass_context
def compare(
    ctx: click.Context,
    graph: GraphArgument,
    strategies: str | None,
    scenarios: tuple[str, ...],
    duration_ns: int,
    seed: int,
    seeds: int,
    processes: int | None,
    plot: Path | None,
    format: str,
) -> None:
    """Run a graph with one compensator after the other in several simulated worlds, and recommend one, with reasons.

    The simulations run on all cores. With several seeds the recommendation says how sure it is.
    Exits with 0, or with 2 if the graph, a scenario or the call is wrong.
    """
    from .._plugins import loader
    from .._run.logging import make_log
    from ..simulation.compare import comparison as comparisons
    from ..simulation.compare.plot import draw, need_matplotlib
    from ..simulation.compare.recommend import recommend
    from ..simulation.compare.table import as_json, as_table
    from ..simulation.scenario import load_scenario
    from ..simulation.sweep.worker_pools import default_processes
    from .progress import Progress

    names = list(dict.fromkeys(scenarios or comparisons.DEFAULT_SCENARIOS))
    deployments = [load_scenario(name) for name in names]
    if plot is not None:
        need_matplotlib()
    registry = loader.load()
    count = processes or default_processes()
    comparison = comparisons.compare(
        graph.load(registry),
        registry,
        deployments,
        strategies=None if strategies is None else [name.strip() for name in strategies.split(",")],
        for_ns=duration_ns,
        seed=seed,
        seeds=seeds,
        log=make_log(level="error"),
        keep_points=plot is not None,
        on_run=lambda strategy, scenario: Progress(duration_ns, f"{strategy} in {scenario}"),
        elsewhere=None
        if count == 1
        else _in_processes(
            graph,
            dict(zip((deployment.name for deployment in deployments), names, strict=True)),
            count,
            duration_ns,
            keep_points_of=None if plot is None else seed,
        ),
    )
    recommendation = recommend(comparison)
    if plot is not None:
        draw(comparison, plot)
    if format == "json":
        click.echo(json.dumps(as_json(comparison, recommendation, str(graph.path)), indent=2))
    else:
        for line in as_table(comparison, recommendation):
            click.echo(line)


def _in_processes(
    graph: GraphArgument, files: Mapping[str, str], processes: int, for_ns: int, keep_points_of: int | None
) -> Callable[[Sequence[StrategyTrial]], Mapping[StrategyTrial, Result]]:
    # Runs trials as a sweep runs its simulations. ``files`` has the name or path of each scenario, by its name.
    import msgspec

    from .._core.errors import NodeError
    from ..simulation.sweep import sweep_jobs, worker_pools
    from .progress import JobProgress

    def run(trials: Sequence[StrategyTrial]) -> Mapping[StrategyTrial, Result]:
        plan = partial(
            sweep_jobs.plan_jobs, graph.path, profile=graph.profile, overrides=graph.overrides, over={}, for_ns=for_ns
        )
        by_key = {}
        for trial in trials:
            (job,) = plan(strategies=[trial.strategy], scenarios=[files[trial.scenario]], seeds=[trial.seed])
            by_key[job.key] = (job, trial)
        results: dict[StrategyTrial, Result] = {}
        with JobProgress("simulations", len(trials)) as progress:
            jobs = [job for job, _ in by_key.values()]
            run_job = partial(sweep_jobs.run_job, keep_points_of=keep_points_of)
            for outcome in worker_pools.in_processes(jobs, min(processes, len(jobs)), progress.warn, run_job):
                _, trial = by_key[outcome.key]
                if outcome.result is None:
                    raise NodeError(f"{trial.strategy} in {trial.scenario}: {outcome.failure}")
                results[trial] = msgspec.structs.replace(outcome.result, scenario=trial.scenario)
                progress.show(len(results))
        return results

    return run
