"""``kernel check``: whether a graph is valid, which edges cross clock domains, and what each node is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .parameters import GraphArgument, examples, format_option, graph_argument

if TYPE_CHECKING:
    from .._core.errors import Problem
    from .._graph_file import Edge, Graph, Validation
    from .._run.build import BuiltGraph


@click.command(
    short_help="Validate a graph and show what would run.",
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
    """Report every problem of a graph; or show its nodes, which edges cross clock domains, and what happens there.

    Opens no sound card and no socket, and writes nothing. Exits with 0 if the graph is valid, with 2 if not.
    """
    from .console import print_problems

    validation, problems, built = _validate(graph)
    if format == "json":
        click.echo(json.dumps(_as_json(validation, problems, built), indent=2))
    elif problems:
        print_problems(problems)
    elif validation.graph is not None:
        for line in describe_graph(validation.graph, built):
            click.echo(line)
        click.echo(f"\nNext: {graph.command('run')}")
    ctx.exit(2 if problems else 0)


def _validate(graph: GraphArgument) -> tuple[Validation, list[Problem], BuiltGraph | None]:
    from .._core.errors import GraphError
    from .._graph_file import validate_file
    from .._plugins.loader import load
    from .._run.build import build_graph

    registry = load(check_options=False)
    validation = validate_file(graph.path, registry, profile=graph.profile, overrides=graph.overrides)
    if validation.graph is None:
        return validation, validation.problems, None
    try:
        # Some problems show only when nodes are built: an unreadable SDP or WAV file, channels that do not exist.
        return validation, [], build_graph(validation.graph, registry)
    except GraphError as error:
        return validation, error.problems, None


def _as_json(validation: Validation, problems: Sequence[Problem], built: BuiltGraph | None) -> dict[str, Any]:
    return {
        "ok": not problems,
        "problems": [{"path": problem.path, "message": problem.message, "hint": problem.hint} for problem in problems],
        "notes": [{"path": path, "message": note} for path, note in (built.notes if built is not None else ())],
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


def describe_graph(graph: Graph, built: BuiltGraph | None) -> list[str]:
    """The nodes and edges of a valid graph, line by line."""
    from .._core.role import GRAPH_ROLES, Role
    from .._graph_file.domains import describe_domain
    from .._option_types.wording import format_count, join_words

    roles = {role: len(graph.of_role(role)) for role in GRAPH_ROLES}
    parts = join_words([format_count(number, role.singular) for role, number in roles.items() if number], "and")
    lines = [f"The graph is valid: {parts}.", "", "Nodes:"]
    rows = [(node.id, node.role.singular, node.kind.kind) for node in graph.nodes.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, node in zip(rows, graph.nodes.values(), strict=True):
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        domain = f"on {describe_domain(node.domain)}" if node.role in (Role.SOURCE, Role.SINK) else ""
        lines.append("  ".join(["", *cells, domain]).rstrip())
    if graph.edges:
        lines += ["", "Edges:"]
        lines += [f"  {edge.source} -> {edge.sink}: {_describe_edge(graph, edge, built)}" for edge in graph.edges]
    if graph.control:
        lines += ["", "Programs beside the run:", *(f"  {each.kind.kind}" for each in graph.control)]
    if built is not None and built.notes:
        lines += ["", "Notes:", *(f"  {path}: {note}" for path, note in built.notes)]
    return lines


def _describe_edge(graph: Graph, edge: Edge, built: BuiltGraph | None) -> str:
    from .._graph_file.domains import describe_domain

    source, sink = graph.nodes[edge.source], graph.nodes[edge.sink]
    if edge.crossing and edge.compensator is not None:
        kind = graph.nodes[edge.compensator].kind.kind
        ends = f"from {describe_domain(source.domain)} to {describe_domain(sink.domain)}"
        parts = [f"crosses {ends}", f"resampled as '{edge.compensator}' ({kind}) decides"]
    elif source.domain is None:
        parts = [f"no crossing, '{edge.source}' has no clock and follows its reader", "not resampled"]
    else:
        parts = [f"no crossing, both on {describe_domain(sink.domain)}", "not resampled"]
    if not edge.crossing and built is not None:
        parts += _describe_encodings(edge, built)
    if edge.channels is not None:
        parts.append(f"channels {', '.join(map(str, edge.channels))}")
    return "; ".join(parts)


def _describe_encodings(edge: Edge, built: BuiltGraph) -> list[str]:
    """What happens to samples that are not resampled, if the sink says how it encodes them."""
    from .._core.samples import Encoding

    sink = built.nodes[edge.sink]
    declared = getattr(sink.node, "encoding", None) or getattr(sink.config, "encoding", None)
    if declared is None:
        return []
    given, passed_on = built.stream(edge.source).format.encoding, Encoding(declared)
    if given is passed_on:
        return [f"{given} samples are passed on bit for bit"]
    exact = given.significant_bits <= passed_on.significant_bits
    return [f"{given} samples are converted to {passed_on}" + ("" if exact else ", rounded")]
