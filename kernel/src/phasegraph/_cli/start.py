"""``kernel run``: its options. The work is in ``run.py``, which is heavy and imported when it begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import duration, examples, graph_arguments

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
@graph_arguments
@click.option(
    "--for", "duration_ns", callback=duration, metavar="TIME", help="End after this time, such as 10s or 24h."
)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write what happened as JSON.")
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="FILE", help="Write estimates and decisions as JSON lines."
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or scripts.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least important message that is written.",
)
@click.pass_context
def run(
    ctx: click.Context,
    graph_path: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    duration_ns: int | None,
    report: Path | None,
    trace: Path | None,
    log_format: Format,
    log_level: Level,
) -> None:
    """Run a graph until its sources end, the time is up, or it is interrupted.

    Exits with 0 if it went as asked, 1 if a node failed, 2 if the graph or the call is wrong.
    """
    from .run import run_command

    ctx.exit(
        run_command(
            graph_path,
            profile=profile,
            overrides=overrides,
            duration_ns=duration_ns,
            report=report,
            trace=trace,
            log_format=log_format,
            log_level=log_level,
        )
    )
