"""Random changes of random graphs in virtual time, compared with what every sink must have recorded.

One trial makes a graph of simulated nodes from a seed, runs it, and applies random edits: nodes that are added,
removed, restarted and retuned, inputs that are switched at a frame or cross-faded, live options, and edits that must be
refused.
Then it holds:

- a recorder has, bit for bit, the frames of its inputs, each from the frame on at which it was switched;
- a sink that no edit has touched has, bit for bit, what it has in a run without edits;
- a refused edit has changed nothing;
- no task, step, reader or ring of a node that has ended is left.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import trio
from trio.testing import MockClock

from .._core.clock import frames_in
from .._core.config import ClockRef, SinkConfig, SourceConfig
from .._core.errors import NodeError
from .._core.graph_change import AppliedChange, ChangePlan, ChangeTime, EditRefused, GraphEdit
from .._core.kinds import SinkKind, SourceKind
from .._core.node import Build, Input, Metrics, NodeContext
from .._core.samples import Encoding, Frames
from .._core.stream import Stream, StreamFormat
from .._graph_file.graph_tables import apply_settings
from .._graph_file.validate import validate_tables
from .._option_types import Diagnostics
from .._plugins.loader import Registry
from .._plugins.specs import hookimpl
from .._run.build import BuiltGraph
from .._run.inputs import SinkInput
from .._run.logging import make_log
from .._run.session import Session
from ..simulation.local_clock import SimLocalClock
from ..simulation.network import SimNetwork
from ..simulation.nodes.sim_card import SimCard
from ..simulation.nodes.sim_recorder import SimRecorder
from ..simulation.nodes.sim_source import SimSequence, SimSource
from .graph_runs import sim_registry

RATE = 48_000
MOST_NODES = 12
_FOLDER = Path("/")
_BETWEEN_S = 0.12
_READY_S = 0.3


class BrokenConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of a source that does not work."""

    clock: ClockRef | None = None
    silent: bool = False
    """It starts, and delivers nothing."""


class BrokenSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a sink that does not work."""


class BrokenNode:
    """Fails when it starts, or delivers nothing."""

    def __init__(self, stream: Stream, *, silent: bool) -> None:
        self.stream = stream
        self._silent = silent

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        await ctx.sleep(10_000_000)
        if not self._silent:
            raise NodeError("it is broken")
        task_status.started()
        await trio.sleep_forever()

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        return {}


class BrokenPlugin:
    """The kind ``broken``, of a source and of a sink."""

    @hookimpl
    def register_sources(self) -> Iterable[SourceKind[Any]]:
        """See `Specs.register_sources`."""

        def make(config: BrokenConfig, build: Build) -> BrokenNode:
            stream = Stream(StreamFormat(RATE, 2, Encoding.L24), window_ns=10**9, clock=build.clock(config.clock))
            return BrokenNode(stream, silent=config.silent)

        return [SourceKind(kind="broken", summary="Fails.", config=BrokenConfig, factory=make)]

    @hookimpl
    def register_sinks(self) -> Iterable[SinkKind[Any]]:
        """See `Specs.register_sinks`."""

        def make(config: BrokenSinkConfig, build: Build, input: Input) -> BrokenNode:
            return BrokenNode(Stream(StreamFormat(RATE, 2), window_ns=10**6), silent=False)

        return [SinkKind(kind="broken", summary="Fails.", config=BrokenSinkConfig, factory=make, domain="none")]


def trial_registry() -> Registry:
    """The simulated kinds, and those that do not work."""
    registry = sim_registry([])
    registry.add("broken", "0", BrokenPlugin())
    return registry


class _Edits:
    """Makes random graphs, and random edits of them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._number = 0

    def graph(self) -> dict[str, Any]:
        """A graph of at most half the nodes that there may be."""
        chance = self._chance
        tables: dict[str, Any] = {
            "schema": 1,
            "clocks": {"house": {"kind": "sim-clock", "rate-offset": f"{chance.randint(-50, 50)}ppm"}},
            "compensators": {"align": {"kind": "sim-align"}},
        }
        if chance.random() < 0.3:
            tables["clocks"]["other"] = {"kind": "sim-clock", "rate-offset": "3ppm"}
        tables["sources"] = {self.name("s"): self.source(tables) for _ in range(chance.randint(1, 3))}
        tables["sinks"] = {self.name("k"): self.sink(chance.choice(self.clocked(tables))) for _ in range(2)}
        return tables

    def name(self, letter: str) -> str:
        """A name that was never used."""
        self._number += 1
        return f"{letter}{self._number}"

    def source(self, tables: dict[str, Any]) -> dict[str, Any]:
        """A source on a clock. Each has another link offset, so that samples show whose they are."""
        table = {
            "kind": "sim-source",
            "clock": self._chance.choice(list(tables["clocks"])),
            "link-offset": f"{45_000 + 500 * self._chance.randint(0, 100)}us",
        }
        return {**table, "jitter": "3ms", "seed": self._number} if self._chance.random() < 0.3 else table

    def sink(self, source: str) -> dict[str, Any]:
        """A recorder, or a sound card."""
        if self._chance.random() < 0.65:
            return {"kind": "sim-recorder", "input": source, "interval": "20ms"}
        offset = f"{self._chance.randint(-80, 80)}ppm"
        card = {"kind": "sim-card", "input": source, "compensator": "align", "rate-offset": offset, "block": 480}
        return {**card, "blocks": 1}

    @staticmethod
    def clocked(tables: dict[str, Any]) -> list[str]:
        """The sources on a clock."""
        return [id for id, table in tables["sources"].items() if table["kind"] == "sim-source"]

    def edit(self, tables: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Values to lay over a graph, and whether they must be refused."""
        chance = self._chance
        values: dict[str, Any] = {}
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            make = chance.choice(
                [
                    self._add,
                    self._add,
                    self._remove,
                    self._switch,
                    self._switch,
                    self._retune,
                    self._live,
                    self._restart,
                ]
            )
            more = make(tables)
            values |= more
            tables = apply_settings(tables, more, Diagnostics(_FOLDER, _FOLDER))
        if chance.random() < 0.2:
            return values | self._mistake(tables), True
        return values, False

    def _add(self, tables: dict[str, Any]) -> dict[str, Any]:
        count = sum(len(nodes) for role, nodes in tables.items() if role != "schema")
        if count + 6 > MOST_NODES:
            return self._remove(tables)
        source = self._chance.choice(self.clocked(tables))
        if self._chance.random() < 0.5:
            return {f"sink.{self.name('k')}": self.sink(source)}
        new = self.name("s")
        if self._chance.random() < 0.3:  # one that its reader paces: it has one reader
            card = {"kind": "sim-card", "input": new, "block": 480, "blocks": 1}
            return {f"source.{new}": {"kind": "sim-sequence"}, f"sink.{self.name('k')}": card}
        return {f"source.{new}": self.source(tables), f"sink.{self.name('k')}": self.sink(new)}

    def _remove(self, tables: dict[str, Any]) -> dict[str, Any]:
        if len(tables["sinks"]) < 2:
            return {}
        id = self._chance.choice(list(tables["sinks"]))
        values: dict[str, Any] = {f"sink.{id}": None}
        source = tables["sinks"][id]["input"]
        if isinstance(source, str) and tables["sources"][source]["kind"] == "sim-sequence":
            values[f"source.{source}"] = None
        return values

    def _switch(self, tables: dict[str, Any]) -> dict[str, Any]:
        chance = self._chance
        id = chance.choice(list(tables["sinks"]))
        before, sources = tables["sinks"][id]["input"], self.clocked(tables)
        if isinstance(before, str) and tables["sources"][before]["kind"] == "sim-sequence":
            return {}
        values: dict[str, Any] = {}
        if chance.random() < 0.3:
            new = self.name("s")
            values[f"source.{new}"] = self.source(tables)
            sources = [new]
        source = chance.choice(sources)
        if chance.random() < 0.25:
            values[f"sink.{id}.input"] = [{"source": source, "channels": [2]}, {"source": source, "channels": [1]}]
        elif tables["sinks"][id]["kind"] == "sim-recorder" and chance.random() < 0.2:
            new = self.name("s")
            values = {f"source.{new}": {"kind": "sim-sequence"}, f"sink.{id}.input": new}
        else:
            values[f"sink.{id}.input"] = source
        return values

    def _retune(self, tables: dict[str, Any]) -> dict[str, Any]:
        id = self._chance.choice(self.clocked(tables))
        offset_us = self._chance.choice([45_000 + 500 * self._chance.randint(0, 200), 600_000])
        return {f"source.{id}.link-offset": f"{offset_us}us"}

    def _live(self, tables: dict[str, Any]) -> dict[str, Any]:
        role = self._chance.choice(["source", "sink"])
        id = self._chance.choice(list(tables[role + "s"]))
        option = self._chance.choice([("label", self.name("label ")), ("on-failure", "isolate")])
        return {f"{role}.{id}.{option[0]}": option[1]}

    def _restart(self, tables: dict[str, Any]) -> dict[str, Any]:
        if self._chance.random() < 0.5:
            return {f"source.{self._chance.choice(self.clocked(tables))}.seed": self._chance.randint(0, 10**6)}
        clocked = self.clocked(tables)  # one that nothing paces records as fast as it can
        recorders = [
            id for id, table in tables["sinks"].items() if table["kind"] == "sim-recorder" and table["input"] in clocked
        ]
        if not recorders:
            return {}
        return {f"sink.{self._chance.choice(recorders)}.interval": f"{self._chance.randint(5, 25)}ms"}

    def _recorder(self, tables: dict[str, Any]) -> str:
        recorders = [id for id, table in tables["sinks"].items() if table["kind"] == "sim-recorder"]
        return recorders[0] if recorders else "no recorder"

    def _mistake(self, tables: dict[str, Any]) -> dict[str, Any]:
        new, recorder = self.name("x"), self._recorder(tables)
        source = {"kind": "broken", "clock": "house"}
        input = tables["sinks"].get(recorder, {}).get("input")
        played = tables["sources"].get(input, {}) if isinstance(input, str) else {}
        silent = {"kind": "broken", "clock": played.get("clock", "no clock"), "silent": True}
        return self._chance.choice(
            [
                {f"sink.{new}": {"kind": "sim-recorder", "input": "nothing"}},
                {f"sink.{new}": {"kind": "sim-recorder", "input": new, "interval": "soon"}},
                {f"source.{new}": source},
                {f"sink.{new}": {"kind": "broken", "input": self.clocked(tables)[0]}},
                {f"source.{new}": silent, f"sink.{recorder}.input": new},
            ]
        )


class _Segment:
    """What a recorder records from a frame on."""

    def __init__(self, frame: int | None, built: BuiltGraph, sink: str, fade_frames: int) -> None:
        self.frame = frame
        """None: from where its inputs begin."""
        self.fade_frames = fade_frames
        input = built.nodes[sink].input
        assert input is not None
        self.input: SinkInput = input
        self.inputs = [
            (built.nodes[edge.edge.source].node, edge.tap.delay_frames, edge.edge.channels)
            for edge in built.edges
            if edge.edge.sink == sink
        ]

    @property
    def begin(self) -> int:
        """The first frame."""
        if self.frame is not None:
            return self.frame
        assert self.input.first_frame is not None
        return self.input.first_frame

    def expected(self, frame: int, count: int) -> Frames:
        """The frames of the inputs, side by side."""
        parts = []
        for node, delay, channels in self.inputs:
            assert isinstance(node, SimSequence)
            first = frame - delay if isinstance(node, SimSource) else frame - self.begin
            part = node.frames(first, count)
            part[: max(0, (node.stream.first or 0) - first)] = 0.0
            parts.append(part if channels is None else part[:, [channel - 1 for channel in channels]])
        return np.concatenate(parts, axis=1)


class ChangeTrial:
    """One random graph with its random edits. The same seed is the same trial."""

    def __init__(self, seed: int, *, edits: int = 5) -> None:
        self._chance = random.Random(seed)
        self._edits = _Edits(self._chance)
        self._count = edits
        self._registry = trial_registry()
        self._segments: dict[str, list[_Segment]] = {}
        """What each recorder that runs must have recorded."""
        self._ended: list[tuple[SimRecorder, list[_Segment], bool]] = []
        """Recorders that have ended, and whether they ended by themselves."""
        self._touched: set[str] = set()
        self._gone: list[weakref.ref[Any]] = []
        """Rings of sources that have ended."""
        self._duration_ns = 0
        self.applied = 0
        self.refused = 0
        self.counts: dict[str, int] = {}
        """How often each change happened."""

    def run(self) -> None:
        """Run it, and the same graph without edits. Raises AssertionError for what does not hold."""
        tables = self._edits.graph()
        self._initial = set(tables["sinks"])
        disturbed = trio.run(self._disturbed, tables, clock=MockClock(autojump_threshold=0))
        self._check_recordings(tables, disturbed)
        del disturbed
        self._ended.clear()
        self._segments.clear()
        gc.collect()
        assert all(ring() is None for ring in self._gone), "a ring is left behind"

    def _check_recordings(self, tables: dict[str, Any], disturbed: Session) -> None:
        session = self._session(tables)
        trio.run(lambda: session.run(for_ns=self._duration_ns), clock=MockClock(autojump_threshold=0))
        for id in self._initial - self._touched:
            _compare(_recording(disturbed, id), _recording(session, id), f"untouched sink {id}")
        for id, segments in self._segments.items():
            self._check_recorder(_recorder(disturbed, id), segments, id)
        for recorder, segments, _ in self._ended:
            self._check_recorder(recorder, segments, "a sink that has ended")

    def _session(self, tables: dict[str, Any]) -> Session:
        local = SimLocalClock()
        diagnostics = Diagnostics(_FOLDER, _FOLDER)
        graph = validate_tables(tables, self._registry, diagnostics).graph
        assert graph is not None, diagnostics.problems
        return Session(graph, self._registry, log=make_log(level="error"), local=local, network=SimNetwork(local))

    async def _disturbed(self, tables: dict[str, Any]) -> Session:
        session = self._session(tables)
        session.changes.ready_s = _READY_S
        for id in tables["sinks"]:
            self._begin_sink(session, id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: session.run())
            await session.supervisor.started.wait()
            await trio.sleep(0.4)
            for _ in range(self._count):
                await self._change(session)
                self._check_left(session)
                await trio.sleep(_BETWEEN_S)
            self._duration_ns = round(session.meter.duration_s * 1e9)
            session.supervisor.stop("time")
        return session

    def _begin_sink(self, session: Session, id: str) -> None:
        self._segments.pop(id, None)
        node = session.built.nodes[id].node
        if isinstance(node, SimRecorder):
            self._segments[id] = [_Segment(None, session.built, id, 0)]

    async def _change(self, session: Session) -> None:
        chance = self._chance
        before = session.changes.tables()
        values, wrong = self._edits.edit(before)
        fade_ms = chance.choice([0, 0, 0, 10])
        at: ChangeTime | Literal["now"] = chance.choice(
            ["now", "now", ChangeTime(local_ns=session.local.now_ns() + 250_000_000)]
        )
        graph, nodes = session.built.graph, dict(session.built.nodes)
        edit = GraphEdit(set=values)
        plan = await session.changes.plan(edit)
        silent = [id for id, node in values.items() if isinstance(node, dict) and node.get("silent")]
        if silent and not any("input" in each.options and each.change == "switched" for each in plan.changes):
            return  # a sink that begins with silence is none that waits for a source
        assert session.built.graph is graph
        assert session.built.nodes == nodes
        try:
            done = await session.changes.apply(edit, at=at, crossfade_ms=fade_ms)
        except EditRefused:
            self.refused += 1
            assert session.changes.tables() == before, "a refused edit changed the graph"
            assert session.built.nodes == nodes, "a refused edit changed nodes"
            if not wrong:  # edits may contradict each other
                assert plan.problems or not _is_valid(before, values), values
            return
        assert not wrong, f"an edit was to be refused: {values}"
        self.applied += 1
        self._follow(session, nodes, plan, done, fade_ms)

    def _follow(
        self, session: Session, before: dict[str, Any], plan: ChangePlan, done: AppliedChange, fade_ms: int
    ) -> None:
        assert plan == done.plan
        for change in plan.changes:
            id = change.node
            self.counts[change.change] = self.counts.get(change.change, 0) + 1
            if change.role == "source" and change.change in ("removed", "restarted"):
                self._gone.append(weakref.ref(before[id].node.stream.ring))
            if change.role != "sink" or change.change in ("untouched", "live"):
                continue
            self._touched.add(id)
            if change.change in ("removed", "restarted") and id in self._segments:
                self._ended.append((before[id].node, self._segments.pop(id), change.change == "removed"))
            if change.change in ("added", "restarted"):
                self._begin_sink(session, id)
            elif change.change == "switched" and id in self._segments:
                fade = frames_in(fade_ms * 1_000_000, RATE)
                self._segments[id].append(_Segment(done.applied[id].frame, session.built, id, fade))

    @staticmethod
    def _check_recorder(recorder: SimRecorder, segments: list[_Segment], name: str) -> None:
        recording = recorder.recording()
        if not len(recording):
            return
        begin = segments[0].begin
        ends = [segment.begin for segment in segments[1:]] + [begin + len(recording)]
        for segment, end in zip(segments, ends, strict=True):
            first, stop = segment.begin, min(end, begin + len(recording))
            if segment is not segments[0]:
                first += segment.fade_frames
            if first < stop:
                part = recording[first - begin : stop - begin]
                wanted = segment.expected(first, stop - first)
                assert np.array_equal(part, wanted), f"{name}: {_difference(part, wanted, first)}"

    def _check_left(self, session: Session) -> None:
        # No task, step or reader belongs to a node that has ended.
        nodes = set(session.built.nodes.values())
        assert set(session.supervisor._runs) == nodes, "a task is left behind"
        steps = sum(isinstance(node.node, SimSequence | SimCard | SimRecorder) for node in nodes)
        attached = [entry for _, _, entry in session.services.engine._queue if entry.attached]
        assert len(attached) + len(session.services.engine._arriving) >= steps
        assert len(attached) <= steps, "a step is left behind"
        for node in nodes:
            if node.role == "sources":
                taps = {id(edge.tap) for edge in session.built.edges if edge.edge.source == node.id}
                assert len(node.stream.readers) == (len(taps) if node.stream.clock is None else 0), "a reader is left"


def _is_valid(tables: dict[str, Any], values: dict[str, Any]) -> bool:
    diagnostics = Diagnostics(_FOLDER, _FOLDER)
    apply_settings(tables, values, diagnostics)
    return not diagnostics.problems


def _recorder(session: Session, id: str) -> SimRecorder:
    node = session.built.nodes[id].node
    assert isinstance(node, SimRecorder)
    return node


def _recording(session: Session, id: str) -> Frames:
    node = session.built.nodes[id].node
    assert isinstance(node, SimRecorder | SimCard)
    return node.recording()


def _compare(one: Frames, other: Frames, name: str) -> None:
    count = min(len(one), len(other))
    assert count > 0
    assert abs(len(one) - len(other)) < RATE // 4, f"{name}: {len(one)} and {len(other)} frames"
    assert np.array_equal(one[:count], other[:count]), f"{name}: {_difference(one[:count], other[:count], 0)}"


def _difference(frames: Frames, wanted: Frames, first: int) -> str:
    wrong = np.flatnonzero((frames != wanted).any(axis=1))
    at = int(wrong[0])
    return f"{len(wrong)} of {len(frames)} frames are wrong, from {first + at}: {frames[at]} for {wanted[at]}"
