"""Which node a simulation runs in place of each node of a graph. Role and domain alone decide, whatever the kind."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import cast

import msgspec
import numpy as np

from .._core.clock import NS_PER_S, frames_in
from .._core.kinds import ClockKind, SinkKind, SourceKind
from .._core.node import Build, Node, Source
from .._core.stream import Stream
from .._graph_file.graph import GraphNode
from .._run.build import quantum_of
from .._run.inputs import SinkInput
from .card_time import CardTime
from .grandmaster import Grandmaster
from .impairments import Impairment
from .local_clock import SimLocalClock
from .nodes.capture_card import SimulatedCapture
from .nodes.counting_sinks import SimulatedRecorder, SimulatedSender
from .nodes.network_source import PacketSchedule, SimulatedSource
from .nodes.playback_card import SimulatedCard
from .nodes.simulated_clock import SimulatedClock
from .packet_arrivals import PacketArrivals
from .scenario import Deployment
from .scenario_options import CardOptions, NetworkOptions
from .time_base import TimeBase
from .tone_signal import RenderedSpan, ToneSignal

_BLOCKS = (512, 256, 128, 64)
_JITTERS = 8
"""A delay of this many times its mean is rare enough to count as the largest."""
_MARGIN_NS = 1_000_000


class NodeSubstitution:
    """Makes the nodes of one simulation: a `phasegraph._run.build.NodeFactory`.

    | role | domain | what runs |
    |---|---|---|
    | clock | | a `SimulatedClock` with the errors of the scenario |
    | source | clock | a stream of the real source's format, from a simulated network |
    | source, sink | device | a simulated sound card |
    | source | none | the real one: files and generators |
    | sink | clock | one that counts the packets it would send |
    | sink | none | one that counts the frames it would record |
    """

    def __init__(self, deployment: Deployment, seed: int, local: SimLocalClock, rendered: RenderedSpan) -> None:
        self.grandmaster = Grandmaster(deployment.scenario.grandmaster)
        self.bases: dict[str, TimeBase] = {}
        """The time base that truly paces a substituted node, by its id."""
        self.substituted: list[str] = []
        """Ids of the substituted nodes."""
        self._deployment = deployment
        self._seed = seed
        self._local = local
        self._rendered = rendered

    def __call__(self, node: GraphNode, build: Build, make: Callable[[], Node], input: SinkInput | None) -> Node:
        """The node that runs in place of a node of the graph."""
        kind = node.kind
        if not isinstance(kind, SourceKind) or kind.domain != "none":
            self.substituted.append(node.id)
        made = make()  # also where it does not run: it checks its options and gives its stream's format
        if isinstance(kind, ClockKind):
            return self._clock(node)
        domain = kind.domain if isinstance(kind, SourceKind | SinkKind) else "none"
        if isinstance(kind, SourceKind):
            if domain == "none":
                return made
            return self._source(node, cast(Source, made)) if domain == "clock" else self._capture(node, made)
        assert input is not None
        if domain == "none":
            return SimulatedRecorder(input)
        return self._sender(node, build, input) if domain == "clock" else self._card(node, input)

    def _random(self, id: str) -> np.random.Generator:
        # Every node has its own generator, so that one more node in the graph changes none of the others.
        return np.random.default_rng([self._seed, zlib.crc32(id.encode())])

    def _clock(self, node: GraphNode) -> Node:
        self.bases[node.id] = self.grandmaster
        options, network = self._deployment.clock_options(node.id), self._deployment.network_options(node.id)
        return SimulatedClock(
            self.grandmaster, options, self._local, path_ns=network.delay, random=self._random(node.id)
        )

    def _source(self, node: GraphNode, made: Source) -> Node:
        self.bases[node.id] = self.grandmaster
        stream, network = made.stream, self._deployment.network_options(node.id)
        size = max(1, frames_in(_packet_time(node, network), stream.format.rate))
        return SimulatedSource(
            stream,
            PacketSchedule(self.grandmaster, stream.format.rate, size),
            PacketArrivals(impairment_of(network), self._random(node.id)),
            self._local,
            ToneSignal(stream.format, self._rendered, stream.playout_delay_ns),
        )

    def _sender(self, node: GraphNode, build: Build, input: SinkInput) -> Node:
        self.bases[node.id] = self.grandmaster
        size = max(1, frames_in(_packet_time(node, self._deployment.scenario.network), input.format.rate))
        return SimulatedSender(input, build.clock(getattr(node.config, "clock", None)), self.grandmaster, size)

    def _card(self, node: GraphNode, input: SinkInput) -> Node:
        streams = [tap.stream for tap in input.taps if tap.stream.clock is not None]
        options = self._with_block(self._deployment.card_options(node.id), streams, input.format.rate)
        time = self.bases[node.id] = CardTime(options.oscillator())
        return SimulatedCard(
            input, time, options, local=self._local, rendered=self._rendered, random=self._random(node.id)
        )

    def _capture(self, node: GraphNode, made: Node) -> Node:
        stream = cast(Source, made).stream
        options = self._with_block(self._deployment.card_options(node.id), [stream], stream.format.rate)
        time = self.bases[node.id] = CardTime(options.oscillator())
        return SimulatedCapture(
            stream, time, options, local=self._local, rendered=self._rendered, random=self._random(node.id)
        )

    def _with_block(self, options: CardOptions, streams: Iterable[Stream], rate: int) -> CardOptions:
        # The largest block that the link offset allows, as a person sets up a card.
        if options.block:
            return options
        network = self._deployment.scenario.network
        way_ns = network.packet_time + network.delay + _JITTERS * network.jitter + network.burst + _MARGIN_NS
        rooms = [stream.playout_delay_ns - way_ns - quantum_of(stream) for stream in streams]
        frames = frames_in(min(rooms, default=NS_PER_S), rate)
        fitting = (block for block in _BLOCKS if block * (options.blocks + 1) <= frames)
        return msgspec.structs.replace(options, block=next(fitting, _BLOCKS[-1]))


def _packet_time(node: GraphNode, network: NetworkOptions) -> int:
    # The option's name in all transports that have it.
    packet_time: int | None = getattr(node.config, "packet_time", None)
    return packet_time or network.packet_time


def impairment_of(network: NetworkOptions) -> Impairment:
    """What a network of a scenario does to packets."""
    return Impairment(
        delay_ns=network.delay,
        jitter_ns=network.jitter,
        jitter=network.jitter_shape,
        loss=network.loss,
        loss_burst=network.loss_burst,
        duplicate=network.duplicate,
        swap=network.reorder,
        burst_ns=network.burst,
    )
