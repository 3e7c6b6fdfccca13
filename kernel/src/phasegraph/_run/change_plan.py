"""Plans: what a graph that is asked for would do to the graph that runs, and the nodes that it needs.

A node is *untouched* if its options, its edges, the files that it reads and all that it refers to are what they were.
One whose live options alone differ changes while it runs. A sink whose input, compensator or source alone differs is
*switched*. Every other node that differs is *restarted*: another node is made in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from .._core.clock import frames_in
from .._core.config import NodeConfig
from .._core.errors import GraphError
from .._core.graph_change import Change, ChangePlan, NodeChange
from .._core.node import LiveNode, accepts_options
from .._core.role import GRAPH_ROLES, Role
from .._core.samples import Encoding
from .._graph_file.graph import Edge, GraphNode
from .._graph_file.validate import Validation
from .._option_types import Option, record_of
from .._option_types.wording import format_toml, join_words
from .build import BuiltEdge, BuiltGraph, BuiltNode, GraphBuilder
from .inputs import SinkInput
from .taps import Tap

_KERNEL_OPTIONS = {"fallback_after", "input", "compensator", *NodeConfig.__struct_fields__}
"""Live options that need nothing of the node itself."""


class _Difference(msgspec.Struct):
    # What differs between a node and what runs in its place.
    change: Change
    options: list[Option] = []
    reason: str = ""


class Planner:
    """Compares one graph with the one that runs, and makes what is missing. Used once, on the control plane.

    Making nodes has no effect on the network, on files, or on what runs.
    """

    def __init__(self, running: BuiltGraph, builder: GraphBuilder, is_running: Callable[[str], bool]) -> None:
        """``is_running`` says whether a node of this id runs: one that has ended or failed cannot change live."""
        self.running = running
        self._builder = builder
        self._is_running = is_running
        self._differences: dict[str, _Difference] = {}
        self._running_edges: dict[str, list[BuiltEdge]] = {}
        """By sink."""
        for edge in running.edges:
            self._running_edges.setdefault(edge.edge.sink, []).append(edge)
        self._edges: dict[str, list[Edge]] = {}
        """Of the graph that is asked for, by sink."""
        self._provides: dict[str, dict[str, str]] = {}
        self.inputs: dict[str, SinkInput] = {}
        """The new inputs of the sinks that are switched, by id."""
        self.built = running
        """The graph that is asked for, with all its nodes: those that go on, and new ones."""
        self.graph = running.graph

    def plan(self, validation: Validation) -> ChangePlan:
        """The plan, and in ``built`` and ``inputs`` what it needs."""
        problems = list(validation.problems)
        graph = validation.graph
        if graph is not None:
            self.graph = graph
            for edge in graph.edges:
                self._edges.setdefault(edge.sink, []).append(edge)
            try:
                self.built = self._builder.build(graph, self._add_node)
            except GraphError as error:
                problems += error.problems
        if problems:
            return ChangePlan(changes=[], problems=list(dict.fromkeys(map(str, problems))))
        return ChangePlan(changes=self._changes())

    def change_of(self, id: str) -> Change:
        """What happens to a node of the graph that is asked for."""
        return self._differences[id].change

    def fresh(self) -> list[BuiltNode]:
        """The nodes that are added, or come in the place of others; those that others need first."""
        nodes = [node for node in self.built.nodes.values() if self.change_of(node.id) in ("added", "restarted")]
        return sorted(nodes, key=lambda node: GRAPH_ROLES.index(Role(node.role)))

    def waits_for_place(self, node: BuiltNode, others: Sequence[BuiltNode]) -> bool:
        """Whether a fresh node can start only when the one in whose place it comes has ended, or when ``others`` have
        started, which wait for that."""
        ids = {other.id for other in others}
        needed = {node.domain, getattr(node.config, "clock", None), getattr(node.config, "fallback", None)}
        needed |= {edge.source for edge in self.graph.inputs_of(node.id)}
        if ids & needed:
            return True
        runs_alone = node.role is not Role.SOURCE or node.pace == "device"
        return self.change_of(node.id) == "restarted" and runs_alone

    def switched(self) -> list[tuple[BuiltNode, SinkInput]]:
        """The sinks whose input changes, and their new inputs."""
        return [(self.built.nodes[id], input) for id, input in self.inputs.items()]

    def removed(self) -> list[BuiltNode]:
        """The nodes that run and are no part of the graph that is asked for, in the order in which roles start."""
        nodes = [node for node in self.running.nodes.values() if not self._goes_on(node.id, Role(node.role))]
        return sorted(nodes, key=lambda node: GRAPH_ROLES.index(Role(node.role)))

    def replaced(self) -> list[BuiltNode]:
        """The nodes that run and in whose place others come."""
        return [self.running.nodes[node.id] for node in self.fresh() if self.change_of(node.id) == "restarted"]

    def source_of(self, tap: Tap) -> str:
        """The source that a tap of the graph that is asked for reads, as a phrase."""
        return next((f"source {edge.edge.source}" for edge in self.built.edges if edge.tap is tap), "a source")

    def commit(self) -> list[Tap]:
        """The running graph becomes the one that is asked for. Returns the taps that nothing reads any more."""
        left = [edge.tap for edge in self.running.edges]
        for node in self.built.nodes.values():
            difference = self._differences[node.id]
            if difference.change in ("live", "switched"):
                node.config = self.graph.nodes[node.id].config
                node.provides = self._provides.get(node.id, node.provides)
                if node.id in self.built.fallbacks:
                    self.built.fallbacks[node.id].change_patience(node.config.fallback_after)
                if _own(difference.options):
                    cast(LiveNode, node.node).change_options(node.config)
        self.running.replace(self.built)
        kept = {id(edge.tap) for edge in self.running.edges}
        return [tap for tap in left if id(tap) not in kept]

    def _goes_on(self, id: str, role: Role) -> bool:
        return id in self.graph.nodes and self.graph.nodes[id].role is role

    # Differences

    def _add_node(self, built: BuiltGraph, node: GraphNode) -> None:
        difference = self._differences[node.id] = self._difference(built, node)
        if node.role is Role.COMPENSATOR:
            return
        if difference.change in ("added", "restarted"):
            self._builder.add_node(built, node)
            return
        before = self.running.nodes[node.id]
        provides = before.provides
        if _own(difference.options):  # its kind may find fault with them
            provides = self._provides[node.id] = self._builder.check_node(built, node)
            if (delay_ns := getattr(node.config, "link_offset", None)) is not None:
                built.delays[node.id] = frames_in(delay_ns, before.stream.format.rate)
        edges = self._running_edges.get(node.id, [])
        if difference.change == "switched":
            input, edges = self._builder.make_input(built, node, lambda edge: self._running_tap(built, edge))
            difference.reason = difference.reason or _why_not_followed(before, input)
            if difference.reason:
                difference.change = "restarted"
                self._builder.add_node(built, node)
                return
            self.inputs[node.id] = input
        built.nodes[node.id] = before
        built.edges += edges
        built.provided |= provides
        if node.id in self.running.fallbacks:
            built.fallbacks[node.id] = self.running.fallbacks[node.id]

    def _difference(self, built: BuiltGraph, node: GraphNode) -> _Difference:
        before = self.running.graph.nodes.get(node.id)
        if before is None or before.role is not node.role:
            return _Difference("added")
        if node.kind is not before.kind:
            return _Difference("restarted", reason=f"its kind becomes {node.kind.kind}")
        options = [] if node.config is before.config or node.config == before.config else _differing(node, before)
        if node.role is Role.COMPENSATOR:
            return _Difference("restarted", options) if options else _Difference("untouched")
        reason = self._why_restarted(built, node, options)
        if reason is not None:
            return _Difference("restarted", options, reason)
        if node.role is Role.SINK and self._input_differs(built, node):
            return _Difference("switched", options)
        return _Difference("live" if options else "untouched", options)

    def _why_restarted(self, built: BuiltGraph, node: GraphNode, options: list[Option]) -> str | None:
        # None where the node goes on; an empty reason where its options are the reason.
        running = self.running.nodes[node.id]
        if any(option.live is None for option in options):
            return ""
        if _own(options) and not accepts_options(running.node, node.config):
            return ""
        for id in (node.domain, getattr(node.config, "clock", None), getattr(node.config, "fallback", None)):
            clock = built.graph.nodes.get(id or "")
            if clock is not None and clock is not node and clock.role is Role.CLOCK and self._restarts(clock.id):
                return f"its clock '{id}' is another one"
        if node.domain != running.domain and not (node.domain is None and running.domain in built.graph.nodes):
            return "it runs on another clock"
        for path, text in running.texts.items():
            if built.read_text(path) != text:
                return f"{path} has changed"
        if (options or self._input_differs(built, node)) and not self._is_running(node.id):
            return "it has ended"
        return None

    def _restarts(self, id: str) -> bool:
        return id in self._differences and self._differences[id].change == "restarted"

    def _input_differs(self, built: BuiltGraph, node: GraphNode) -> bool:
        if node.role is not Role.SINK:
            return False
        edges = self._edges.get(node.id, [])
        before = [running.edge for running in self._running_edges.get(node.id, [])]
        return edges != before or any(self._running_tap(built, edge) is None for edge in edges)

    def _running_tap(self, built: BuiltGraph, edge: Edge) -> Tap | None:
        # The tap of an edge that goes on as it is.
        source, compensator = self._differences.get(edge.source), self._differences.get(edge.compensator or "")
        if source is None or source.change not in ("untouched", "live"):
            return None
        if any(option.attribute == "link_offset" for option in source.options):
            return None
        if compensator is not None and compensator.change != "untouched":
            return None
        edges = self._running_edges.get(edge.sink, [])
        same = (running.tap for running in edges if _reads_alike(running.edge, edge))
        return next(same, None)

    # Sentences

    def _changes(self) -> list[NodeChange]:
        before = self.running.graph
        changes: list[NodeChange] = []
        for role in GRAPH_ROLES:
            ending = [node for node in before.of_role(role) if not self._goes_on(node.id, role)]
            changes += [_change(node, _Difference("removed"), "ends") for node in ending]
            for node in self.graph.of_role(role):
                difference = self._differences[node.id]
                old = before.nodes[node.id] if difference.change != "added" else node
                changes.append(_change(node, difference, _text(old, node, difference)))
        return changes


def _differing(node: GraphNode, before: GraphNode) -> list[Option]:
    return [
        option
        for option in record_of(type(node.config)).options
        if getattr(node.config, option.attribute) != getattr(before.config, option.attribute)
    ]


def _own(options: list[Option]) -> list[Option]:
    return [option for option in options if option.attribute not in _KERNEL_OPTIONS]


def _reads_alike(edge: Edge, other: Edge) -> bool:
    # The channels are chosen behind the tap.
    return (edge.source, edge.sink, edge.compensator) == (other.source, other.sink, other.compensator)


def _why_not_followed(sink: BuiltNode, input: SinkInput) -> str:
    """Why a sink that runs cannot change to an input; empty where it can."""
    assert sink.input is not None
    now, then = sink.input.format, input.format
    if (now.rate, now.channels) != (then.rate, then.channels):
        return f"its input changes from {now} to {then}"
    accepts = getattr(sink.node, "accepts_encoding", None)
    if accepts is not None:
        return "" if accepts(then.encoding) else f"its input changes from {now} to {then}"
    labelled = Encoding.AM824 in (now.encoding, then.encoding) and now.encoding is not then.encoding
    wider = then.encoding.significant_bits > now.encoding.significant_bits
    return f"its input changes from {now} to {then}" if labelled or wider else ""


def _change(node: GraphNode, difference: _Difference, text: str) -> NodeChange:
    return NodeChange(
        role=node.role.singular,
        node=node.id,
        change=difference.change,
        options=[option.name for option in difference.options],
        text=f"{node.role.singular} {node.id} {text}",
    )


def _text(before: GraphNode, node: GraphNode, difference: _Difference) -> str:
    values = join_words([_value_change(option, before, node) for option in difference.options], "and")
    if difference.change == "added":
        return f"begins ({node.kind.kind})"
    if difference.change == "untouched":
        return "goes on"
    if difference.change == "live":
        return f"goes on with {values}"
    if difference.change == "switched":
        return f"changes at a frame: {values or 'its source is another one, or runs differently'}"
    return f"starts again: {difference.reason or values}"


def _value_change(option: Option, before: GraphNode, node: GraphNode) -> str:
    old, new = (option.written(getattr(each.config, option.attribute)) for each in (before, node))
    if old is None:
        return f"{option.name} = {_shown(new)}"
    return f"{option.name} {_shown(old)} -> {'nothing' if new is None else _shown(new)}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else format_toml(value)
