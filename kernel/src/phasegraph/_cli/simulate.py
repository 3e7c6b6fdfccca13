"""``kernel simulate`` and ``kernel compare``: their options. The work is in ``simulation.py``, which is heavy."""

from __future__ import annotations

from pathlib import Path

import click

from .options import duration, examples, format_option, graph_arguments

_SEED = click.IntRange(0, 2**63 - 1)


def _list_scenarios(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from ..simulation.scenario import load_scenario, shipped

        width = max(map(len, shipped()))
        for name in shipped():
            click.echo(f"{name:{width}}  {load_scenario(name).scenario.summary}")
        click.echo("What a scenario may say: kernel explain scenario")
        ctx.exit()


@click.command(
    short_help="Run a graph against a simulated world, and say what truly happened.",
    epilog=examples(
        "kernel simulate graph.toml",
        "kernel simulate graph.toml --scenario hot-card --for 24h --report report.json",
        "kernel simulate graph.toml --scenario my-office.toml --seed 7 --audio 20s",
        "kernel simulate --scenarios",
    ),
)
@graph_arguments
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
@click.option(
    "--for",
    "duration_ns",
    callback=duration,
    default="10min",
    show_default=True,
    metavar="TIME",
    help="How much virtual time to run, such as 90s or 24h.",
)
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Of all chance: the same gives the same.")
@click.option(
    "--audio",
    "listen_ns",
    callback=duration,
    metavar="TIME",
    help="Render this much of the end, with a tone, and measure its THD+N. The rest is only counted.",
)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write what happened as JSON.")
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="FILE", help="Write estimates and decisions as JSON lines."
)
@click.pass_context
def simulate(
    ctx: click.Context,
    graph_path: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    scenario: str,
    duration_ns: int,
    seed: int,
    listen_ns: int | None,
    report: Path | None,
    trace: Path | None,
) -> None:
    """Run a graph in virtual time: its own compensators and resamplers, against simulated clocks, network and cards.

    Files are read, but nothing is written or sent. Exits with 0 if it went as asked, 1 if a node failed, 2 if the
    graph, the scenario or the call is wrong.
    """
    from .simulation import simulate_command

    ctx.exit(
        simulate_command(
            graph_path,
            profile=profile,
            overrides=overrides,
            scenario=scenario,
            duration_ns=duration_ns,
            seed=seed,
            listen_ns=listen_ns or 0,
            report=report,
            trace=trace,
        )
    )


@click.command(
    short_help="Compare compensators on the same simulated worlds, and recommend one.",
    epilog=examples(
        "kernel compare graph.toml",
        "kernel compare graph.toml --strategies combined,buffer-feedback --scenario usb-card --for 1h",
        "kernel compare graph.toml --format json --plot compare.png",
    ),
)
@graph_arguments
@click.option(
    "--strategies",
    metavar="A,B,...",
    help="Kinds of compensator, or ids of the graph's; all that can take its crossing if left out.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME|FILE",
    help="A world; may be repeated. Some that differ if left out: `kernel simulate --scenarios` lists them.",
)
@click.option(
    "--for",
    "duration_ns",
    callback=duration,
    default="10min",
    show_default=True,
    metavar="TIME",
    help="How much virtual time each run takes.",
)
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Of all chance, the same in every run.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the alignment errors as PNG.")
@format_option
@click.pass_context
def compare(
    ctx: click.Context,
    graph_path: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    strategies: str | None,
    scenarios: tuple[str, ...],
    duration_ns: int,
    seed: int,
    plot: Path | None,
    format: str,
) -> None:
    """Run a graph with one compensator after the other in some simulated worlds, and say which one suits it and why.

    Exits with 0, or with 2 if the graph, a scenario or the call is wrong.
    """
    from .simulation import compare_command

    ctx.exit(
        compare_command(
            graph_path,
            profile=profile,
            overrides=overrides,
            strategies=strategies,
            scenarios=scenarios,
            duration_ns=duration_ns,
            seed=seed,
            plot=plot,
            format=format,
        )
    )
