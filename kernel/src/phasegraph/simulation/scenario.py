"""Scenarios: shipped ones and the user's own files, and their options for the nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from .._core.errors import GraphError, Problem
from .._core.kinds import SinkKind, SourceKind
from .._graph_file.graph import Graph
from .._graph_file.toml_file import parse_toml, read_text
from .._option_types import INVALID, Diagnostics, decode, record_of
from .._option_types.wording import did_you_mean, dotted_path, format_value, join_words
from .scenario_options import CardOptions, ClockOptions, NetworkOptions, Scenario

DEFAULT = "studio"
"""The default scenario."""
_OWN: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "clocks": ("clock", ClockOptions),
    "networks": ("network", NetworkOptions),
    "cards": ("card", CardOptions),
}
"""Tables of single nodes: the table whose values they override, and its options."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario, with the options that single nodes override."""

    name: str
    scenario: Scenario
    clocks: Mapping[str, ClockOptions] = {}
    networks: Mapping[str, NetworkOptions] = {}
    cards: Mapping[str, CardOptions] = {}

    def clock_options(self, id: str) -> ClockOptions:
        """Options of a clock."""
        return self.clocks.get(id, self.scenario.clock)

    def network_options(self, id: str) -> NetworkOptions:
        """Options of the network of a source or of a clock's messages."""
        return self.networks.get(id, self.scenario.network)

    def card_options(self, id: str) -> CardOptions:
        """Options of a sound card."""
        return self.cards.get(id, self.scenario.card)

    def check(self, graph: Graph) -> None:
        """Raises GraphError if it names nodes that the graph does not have, or nodes of another role."""
        clocks = [node.id for node in graph.of_role("clocks")]
        cards = [id for id, kind in _ends(graph) if kind.domain == "device"]
        streams = [id for id, kind in _ends(graph) if isinstance(kind, SourceKind) and kind.domain == "clock"]
        problems: list[Problem] = []
        for table, there in (("clocks", clocks), ("networks", [*clocks, *streams]), ("cards", cards)):
            for id in getattr(self, table):
                if id not in there:
                    hint = did_you_mean(id, there) or (
                        f"they are {join_words(there, 'and')}" if there else "it has none"
                    )
                    message = f"the graph has no node {format_value(id)} that this table applies to"
                    problems.append(Problem(f"{self.name}: {dotted_path(table, id)}", message, hint))
        if problems:
            raise GraphError(problems)


def _ends(graph: Graph) -> Iterable[tuple[str, SourceKind[Any] | SinkKind[Any]]]:
    for node in graph.nodes.values():
        if isinstance(node.kind, SourceKind | SinkKind):
            yield node.id, node.kind


def shipped() -> dict[str, str]:
    """Name and text of the scenarios that come with the kernel."""
    folder = files(__package__) / "scenarios"
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    return {path.name.removesuffix(".toml"): path.read_text("utf-8") for path in paths if path.name.endswith(".toml")}


def scenario_text(name: str) -> str:
    """The text of a scenario, by the name of one that ships, or by the path of a file. Raises GraphError."""
    texts = shipped()
    if name in texts:
        return texts[name]
    path = Path(name)
    if not path.suffix and not path.exists():
        hint = (
            did_you_mean(name, texts) or f"scenarios are {join_words(list(texts), 'and')}; or give the path of a file"
        )
        raise GraphError([Problem("--scenario", f"there is no scenario {format_value(name)}", hint)])
    try:
        return read_text(path, "scenario")
    except GraphError as error:
        raise GraphError([_named(problem, path.name) for problem in error.problems]) from None


def load_scenario(name: str) -> Deployment:
    """A scenario by the name of one that ships, or by the path of a file. Raises GraphError with every problem."""
    text, path = scenario_text(name), Path(name)
    if name in shipped():
        return parse_scenario(text, name)
    try:
        return parse_scenario(text, path.stem)
    except GraphError as error:
        raise GraphError([_named(problem, path.name) for problem in error.problems]) from None


def _named(problem: Problem, file: str) -> Problem:
    path = f"{file}: {problem.path}" if problem.path else file
    return Problem(path, problem.message, problem.hint)


def parse_scenario(text: str, name: str = "scenario") -> Deployment:
    """A scenario from its text. Raises GraphError with every problem."""
    document = parse_toml(text)
    diagnostics = Diagnostics(Path.cwd(), Path.cwd())
    own = {table: document.pop(table) for table in _OWN if table in document}
    record = record_of(Scenario)
    values, complete = record.decode_options(document, "", diagnostics)
    nodes: dict[str, dict[str, Any]] = {}
    for table, ids in own.items():
        base, options = _OWN[table]
        below = document.get(base, {})
        if not isinstance(ids, Mapping):
            diagnostics.unexpected(table, f"tables such as [{table}.ID]", ids)
        elif isinstance(below, Mapping):
            nodes[table] = _read_own(table, ids, below, options, diagnostics)
    if diagnostics.problems:
        raise GraphError(diagnostics.problems)
    assert complete
    return Deployment(name=name, scenario=record.construct(values, "", diagnostics), **nodes)


def _read_own(
    table: str,
    ids: Mapping[str, Any],
    below: Mapping[str, Any],
    options: type[msgspec.Struct],
    diagnostics: Diagnostics,
) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for id, own in ids.items():
        at = dotted_path(table, id)
        if not isinstance(own, Mapping):
            diagnostics.unexpected(at, "a table", own)
            continue
        value = decode(record_of(options), {**below, **own}, at, diagnostics)
        if value is not INVALID:
            read[id] = value
    return read
