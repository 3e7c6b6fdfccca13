"""``kernel check``: is a graph right, which of its edges cross clock domains, and what would run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .parameters import GraphArgument, examples, format_option, graph_argument

if TYPE_CHECKING:
    from .._core.errors import Problem
    from .._graph_file import Edge, Graph, Validation


@click.command(
    short_help="Say what is wrong with a graph, or what would run.",
    epilog=examples(
        "kernel check graph.toml",
        "kernel check graph.toml --profile no-ptp",
        "kernel check graph.toml --format json",
    ),
)
@graph_argument
@format_option
@click.pass_context
def check(ctx: click.Context, graph: GraphArgument, format: str) -> None:
    """Say everything that is wrong with a graph; or which edges cross clock domains, and what would run.

    Opens no sound card and no socket, and writes nothing. Exits with 0 if the graph is right, with 2 if not.
    """
    from .console import print_problems

    validation, problems = _validate(graph)
    if format == "json":
        click.echo(json.dumps(_as_json(validation, problems), indent=2))
    elif problems:
        print_problems(problems)
    elif validation.graph is not None:
        for line in describe(validation.graph):
            click.echo(line)
    ctx.exit(2 if problems else 0)


def _validate(graph: GraphArgument) -> tuple[Validation, list[Problem]]:
    from .._core.errors import GraphError
    from .._graph_file import validate_file
    from .._plugins.loader import load
    from .._run.build import build_graph

    registry = load()
    validation = validate_file(graph.path, registry, profile=graph.profile, overrides=graph.overrides)
    if validation.graph is not None:
        try:
            # Some things show only when nodes are made: an unreadable SDP or WAV, channels that are not there.
            build_graph(validation.graph, registry)
        except GraphError as error:
            return validation, error.problems
    return validation, validation.problems


def _as_json(validation: Validation, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "ok": not problems,
        "problems": [{"path": problem.path, "message": problem.message, "hint": problem.hint} for problem in problems],
        "edges": [
            {
                "from": edge.source,
                "to": edge.sink,
                "crossing": edge.crossing,
                "compensator": edge.compensator,
                "channels": edge.channels,
            }
            for edge in validation.edges
        ],
    }


def describe(graph: Graph) -> list[str]:
    """What a graph would run, in words, line by line."""
    from .._core.role import GRAPH_ROLES, Role
    from .._graph_file.domains import describe as domain_in_words
    from .._option_types.wording import format_count, join_words

    roles = {role: len(graph.of_role(role)) for role in GRAPH_ROLES}
    parts = join_words([format_count(number, role.singular) for role, number in roles.items() if number], "and")
    lines = [f"The graph is right: {parts}.", "", "What would run:"]
    rows = [(node.id, node.role.singular, node.kind.kind) for node in graph.nodes.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, node in zip(rows, graph.nodes.values(), strict=True):
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        paced = f"on {domain_in_words(node.domain)}" if node.role in (Role.SOURCE, Role.SINK) else ""
        lines.append("  ".join(["", *cells, paced]).rstrip())
    if graph.edges:
        lines += ["", "Edges:"]
        lines += [f"  {edge.source} -> {edge.sink}: {_edge_in_words(graph, edge)}" for edge in graph.edges]
    return lines


def _edge_in_words(graph: Graph, edge: Edge) -> str:
    from .._graph_file.domains import describe as domain_in_words

    source, sink = graph.nodes[edge.source], graph.nodes[edge.sink]
    channels = "" if edge.channels is None else f"; channels {', '.join(map(str, edge.channels))}"
    if edge.crossing and edge.compensator is not None:
        kind = graph.nodes[edge.compensator].kind.kind
        ends = f"from {domain_in_words(source.domain)} to {domain_in_words(sink.domain)}"
        return f"crosses clock domains, {ends}; compensated by '{edge.compensator}' ({kind}){channels}"
    if source.domain is None:
        return f"does not cross: '{edge.source}' has no clock and follows its reader; samples are copied{channels}"
    return f"does not cross: both on {domain_in_words(sink.domain)}; samples are copied{channels}"
