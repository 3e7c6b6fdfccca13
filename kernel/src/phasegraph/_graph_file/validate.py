"""Validation of a graph file: every problem that can be found without building a node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, Unpack

import msgspec

from .._core.errors import GraphError, Problem
from .._core.role import Role
from .._option_types import Diagnostics
from .._plugins.loader import Registry
from .domains import find_domains
from .edges import check_edges, find_edges
from .graph import Edge, Graph, GraphNode, Overlays
from .node_memo import NodeMemo
from .overlay import Tables, apply_overrides, apply_profile
from .parse_tables import SCHEMA, parse_control, parse_recorder, parse_tables
from .references import check_files, check_references, writers_of
from .start_order import build_order
from .toml_file import parse_toml, read_text


class Validation(msgspec.Struct, frozen=True):
    """The result of validating a graph."""

    graph: Graph | None
    """None if there are problems."""
    edges: tuple[Edge, ...]
    """The edges that could be determined, even if there are other problems."""
    problems: list[Problem]


_TOO_DEEP = Validation(None, (), [Problem("", "tables or lists are nested too deep")])


def load_graph(path: Path, registry: Registry, *, profile: str | None = None, overrides: Sequence[str] = ()) -> Graph:
    """Read a graph file and check everything that needs no node to be built.

    ``overrides`` are ``ROLE.ID.OPTION=VALUE``; relative paths in them start at the current directory, all others at
    the file's folder. Raises GraphError with every problem.
    """
    return _graph_of(validate_file(path, registry, profile=profile, overrides=overrides))


class TextOptions(TypedDict, total=False):
    """What lies over a text, and where paths start."""

    profile: str | None
    overrides: Sequence[str]
    cwd: Path | None
    path: Path | None
    memo: NodeMemo | None


def parse_graph(text: str, registry: Registry, folder: Path, **options: Unpack[TextOptions]) -> Graph:
    """`load_graph` for a text; its relative paths start at ``folder``, those of overrides at ``cwd``."""
    return _graph_of(validate_text(text, registry, folder, **options))


def _graph_of(validation: Validation) -> Graph:
    if validation.graph is None:
        raise GraphError(validation.problems)
    return validation.graph


def validate_file(
    path: Path, registry: Registry, *, profile: str | None = None, overrides: Sequence[str] = ()
) -> Validation:
    """`load_graph`, but problems are returned instead of raised."""
    try:
        text = read_text(path)
    except GraphError as error:
        return Validation(None, (), error.problems)
    return validate_text(text, registry, path.absolute().parent, profile=profile, overrides=overrides, path=path)


def validate_text(
    text: str,
    registry: Registry,
    folder: Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    cwd: Path | None = None,
    path: Path | None = None,
    memo: NodeMemo | None = None,
) -> Validation:
    """`parse_graph`, but problems are returned instead of raised. For ``memo`` see `validate_tables`."""
    diagnostics = Diagnostics(folder.absolute(), cwd or Path.cwd())
    try:
        document = apply_profile(parse_toml(text), profile, diagnostics)
        document = apply_overrides(document, overrides, diagnostics)
    except GraphError as error:
        return Validation(None, (), error.problems)
    except RecursionError:
        return _TOO_DEEP
    laid_over = Overlays(profile=profile, overrides=tuple(overrides))
    return validate_tables(document, registry, diagnostics, path=path, overlays=laid_over, memo=memo)


def validate_tables(
    document: Tables,
    registry: Registry,
    diagnostics: Diagnostics,
    *,
    path: Path | None = None,
    overlays: Overlays | None = None,
    memo: NodeMemo | None = None,
) -> Validation:
    """`validate_text` for the tables of a graph, with everything laid over them. ``diagnostics`` has their folder, and
    the problems that are known already. ``memo`` is what is known of a graph that has nearly the same nodes."""
    memo = memo or NodeMemo()
    try:
        parsed_nodes, memo.parsed = parse_tables(document, registry, diagnostics, memo.parsed)
        recorder = parse_recorder(document, diagnostics)
        control = parse_control(document, registry, diagnostics)
    except RecursionError:
        return _TOO_DEEP
    if not any(parsed.role is not Role.COMPENSATOR for parsed in parsed_nodes) and not diagnostics.problems:
        diagnostics.error("", "the graph has no nodes", "add a source and a sink")
    writers = writers_of(parsed_nodes, diagnostics)
    check_files(parsed_nodes, writers, diagnostics)
    domains = find_domains(parsed_nodes, diagnostics)
    edges = find_edges(parsed_nodes, domains, diagnostics)
    check_references(parsed_nodes, {edge.compensator for edge in edges}, registry, diagnostics)
    check_edges(parsed_nodes, edges, domains, registry, diagnostics)
    order = build_order(parsed_nodes, domains, writers, diagnostics)
    nodes = {
        parsed.id: GraphNode(
            id=parsed.id, role=parsed.role, kind=parsed.kind, config=parsed.config, domain=domains[parsed.path]
        )
        for parsed in parsed_nodes
        if parsed.kind is not None and parsed.config is not None
    }
    if diagnostics.problems:
        return Validation(None, edges, diagnostics.problems)
    graph = Graph(
        schema=SCHEMA,
        nodes=MappingProxyType(nodes),
        edges=edges,
        order=order,
        folder=diagnostics.folder,
        path=path,
        overlays=overlays or Overlays(),
        recorder=recorder,
        control=control,
        notes=tuple(diagnostics.notes),
    )
    problems = _plugin_problems(graph, registry)
    return Validation(None if problems else graph, edges, problems)


def _plugin_problems(graph: Graph, registry: Registry) -> list[Problem]:
    """The problems that the plugins' ``validate_graph`` hooks find. A hook that fails is a problem itself."""
    problems: list[Problem] = []
    for name, validate in registry.implementations("validate_graph", graph=graph):
        try:
            for problem in validate() or ():
                if not isinstance(problem, Problem):
                    raise TypeError(f"validate_graph returned {problem!r}, expected Problem")
                problems.append(problem)
        except Exception as error:  # a plugin's code may raise anything
            text = f"plugin '{name}' failed to check the graph: {type(error).__name__}: {error}"
            problems.append(Problem("", text, "report this to the plugin's author"))
    return problems
