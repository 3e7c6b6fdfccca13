"""Parameters that several commands share, each declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from .._graph_file import Graph
    from .._plugins.loader import Registry

Command = Callable[..., Any]


class GraphArgument(NamedTuple):
    """The graph that a command is given, and what is laid over it for this call."""

    path: Path
    profile: str | None
    overrides: tuple[str, ...]

    def command(self, name: str) -> str:
        """The call of another command with the same graph."""
        from .._core.invocation import kernel_command

        profile = () if self.profile is None else ("--profile", self.profile)
        overrides = [word for override in self.overrides for word in ("--set", override)]
        return kernel_command(name, str(self.path), *profile, *overrides)

    def load(self, registry: Registry) -> Graph:
        """The graph. Raises GraphError with every problem."""
        from .._graph_file import load_graph

        return load_graph(self.path, registry, profile=self.profile, overrides=self.overrides)


def graph_argument(command: Command) -> Command:
    """GRAPH, ``--profile`` and ``--set``: the command's parameter ``graph``, a `GraphArgument`."""

    @click.argument("graph_path", metavar="GRAPH", type=click.Path(path_type=Path))
    @click.option("--profile", metavar="NAME", help="Lay the tables [profiles.NAME...] over the graph.")
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set one option for this call: sources.stage.link-offset=6ms. Paths start at the current directory. "
        "May be repeated.",
    )
    @functools.wraps(command)
    def with_graph(
        *positional: Any, graph_path: Path, profile: str | None, overrides: tuple[str, ...], **named: Any
    ) -> Any:
        return command(*positional, graph=GraphArgument(graph_path, profile, overrides), **named)

    return with_graph


def _parse_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
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


def duration_option(*names: str, help: str, default: str | None = None) -> Callable[[Command], Command]:
    """An option that is a duration above zero with its unit; the command gets nanoseconds."""
    return click.option(
        *names, callback=_parse_duration, metavar="TIME", default=default, show_default=default is not None, help=help
    )


def file_option(*names: str, help: str) -> Callable[[Command], Command]:
    """An option that is the path of a file to write."""
    return click.option(*names, type=click.Path(path_type=Path), metavar="FILE", help=help)


report_option = file_option("--report", help="Write what happened as JSON.")
trace_option = file_option("--trace", help="Write estimates and decisions as JSON lines.")
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of all random numbers: the same seed gives the same result.",
)
format_option = click.option(
    "--format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output for people or for scripts.",
)


def examples(*lines: str) -> str:
    """An epilog that click leaves as it is."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
