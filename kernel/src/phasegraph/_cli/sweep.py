"""``kernel sweep``: one graph with every combination of options, strategies, scenarios and seeds."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from .parameters import GraphArgument, duration_option, examples, file_option, format_option, graph_argument


def _read_over(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> dict[str, list[str]]:
    over: dict[str, list[str]] = {}
    for word in words:
        path, equals, values = word.partition("=")
        if not equals or not path.strip() or not values.strip():
            raise click.BadParameter(f"{word!r} is not ROLE.ID.OPTION=VALUE,VALUE,...")
        if path.strip() in over:
            raise click.BadParameter(f"{path.strip()} is given twice: name all of its values once")
        over[path.strip()] = [value.strip() for value in values.split(",")]
    return over


@click.command(
    short_help="Simulate every combination of options, scenarios and seeds.",
    epilog=examples(
        "kernel sweep graph.toml --strategies combined,buffer-feedback --seeds 20",
        "kernel sweep graph.toml --over sources.stage.link-offset=20ms,40ms --scenarios studio,usb-card",
        "kernel sweep graph.toml --strategies combined,ptp-feed-forward --seeds 100 --cluster tcp://10.0.0.5:8786",
    ),
)
@graph_argument
@click.option(
    "--over",
    multiple=True,
    callback=_read_over,
    metavar="PATH=A,B,...",
    help="An option of the graph and its values, such as sources.stage.link-offset=20ms,40ms; may be repeated.",
)
@click.option(
    "--strategies",
    metavar="A,B,...",
    help="Kinds of compensator, or ids of compensators of the graph. Default: the compensator of the graph's crossing.",
)
@click.option(
    "--scenarios",
    default="studio,usb-card",
    show_default=True,
    metavar="A,B,...",
    help="Worlds, by name or file. `kernel simulate --scenarios` lists the names.",
)
@click.option("--seeds", type=click.IntRange(1, 100_000), default=5, show_default=True, help="Seeds 1 to N.")
@duration_option("--for", "duration_ns", default="10min", help="Virtual time of each simulation.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of all results, an Arrow stream. Those that it has are not simulated again. "
    "Default: sweep-GRAPH.arrows.",
)
@click.option(
    "--processes", type=click.IntRange(1, 1024), help="Processes on this machine. Default: one for each core."
)
@click.option(
    "--cluster", metavar="ADDRESS", help="Run on the workers of this Dask scheduler, such as tcp://HOST:8786."
)
@file_option("--plot", help="Draw the spread of start-up times and errors as PNG.")
@format_option
@click.pass_context
def sweep(
    ctx: click.Context,
    graph: GraphArgument,
    over: dict[str, list[str]],
    strategies: str | None,
    scenarios: str,
    seeds: int,
    duration_ns: int,
    results: Path | None,
    processes: int | None,
    cluster: str | None,
    plot: Path | None,
    format: str,
) -> None:
    """Simulate a graph with every combination of options, strategies, scenarios and seeds, on all cores or a cluster.

    Results are kept as they come: a sweep that is stopped goes on where it was when it is called again.
    Exits with 0, with 1 if simulations failed, or with 2 if the graph, a scenario or the call is wrong.
    """
    from ..simulation.compare.plot import need_matplotlib
    from ..simulation.sweep import results_file, sweep_jobs, sweep_run, sweep_summary, sweep_table, worker_pools
    from .progress import JobProgress

    results_file.need_pyarrow()
    if plot is not None:
        need_matplotlib()
    jobs = sweep_jobs.plan_jobs(
        graph.path,
        profile=graph.profile,
        overrides=graph.overrides,
        over=over,
        strategies=_words(strategies) if strategies is not None else [_own_strategy(graph)],
        scenarios=_words(scenarios),
        seeds=range(1, seeds + 1),
        for_ns=duration_ns,
    )
    sweep_run.check_jobs(jobs)
    path = results or Path(f"sweep-{graph.path.stem}.arrows")
    with JobProgress("simulations", len(jobs)) as progress:
        pool = (
            partial(worker_pools.on_cluster, address=cluster)
            if cluster is not None
            else partial(
                worker_pools.in_processes, processes=processes or worker_pools.default_processes(), warn=progress.warn
            )
        )
        outcomes = sweep_run.run_sweep(jobs, path, pool, progress.show)
    summary = sweep_summary.summarise(jobs, outcomes)
    if plot is not None:
        sweep_table.draw(jobs, outcomes, plot)
    if format == "json":
        click.echo(json.dumps(sweep_table.as_json(summary, str(path)), indent=2))
    else:
        click.echo("\n".join(sweep_table.as_table(summary, str(path))))
    failures = [outcome.failure for outcome in outcomes.values() if outcome.failure]
    for failure in dict.fromkeys(failures):
        click.echo(f"failed: {failure}", err=True)
    ctx.exit(1 if failures else 0)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _own_strategy(graph: GraphArgument) -> str:
    from .._plugins import loader
    from ..simulation.compare.comparison import crossing_strategy

    return crossing_strategy(graph.load(loader.load()))
