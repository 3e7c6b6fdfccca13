"""``kernel run``: runs a graph in real time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .parameters import GraphArgument, duration_option, examples, graph_argument, report_option, trace_option

if TYPE_CHECKING:
    from .._run.logging import Format, Level


@click.command(
    short_help="Run a graph.",
    epilog=examples(
        "kernel run graph.toml",
        "kernel run graph.toml --for 10s --report report.json",
        "kernel run graph.toml --profile no-ptp --set sources.file.path=take.wav",
    ),
)
@graph_argument
@duration_option("--for", "duration_ns", help="Stop after this time, such as 10s or 24h.")
@report_option
@trace_option
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Log for people or for scripts.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least important messages that are logged.",
)
@click.option(
    "--strict", is_flag=True, help="Exit with 1 also where a node received, sent, read or wrote nothing at all."
)
@click.pass_context
def run(
    ctx: click.Context,
    graph: GraphArgument,
    duration_ns: int | None,
    report: Path | None,
    trace: Path | None,
    log_format: Format,
    log_level: Level,
    strict: bool,
) -> None:
    """Run a graph until its sources end, the time is up, or a signal ends it.

    Exits with 0 if the run went as asked, 1 if a node failed or was restarting at the end, 2 if the graph or the call
    is wrong.
    """
    ctx.exit(run_graph(graph, duration_ns, report, trace, log_format, log_level, strict=strict))


def run_graph(
    graph: GraphArgument,
    duration_ns: int | None,
    report: Path | None,
    trace: Path | None,
    log_format: Format,
    log_level: Level,
    *,
    strict: bool = False,
) -> int:
    """Run a graph; returns the exit code. Raises GraphError for a graph that is wrong."""
    import os
    import sys
    from contextlib import suppress
    from functools import partial

    import trio

    from .._plugins import loader
    from .._run.device_rates import DeviceRateStore, state_file
    from .._run.logging import make_log
    from .._run.session import Session
    from .._run.summary import summary_lines
    from .._run.trace import Trace
    from .console import checked_report_file, publish_report
    from .status import Status, status_form

    registry = loader.load()
    loaded = graph.load(registry)
    log = make_log(log_format, log_level)
    report_file = checked_report_file(report)
    session = Session(
        loaded,
        registry,
        log=log,
        trace=Trace(trace, log.error),
        profile=graph.profile,
        device_rates=DeviceRateStore(state_file(), log.warning),
        report_file=report_file,
    )
    with Status(status_form(log_format)) as status:
        result = trio.run(partial(session.run, for_ns=duration_ns, signals=True, status=status))
    code = publish_report(result, summary_lines(result, strict=strict), report_file, strict=strict)
    if session.last_resort.armed:  # ended at once: nothing that libraries do at exit may hold it up
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)
    return code
