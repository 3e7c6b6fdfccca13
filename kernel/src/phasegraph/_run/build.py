"""Building: a checked graph becomes nodes, streams and taps, without touching the network or writing a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, cast

from .._core.clock import duration_of
from .._core.compensation import DeviceRate
from .._core.errors import GraphError, NodeError, Problem
from .._core.files import read_file
from .._core.kinds import ClockKind, CompensatorKind, SinkKind, SourceKind
from .._core.localtime import LocalClock, SystemLocalClock
from .._core.node import Build, ClockSource, Node, Source
from .._core.role import Role
from .._core.stream import ClockReader, Stream, StreamFormat
from .._graph_file.graph import Edge, Graph, GraphNode
from .._plugins.loader import Registry
from .crossing import CrossingTap
from .fallback import FallbackClock
from .inputs import SinkInput
from .memory import ring_problem
from .taps import AlignedTap, SequentialTap, Tap

RELAXED_QUANTUM_NS = 80_000_000
"""How often the network is read where nothing waits for the samples."""
PACED_QUANTUM_NS = 4_000_000
"""The same in a graph that also sends: packets are handled in portions that do not delay a sent packet for long."""
LEAST_QUANTUM_NS = 1_000_000
TEXT_LIMIT_BYTES = 1 << 20


def quantum_of(stream: Stream, delay_frames: int | None = None) -> int:
    """How often the network is read for a stream that a sink waits for; ``delay_frames`` if not its link offset."""
    if stream.clock is None:
        return PACED_QUANTUM_NS
    delay_ns = stream.playout_delay_ns if delay_frames is None else duration_of(delay_frames, stream.format.rate)
    return max(LEAST_QUANTUM_NS, min(PACED_QUANTUM_NS, delay_ns // 4))


NodeFactory = Callable[[GraphNode, Build, Callable[[], Node], "SinkInput | None"], Node]
"""Decides what is run for a node of a graph, given how its kind makes it and what it plays."""


def real_nodes(node: GraphNode, build: Build, make: Callable[[], Node], input: SinkInput | None) -> Node:
    """The node factory of every real run: a node is what its kind makes."""
    return make()


RememberedRate = Callable[[str, str], DeviceRate | None]
"""Rate of a device, by its name, against a kind of clock: what earlier runs have measured."""


def no_rates(device: str, clock: str) -> DeviceRate | None:
    """Nothing is remembered."""
    return None


class BuiltNode:
    """A node, ready to run."""

    def __init__(self, graph_node: GraphNode, node: Node, build: _Build, input: SinkInput | None = None) -> None:
        self.id = graph_node.id
        self.role = graph_node.role
        self.kind = graph_node.kind.kind
        self.pace: str = getattr(graph_node.kind, "domain", "clock")
        """What paces it: see `phasegraph._core.kinds.Domain`."""
        self.config: Any = graph_node.config
        self.node = node
        self.input = input
        """The input of a sink."""
        self.domain = graph_node.domain
        """Whose time paces it, as long as it runs: see `GraphNode.domain`."""
        self.started = False
        """Whether it was ever run. Written by the control plane."""
        self.texts = build.texts
        """The texts that it was built from, by path."""
        self.provides = build.provides
        """The texts that it writes, by path."""

    @property
    def stream(self) -> Stream:
        """A source's stream."""
        return cast(Source, self.node).stream

    @property
    def format(self) -> StreamFormat | None:
        """Of what a source writes or a sink reads; None of a clock."""
        if self.role is Role.SOURCE:
            return self.stream.format
        return None if self.input is None else self.input.format


class BuiltEdge:
    """An edge, with what reads it."""

    def __init__(self, edge: Edge, tap: Tap) -> None:
        self.edge = edge
        self.tap = tap


class BuiltGraph:
    """Everything that a run needs of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, BuiltNode] = {}
        self.edges: list[BuiltEdge] = []
        self.fallbacks: dict[str, FallbackClock] = {}
        """The clocks that have a fallback, by id."""
        self.notes: list[tuple[str, str]] = list(graph.notes)
        """What is odd and no error: path of the node, and a sentence."""
        self.provided: dict[str, str] = {}
        """The texts that nodes write to files, by path."""
        self.delays: dict[str, int] = {}
        """Link offsets, in frames, that sources which run will have: by id."""

    def replace(self, other: BuiltGraph) -> None:
        """Become another graph: all that have this object see it at once."""
        vars(self).update(vars(other))

    def read_text(self, path: str) -> str:
        """Contents of a file, or the text that a node of this graph provides under that path. Raises NodeError."""
        if path in self.provided:
            return self.provided[path]
        try:
            content = read_file(path, TEXT_LIMIT_BYTES + 1)
        except OSError as error:
            raise NodeError(f"cannot read {path}: {error.strerror}") from error
        if len(content) > TEXT_LIMIT_BYTES:
            raise NodeError(f"{path} is longer than {TEXT_LIMIT_BYTES >> 20} MiB: this is no file of that kind")
        return content.decode("utf-8", errors="replace")

    def clock(self, id: str) -> ClockReader:
        """What readers of the clock of this id get: its own estimate, or its fallback's."""
        return self.fallbacks.get(id) or cast(ClockSource, self.nodes[id].node)

    def stream(self, id: str) -> Stream:
        """The stream of the source of this id."""
        return self.nodes[id].stream

    def ring_bytes(self) -> dict[str, int]:
        """Memory that the rings of the sources take, by the source's path."""
        sources = [node for node in self.nodes.values() if node.role is Role.SOURCE]
        return {f"{Role.SOURCE}.{node.id}": node.stream.ring.size_bytes for node in sources}

    def quantum_ns(self) -> int:
        """How often the data plane reads the network: as seldom as the graph's latencies allow."""
        quantum = RELAXED_QUANTUM_NS
        for built in self.edges:
            kind = self.graph.nodes[built.edge.sink].kind
            if isinstance(kind, SinkKind) and kind.domain != "none":
                quantum = min(quantum, quantum_of(built.tap.stream, built.tap.delay_frames))
        return quantum


class _Build:
    """Implements `phasegraph.Build` for one node."""

    def __init__(self, id: str, local: LocalClock, built: BuiltGraph) -> None:
        self.id = id
        self.local = local
        self._built = built
        self.texts: dict[str, str] = {}
        """What the node has read, by path."""
        self.provides: dict[str, str] = {}
        """What it will write, by path."""

    def clock(self, id: str | None) -> ClockReader:
        """See `Build.clock`."""
        if id is not None:
            return self._built.clock(id)
        clocks = [node for node in self._built.nodes.values() if node.role == "clocks"]
        if len(clocks) != 1:
            raise NodeError(
                "no clock given, and the graph has several" if clocks else "no clock given, and the graph has none",
                "set clock to the id of one",
                option="clock",
            )
        return self._built.clock(clocks[0].id)

    def read_text(self, path: str) -> str:
        """See `Build.read_text`."""
        text = self.texts[path] = self._built.read_text(path)
        return text

    def provide(self, path: str, text: str) -> None:
        """See `Build.provide`."""
        self.provides[path] = self._built.provided[path] = text

    def note(self, text: str) -> None:
        """See `Build.note`."""
        self._built.notes.append((f"{self._built.graph.nodes[self.id].role}.{self.id}", text))


class GraphBuilder:
    """Makes the nodes of a graph, in an order in which each finds what it needs."""

    def __init__(
        self,
        registry: Registry,
        local: LocalClock | None = None,
        node_factory: NodeFactory = real_nodes,
        remembered_rate: RememberedRate = no_rates,
    ) -> None:
        """``remembered_rate`` gives crossings the rates of devices that earlier runs have measured."""
        self._registry = registry
        self._local = local or SystemLocalClock()
        self._node_factory = node_factory
        self._remembered_rate = remembered_rate

    def build(self, graph: Graph, add_node: Callable[[BuiltGraph, GraphNode], object] | None = None) -> BuiltGraph:
        """Make every node of a graph by ``add_node``, or all of them fresh.

        Raises GraphError with all the problems that the nodes found in their files and options.
        """
        built = BuiltGraph(graph)
        add_node = add_node or self.add_node
        problems: list[Problem] = []
        for id in graph.order:
            node = graph.nodes[id]
            try:
                add_node(built, node)
            except NodeError as error:
                problems.append(_problem(node.path, error))
            except _Elsewhere as blamed:
                problems.append(_problem(blamed.path, blamed.error))
            except MemoryError:
                hint = "set a shorter link-offset, or fewer channels"
                problems.append(Problem(node.path, "there is not enough memory for its buffers", hint))
            except _MissingPeer:
                continue  # what it needs has failed, and is reported itself
            except Exception as error:  # a plugin's factory may raise anything
                message = f"the plugin could not make it: {type(error).__name__}: {error}"
                problems.append(Problem(node.path, message, "this is a fault of the plugin"))
        # The system commits a ring's memory when it is written, so that rings too large for it can be made and
        # measured.
        if not problems and (problem := ring_problem(built.ring_bytes())) is not None:
            problems.append(problem)
        if problems:
            raise GraphError(problems)
        return built

    def add_node(self, built: BuiltGraph, node: GraphNode) -> None:
        """Make a node for a graph. Raises NodeError."""
        kind = node.kind
        for wanted in (getattr(node.config, "clock", None), getattr(node.config, "fallback", None)):
            if wanted is not None and wanted not in built.nodes:
                raise _MissingPeer
        build = _Build(node.id, self._local, built)
        if isinstance(kind, ClockKind | SourceKind):
            made = self._node_factory(node, build, partial(kind.factory, node.config, build), None)
            built.nodes[node.id] = BuiltNode(node, made, build)
            if isinstance(kind, ClockKind) and node.config.fallback is not None:
                built.fallbacks[node.id] = FallbackClock(
                    cast(ClockSource, made),
                    built.clock(node.config.fallback),
                    after_ns=node.config.fallback_after,
                    began_ns=build.local.now_ns(),
                )
        elif isinstance(kind, SinkKind):
            input, edges = self.make_input(built, node)
            made = self._node_factory(node, build, partial(kind.factory, node.config, build, input), input)
            built.nodes[node.id] = BuiltNode(node, made, build, input)
            built.edges += edges

    def check_node(self, built: BuiltGraph, node: GraphNode) -> dict[str, str]:
        """Make a node only to see whether its kind finds fault with its options. Raises NodeError.

        Returns the texts that it would write, by path.
        """
        kind, build = node.kind, _Build(node.id, self._local, built)
        if isinstance(kind, ClockKind | SourceKind):
            kind.factory(node.config, build)
        elif isinstance(kind, SinkKind):
            kind.factory(node.config, build, self.make_input(built, node)[0])
        return build.provides

    def make_input(
        self,
        built: BuiltGraph,
        node: GraphNode,
        running_tap: Callable[[Edge], Tap | None] = lambda edge: None,
    ) -> tuple[SinkInput, list[BuiltEdge]]:
        """The input of a sink, and its edges. Raises NodeError. ``running_tap`` gives the taps of edges that go on."""
        edges = []
        for edge in built.graph.inputs_of(node.id):
            if edge.source not in built.nodes:
                raise _MissingPeer
            tap = running_tap(edge) or self._tap(built, edge)
            edges.append(BuiltEdge(edge, tap))
        taps = [(built_edge.tap, _channels(built_edge)) for built_edge in edges]
        rates = {tap.stream.format.rate for tap, _ in taps}
        if len(rates) > 1:
            raise NodeError(
                f"its inputs have different rates: {', '.join(f'{rate / 1000:g} kHz' for rate in sorted(rates))}",
                "all inputs of one sink need the same rate",
                option="input",
            )
        format = StreamFormat(
            rate=rates.pop(),
            channels=sum(len(channels) if channels else tap.stream.format.channels for tap, channels in taps),
            encoding=max((tap.stream.format.encoding for tap, _ in taps), key=attrgetter("significant_bits")),
        )
        # A sink without a pace of its own follows a clock of the graph, or a source whose own device is one.
        own = (edge.tap.stream.clock for edge in edges if isinstance(edge.tap, AlignedTap))
        domain = node.domain
        clock = built.clock(domain) if domain is not None and domain in built.graph.nodes else next(own, None)
        return SinkInput(taps, format, clock), edges

    def _tap(self, built: BuiltGraph, edge: Edge) -> Tap:
        source = built.nodes[edge.source]
        stream = source.stream
        if stream.clock is None:  # a source that runs already is not to wait for a reader that may never read
            return SequentialTap(stream, attached=not source.started)
        if not edge.crossing:
            return AlignedTap(stream, built.delays.get(edge.source))
        assert edge.compensator is not None, "checked with the graph"
        compensator = built.graph.nodes[edge.compensator]
        assert isinstance(compensator.kind, CompensatorKind)
        resampler = self._registry.resamplers[compensator.config.resampler]
        try:
            steering = compensator.kind.factory(compensator.config, stream.format.rate)
        except NodeError as error:
            raise _Elsewhere(edge.compensator, error) from error
        clock = reference_clock(built.graph, edge)
        return CrossingTap(
            stream,
            steering,
            resampler.factory(),
            lambda device: self._remembered_rate(device, clock),
            built.delays.get(edge.source),
        )


def build_graph(
    graph: Graph,
    registry: Registry,
    local: LocalClock | None = None,
    node_factory: NodeFactory = real_nodes,
    remembered_rate: RememberedRate = no_rates,
) -> BuiltGraph:
    """Make every node of a graph: see `GraphBuilder`. Raises GraphError with all the problems that the nodes found."""
    return GraphBuilder(registry, local, node_factory, remembered_rate).build(graph)


def _problem(path: str, error: NodeError) -> Problem:
    return Problem(f"{path}.{error.option}" if error.option else path, error.message, error.hint)


class _Elsewhere(Exception):
    """A node could not be built because of a compensator's options."""

    def __init__(self, compensator: str, error: NodeError) -> None:
        super().__init__(str(error))
        self.path = f"compensators.{compensator}"
        self.error = error


class _MissingPeer(Exception):
    """A node that this one needs could not be built."""


def reference_clock(graph: Graph, edge: Edge) -> str:
    """Kind of the clock that the source of an edge runs on: a device's rate is known against such a clock."""
    domain = graph.nodes[edge.source].domain or ""
    return graph.nodes[domain].kind.kind if domain in graph.nodes else domain


def _channels(edge: BuiltEdge) -> list[int] | None:
    channels = edge.edge.channels
    if channels is None:
        return None
    there = edge.tap.stream.format.channels
    beyond = [channel for channel in channels if channel > there]
    if beyond:
        raise NodeError(
            f"{edge.edge.source} has {there} channels, there is no channel {beyond[0]}",
            "channels count from 1, and 0 is silence",
            option="input",
        )
    return [channel - 1 for channel in channels]
