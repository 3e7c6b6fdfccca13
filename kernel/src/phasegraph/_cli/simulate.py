"""``kernel simulate``: runs a graph in virtual time, in a simulated world."""

from __future__ import annotations

from pathlib import Path

import click

from .parameters import (
    GraphArgument,
    duration_option,
    examples,
    graph_argument,
    report_option,
    seed_option,
    trace_option,
)


def _list_scenarios(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from ..simulation.scenario import load_scenario, shipped

        width = max(map(len, shipped()))
        for name in shipped():
            click.echo(f"{name:{width}}  {load_scenario(name).scenario.summary}")
        click.echo("The options of a scenario: kernel explain scenario")
        ctx.exit()


@click.command(
    short_help="Run a graph in a simulated world, beside the truth.",
    epilog=examples(
        "kernel simulate graph.toml",
        "kernel simulate graph.toml --scenario hot-card --for 24h --report report.json",
        "kernel simulate graph.toml --scenario my-office.toml --seed 7 --audio 20s",
        "kernel simulate --scenarios",
    ),
)
@graph_argument
@click.option(
    "--scenario", default="studio", show_default=True, metavar="NAME|FILE", help="The world: see --scenarios."
)
@click.option(
    "--scenarios",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_scenarios,
    help="List the scenarios that come with the kernel.",
)
@duration_option("--for", "duration_ns", default="10min", help="Virtual time to run, such as 90s or 24h.")
@seed_option
@duration_option(
    "--audio",
    "rendered_ns",
    help="Render this much of the end, with a tone, and measure its THD+N. The rest is only counted.",
)
@report_option
@trace_option
@click.pass_context
def simulate(
    ctx: click.Context,
    graph: GraphArgument,
    scenario: str,
    duration_ns: int,
    seed: int,
    rendered_ns: int | None,
    report: Path | None,
    trace: Path | None,
) -> None:
    """Run a graph in virtual time: its own compensators and resamplers, against simulated clocks, network and cards.

    Files are read, but nothing is written or sent. Exits with 0 if the run went as asked, 1 if a node failed, 2 if the
    graph, the scenario or the call is wrong.
    """
    from .._plugins import loader
    from .._run.logging import make_log
    from .._run.summary import summary_lines
    from .._run.trace import Trace
    from ..simulation.scenario import load_scenario
    from ..simulation.simulation_run import Simulation
    from ..simulation.truth_sentences import truth_in_words
    from .console import checked_report_file, publish_report
    from .progress import Progress

    deployment = load_scenario(scenario)
    registry = loader.load()
    loaded = graph.load(registry)
    report_file = checked_report_file(report)
    log = make_log(level="error")
    simulation = Simulation(
        loaded,
        registry,
        deployment,
        seed=seed,
        log=log,
        for_ns=duration_ns,
        rendered_ns=rendered_ns or 0,
        trace=Trace(trace, log.error),
        profile=graph.profile,
    )
    progress = Progress(duration_ns)
    result = simulation.run(progress, signals=True)
    progress.close(result["duration_s"])
    ctx.exit(publish_report(result, [*summary_lines(result), *truth_in_words(result)], report_file))
