"""The whole way from a file to a graph, with everything that is wrong on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from .._core.errors import GraphError, Problem
from .._option_types.shape import Reading
from .._plugins.loader import Registry
from .domains import find_domains
from .edges import check_edges, find_edges
from .graph import Edge, Graph, GraphNode
from .hooks import plugin_problems
from .toml_file import parse_toml, read_text
from .start_order import build_order
from .overlay import apply_overrides, apply_profile
from .references import check_files, check_references, writers_of
from .parse_tables import SCHEMA, Draft, read_tables


class Examination(msgspec.Struct, frozen=True):
    """What a graph's text says, right or wrong."""

    graph: Graph | None
    """None if there are problems."""
    edges: tuple[Edge, ...]
    """The edges that could be made out, also where other things are wrong."""
    problems: list[Problem]


def load_graph(path: Path, registry: Registry, *, profile: str | None = None, overrides: Sequence[str] = ()) -> Graph:
    """Read a graph file and check everything about it that needs no node to be built.

    ``overrides`` are ``ROLE.ID.OPTION=VALUE``; relative paths in them begin at the current directory, all others
    at the file's folder. Raises GraphError with every problem.
    """
    return _right(examine_file(path, registry, profile=profile, overrides=overrides))


def parse_graph(
    text: str,
    registry: Registry,
    folder: Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    cwd: Path | None = None,
    path: Path | None = None,
) -> Graph:
    """`load_graph` for a text; its relative paths begin at ``folder``, those of overrides at ``cwd``."""
    return _right(
        examine_text(text, registry, folder, profile=profile, overrides=overrides, cwd=cwd, path=path),
    )


def _right(examination: Examination) -> Graph:
    if examination.graph is None:
        raise GraphError(examination.problems)
    return examination.graph


def examine_file(
    path: Path, registry: Registry, *, profile: str | None = None, overrides: Sequence[str] = ()
) -> Examination:
    """`load_graph`, but problems are returned and not raised."""
    try:
        text = read_text(path)
    except GraphError as error:
        return Examination(None, (), error.problems)
    return examine_text(text, registry, path.absolute().parent, profile=profile, overrides=overrides, path=path)


def examine_text(
    text: str,
    registry: Registry,
    folder: Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    cwd: Path | None = None,
    path: Path | None = None,
) -> Examination:
    """`parse_graph`, but problems are returned and not raised."""
    reading = Reading(folder.absolute(), cwd or Path.cwd())
    try:
        document = apply_profile(parse_toml(text), profile, reading)
        document = apply_overrides(document, overrides, reading)
        drafts = read_tables(document, registry, reading)
    except GraphError as error:
        return Examination(None, (), error.problems)
    except RecursionError:
        return Examination(None, (), [Problem("", "tables or lists are nested too deep")])
    return _resolve(drafts, registry, reading, profile=profile, path=path)


def _resolve(
    drafts: list[Draft], registry: Registry, reading: Reading, *, profile: str | None, path: Path | None
) -> Examination:
    if not any(draft.role != "compensators" for draft in drafts) and not reading.problems:
        reading.wrong("", "the graph is empty: it has nothing to run", "add a source and a sink")
    writers = writers_of(drafts, reading)
    check_files(drafts, writers, reading)
    domains = find_domains(drafts, reading)
    edges = find_edges(drafts, domains, reading)
    check_references(drafts, {edge.compensator for edge in edges}, registry, reading)
    check_edges(drafts, edges, domains, registry, reading)
    order = build_order(drafts, domains, writers, reading)
    nodes = {
        draft.id: GraphNode(
            id=draft.id, role=draft.role, kind=draft.kind, config=draft.config, domain=domains[draft.path]
        )
        for draft in drafts
        if draft.kind is not None and draft.config is not None
    }
    if reading.problems:
        return Examination(None, edges, reading.problems)
    graph = Graph(
        schema=SCHEMA,
        nodes=MappingProxyType(nodes),
        edges=edges,
        order=order,
        folder=reading.folder,
        path=path,
        profile=profile,
    )
    problems = plugin_problems(graph, registry)
    return Examination(None if problems else graph, edges, problems)
