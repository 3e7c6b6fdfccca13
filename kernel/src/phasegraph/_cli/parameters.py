"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Callback of an option that is a duration above zero, with its unit; converted to nanoseconds."""
    if value is None:
        return None
    from .._core.units import parse_duration

    try:
        duration_ns = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if duration_ns <= 0:
        raise click.BadParameter(f"expected a duration above zero, got {value!r}", ctx, param)
    return duration_ns


def graph_arguments(command: F) -> F:
    """GRAPH, --profile and --set: ``graph_path``, ``profile`` and ``overrides`` of the command."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set one option for this time: sources.stage.link-offset=6ms. Paths begin at the current directory. "
        "May be repeated.",
    )(command)
    command = click.option("--profile", metavar="NAME", help="Lay the tables [profiles.NAME...] over the graph.")(
        command
    )
    return click.argument("graph_path", metavar="GRAPH", type=click.Path(path_type=Path))(command)


def format_option(command: F) -> F:
    """--format text|json: ``format`` of the command."""
    choice = click.Choice(["text", "json"])
    return click.option("--format", type=choice, default="text", show_default=True, help="For people or scripts.")(
        command
    )


def examples(*lines: str) -> str:
    """An epilog that click leaves as it is."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
