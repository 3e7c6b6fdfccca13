"""Parameters that several commands share, each declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .._core.role import GRAPH_ROLES

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


def _complete_profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    profiles = _graph_file(ctx).get("profiles")
    return [name for name in profiles if name.startswith(incomplete)] if isinstance(profiles, dict) else []


def _complete_overrides(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return setting_paths(_graph_file(ctx), incomplete)


def _graph_file(ctx: click.Context) -> dict[str, Any]:
    # The graph that the command line names, as far as it can be read.
    import tomllib

    path = first_argument(ctx, "graph_path")
    if path is not None:
        with suppress(OSError, ValueError, RecursionError):
            return tomllib.loads(Path(path).read_text("utf-8"))
    return {}


def first_argument(ctx: click.Context, name: str) -> Any:
    """The first argument of a command line that is being completed, whose name is ``name``; None where it is missing.

    Where the value of an option is to be completed, click leaves arguments unparsed.
    """
    value = ctx.params.get(name)
    return value if value is not None else next(iter(ctx.args), None)


def setting_paths(graph: Mapping[str, Any], incomplete: str) -> list[str]:
    """``ROLE.ID.OPTION=`` of all options that the tables of a graph have, as far as they begin with a text."""
    tables = [(role, nodes) for role, nodes in graph.items() if role in GRAPH_ROLES and isinstance(nodes, dict)]
    paths = (
        f"{role}.{id}.{option}="
        for role, nodes in tables
        for id, table in nodes.items()
        if isinstance(table, dict)
        for option in table
    )
    return [path for path in paths if path.startswith(incomplete)]


def graph_argument(command: Command) -> Command:
    """GRAPH, ``--profile`` and ``--set``: the command's parameter ``graph``, a `GraphArgument`."""

    @click.argument("graph_path", metavar="GRAPH", type=click.Path(path_type=Path))
    @click.option(
        "--profile",
        metavar="NAME",
        shell_complete=_complete_profiles,
        help="Lay the tables [profiles.NAME...] over the graph.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        shell_complete=_complete_overrides,
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
