"""Changes of a graph while it runs: what goes on, what is switched at a frame, and what a refusal leaves."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
import trio

from phasegraph import Build, Frames, Input, Metrics, NodeContext, NodeError, SinkConfig, SinkKind, hookimpl
from phasegraph._core.graph_change import ChangeTime, EditRefused, GraphEdit
from phasegraph._run.session import Session
from phasegraph._run.supervise import State
from phasegraph.testing import GraphRun, counted, running_graph
from phasegraph.testing.change_trials import trial_registry
from phasegraph.testing.graph_runs import sim_registry

RATE = 48000
GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.a]
kind = "sim-source"
[sources.b]
kind = "sim-source"
link-offset = "30ms"
[sinks.main]
kind = "sim-recorder"
input = "a"
[sinks.other]
kind = "sim-recorder"
input = "a"
"""

OTHER_OFFSET = """
[sources.c]
kind = "sim-source"
[sources.d]
kind = "sim-source"
link-offset = "30ms"
[sinks.other]
kind = "sim-recorder"
input = "b"
"""


def changes_of(session: Session, plan: Any) -> dict[str, str]:
    return {change.node: change.change for change in plan.changes}


async def plan(run: GraphRun, **values: Any) -> dict[str, str]:
    planned = await run.session.changes.plan(GraphEdit(set=values))
    assert planned.problems == []
    return {change.node: change.change for change in planned.changes if change.change != "untouched"}


def recording(run: GraphRun, id: str) -> Frames:
    frames: Frames = run.nodes[id].recording()
    return frames


async def test_a_graph_as_it_runs_is_the_graph_again(autojump_clock: Any) -> None:
    async with running_graph(GRAPH, overrides=["sources.b.link-offset=40ms"]) as run:
        tables = run.session.changes.tables()
        assert tables["sources"]["b"] == {"kind": "sim-source", "link-offset": "40ms"}
        planned = await run.session.changes.plan(GraphEdit(graph=tables))
        assert {change.change for change in planned.changes} == {"untouched"}
        planned = await run.session.changes.plan(GraphEdit(toml=GRAPH))  # what was laid over it stays in force
        assert {change.change for change in planned.changes} == {"untouched"}


async def test_what_a_plan_says(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        assert await plan(run, **{"sink.main.input": "b"}) == {"main": "switched"}
        assert await plan(run, **{"sink.main.on-failure": "isolate"}) == {"main": "live"}
        assert await plan(run, **{"source.a.signal": "sine"}) == {
            "a": "restarted",
            "main": "switched",
            "other": "switched",
        }
        assert await plan(run, **{"sink.other": None}) == {"other": "removed"}
        added = {"kind": "sim-recorder", "input": "b"}
        assert await plan(run, **{"sink.third": added}) == {"third": "added"}
        everything = await plan(run, **{"clock.house.noise": "1us"})
        assert set(everything.values()) == {"restarted"}
        planned = await run.session.changes.plan(GraphEdit(set={"sink.main.input": "c", "sink.x": None, "what": 1}))
        assert len(planned.problems) == 3


async def test_a_switch_is_exact_and_the_others_hear_nothing_of_it(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        edit = GraphEdit(set={"sink.main.input": "b", "sink.third": {"kind": "sim-recorder", "input": "b"}})
        done = await run.session.changes.apply(edit)
        frame = done.applied["main"].frame
        assert done.applied["main"].clock == "house"
        await trio.sleep(1)
        sources = run.nodes["a"], run.nodes["b"]
    main, other = recording(run, "main"), recording(run, "other")
    begin = sources[0].stream.first + 960
    n = frame - begin
    assert 0 < n < len(main)
    np.testing.assert_array_equal(main[:n], sources[0].frames(begin - 960, n))
    np.testing.assert_array_equal(main[n:], sources[1].frames(frame - 1440, len(main) - n))
    np.testing.assert_array_equal(other, sources[0].frames(begin - 960, len(other)))
    assert run.metrics("main")["underrun_frames"] == 0
    assert len(recording(run, "third")) > RATE // 2
    assert [event["text"] for event in run.events("graph_changed")]


# The recorder reads what has arrived: at some of these moments frames of the old input arrive after the new one's.
@pytest.mark.parametrize(("begin_s", "fade_ms"), [(1, 10), (1.0548, 10), (1.0274, 60), (1.075, 300), (0.1, 1)])
async def test_a_cross_fade_is_linear(autojump_clock: Any, begin_s: float, fade_ms: int) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(begin_s)
        done = await run.session.changes.apply(GraphEdit(set={"sink.main.input": "b"}), crossfade_ms=fade_ms)
        await trio.sleep(1)
        a, b = run.nodes["a"], run.nodes["b"]
    main = recording(run, "main")
    begin = a.stream.first + 960
    n, fade = done.applied["main"].frame - begin, 48 * fade_ms
    share = ((np.arange(fade, dtype=np.float32) + 0.5) / fade)[:, None]
    one, two = a.frames(begin - 960 + n, fade), b.frames(begin - 1440 + n, fade)
    np.testing.assert_array_equal(main[:n], a.frames(begin - 960, n))
    np.testing.assert_allclose(main[n : n + fade], (1 - share) * one + share * two, atol=1e-6)
    np.testing.assert_array_equal(main[n + fade :], b.frames(begin - 1440 + n + fade, len(main) - n - fade))


async def test_several_changes_at_a_media_time(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        clock: Any = run.nodes["house"]
        time_ns = clock.estimate().reference_at(run.local.now_ns()) + 3_000_000_000
        edit = GraphEdit(set={"sink.main.input": "b", "sink.other.input": "b"})
        began = trio.current_time()
        done = await run.session.changes.apply(edit, at=ChangeTime(clock="house", time_ns=time_ns))
        assert trio.current_time() - began == pytest.approx(3, abs=0.1)
        frame = time_ns * RATE // 10**9
        assert {each.frame for each in done.applied.values()} == {frame}
        with pytest.raises(EditRefused, match="that time was 10"):
            await run.session.changes.apply(edit, at=ChangeTime(clock="house", time_ns=time_ns - 10**10))


async def test_inputs_with_different_link_offsets_change_at_one_frame_of_their_streams(autojump_clock: Any) -> None:
    graph = GRAPH.replace('[sinks.other]\nkind = "sim-recorder"\ninput = "a"', OTHER_OFFSET)
    async with running_graph(graph) as run:
        await trio.sleep(1)
        edit = GraphEdit(set={"sink.main.input": "c", "sink.other.input": "d"})
        back = GraphEdit(set={"sink.main.input": "a", "sink.other.input": "b"})
        clock: Any = run.nodes["house"]

        async def media_frames(edit: GraphEdit, at: Any) -> dict[str, int]:
            # Of the streams, by sink: their offsets are 20 ms and 30 ms.
            done = await run.session.changes.apply(edit, at=at)
            assert set(done.applied) == {"main", "other"}
            return {"main": done.applied["main"].frame - 960, "other": done.applied["other"].frame - 1440}

        frames = await media_frames(edit, "now")
        assert frames["main"] - frames["other"] == 480, "they change where they sound together"
        frames = await media_frames(back, ChangeTime(of_media=True))
        assert frames["main"] == frames["other"]
        time_ns = clock.estimate().reference_at(run.local.now_ns()) + 3_000_000_000
        frames = await media_frames(edit, ChangeTime(clock="house", time_ns=time_ns, of_media=True))
        assert set(frames.values()) == {time_ns * RATE // 10**9}
        at = run.local.now_ns() + 300_000_000
        frames = await media_frames(back, ChangeTime(local_ns=at, of_media=True))
        assert set(frames.values()) == {clock.estimate().reference_at(at) * RATE // 10**9}
        for wrong in (ChangeTime(frame=1, of_media=True), ChangeTime(), ChangeTime(clock="house", of_media=True)):
            with pytest.raises(EditRefused, match="expected at as"):
                await run.session.changes.apply(edit, at=wrong)
        await trio.sleep(1)
    assert run.metrics("main")["underrun_frames"] == run.metrics("other")["underrun_frames"] == 0


async def test_one_of_many_new_nodes_that_fails_leaves_none_of_them(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(0.5)
        values: dict[str, Any] = {f"source.n{number}": {"kind": "sim-source"} for number in range(8)}
        values |= {f"sink.k{number}": {"kind": "sim-recorder", "input": f"n{number}"} for number in range(8)}
        before = set(run.session.built.nodes)
        node_start = run.session.supervisor.start_beside
        started = []

        async def start(node: Any) -> None:
            started.append(node.id)
            if node.id == "n5":
                raise NodeError("there is no cable")
            await node_start(node)

        run.session.supervisor.start_beside = start  # type: ignore[method-assign]
        with pytest.raises(EditRefused, match="there is no cable"):
            await run.session.changes.apply(GraphEdit(set=values))
        assert "n0" in started
        assert set(run.session.built.nodes) == before
        run.session.supervisor.start_beside = node_start  # type: ignore[method-assign]
        await run.session.changes.apply(GraphEdit(set=values))
        assert {run.session.supervisor.state(node) for node in run.session.built.nodes.values()} == {State.RUNNING}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sink.main.input": "missing"}, 'there is no source "missing"'),
        ({"source.c": {"kind": "sim-source", "duration": "0"}}, "duration"),
        ({"sink.main.interval": "1ns"}, "interval"),
    ],
)
async def test_a_refused_change_changes_nothing(autojump_clock: Any, values: dict[str, Any], reason: str) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        before = run.session.changes.tables()
        with pytest.raises(EditRefused, match=reason):
            await run.session.changes.apply(GraphEdit(set=values))
        assert run.session.changes.tables() == before
        await trio.sleep(1)
        a = run.nodes["a"]
    main = recording(run, "main")
    np.testing.assert_array_equal(main, a.frames(a.stream.first, len(main)))
    assert run.events("graph_changed") == []


@pytest.mark.slow
async def test_a_silent_source_is_refused_or_switched_to_all_the_same(autojump_clock: Any) -> None:
    silent = {"kind": "sim-source", "delivers": False}
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        edit = GraphEdit(set={"source.silent": silent, "sink.main.input": "silent"})
        with pytest.raises(EditRefused, match="silent delivered nothing within 10 s"):
            await run.session.changes.apply(edit)
        done = await run.session.changes.apply(edit, silent_after_s=0.3)
        assert set(done.applied) == {"main"}
        back = await run.session.changes.apply(GraphEdit(set={"sink.main.input": "b", "source.silent": None}))
        await trio.sleep(1)
        sources = run.nodes["a"], run.nodes["b"]
    main = recording(run, "main")
    begin = sources[0].stream.first + 960
    left, entered = (change.applied["main"].frame - begin for change in (done, back))
    np.testing.assert_array_equal(main[:left], sources[0].frames(begin - 960, left))
    assert not main[left:entered].any()
    np.testing.assert_array_equal(main[entered:], sources[1].frames(begin + entered - 1440, len(main) - entered))
    assert len(main) > entered + RATE // 2


SEQUENCE = """
schema = 1
[sources.program]
kind = "sim-sequence"
[sinks.card]
kind = "sim-card"
input = "program"
keep = "1min"
"""


async def test_a_sink_that_starts_again_goes_on_where_its_source_is(autojump_clock: Any) -> None:
    async with running_graph(SEQUENCE) as run:
        await trio.sleep(2)
        before = run.nodes["card"]
        await run.session.changes.apply(GraphEdit(set={"sink.card.block": 256}))
        await trio.sleep(1)
    assert run.nodes["card"] is not before
    first = counted(before.recording())
    again = counted(recording(run, "card"))
    assert list(np.unique(np.diff(np.concatenate([first, again])))) == [1]
    assert run.metrics("card")["underrun_frames"] == 0


async def test_a_source_that_its_sink_paces_begins_at_the_frame(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        program = {"kind": "sim-sequence"}
        done = await run.session.changes.apply(GraphEdit(set={"source.program": program, "sink.main.input": "program"}))
        await trio.sleep(1)
        a, source = run.nodes["a"], run.nodes["program"]
    main = recording(run, "main")
    begin = a.stream.first + 960
    n = done.applied["main"].frame - begin
    np.testing.assert_array_equal(main[:n], a.frames(begin - 960, n))
    np.testing.assert_array_equal(main[n:], source.frames(0, len(main) - n))


@pytest.mark.parametrize(("offset", "change"), [("10ms", "live"), ("35ms", "live"), ("600ms", "restarted")])
async def test_another_link_offset_is_another_place_from_a_frame_on(
    autojump_clock: Any, offset: str, change: str
) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        edit = GraphEdit(set={"source.a.link-offset": offset})
        done = await run.session.changes.apply(edit)
        assert changes_of(run.session, done.plan)["a"] == change
        assert done.applied["main"] == done.applied["other"]
        await trio.sleep(2)
        a = run.nodes["a"]
    frames = round(float(offset.removesuffix("ms")) * 48)
    for id in ("main", "other"):
        played = counted(recording(run, id))
        steps = np.flatnonzero(np.diff(played) != 1)
        assert len(steps) == 1
        assert np.diff(played)[steps[0]] == 1 + 960 - frames
    assert a.stream.playout_delay_frames == frames
    assert run.session.changes.tables()["sources"]["a"]["link-offset"] == offset


@pytest.mark.slow
async def test_a_crossing_locks_before_it_is_heard(autojump_clock: Any) -> None:
    graph = GRAPH.replace("[sinks.other]", '[compensators.align]\nkind = "sim-align"\n[sinks.other]').replace(
        'kind = "sim-recorder"\ninput = "a"\n[comp', 'kind = "sim-card"\nrate-offset = "80ppm"\nkeep = "1min"\n'
        'input = "a"\ncompensator = "align"\n[comp'
    )  # fmt: skip
    async with running_graph(graph) as run:
        await trio.sleep(2)
        done = await run.session.changes.apply(GraphEdit(set={"sink.main.input": "b"}))
        frame = done.applied["main"].frame
        await trio.sleep(2)
    played = counted(recording(run, "main"))
    steps = np.diff(played)
    jumps = [at + 1 for at in np.flatnonzero((steps < 0) | (steps > 2))]
    assert [at for at in jumps if at > 4800] == [frame]  # those before are of the card's own start
    assert steps[frame - 1] == pytest.approx(960 - 1440 + 1, abs=2)
    assert run.metrics("main")["underrun_frames"] == 0


async def test_a_change_that_is_given_up_leaves_nothing(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        nodes = dict(run.session.built.nodes)
        at = ChangeTime(local_ns=run.local.now_ns() + 2_000_000_000)
        edit = GraphEdit(set={"sink.main.input": "c", "source.c": {"kind": "sim-source", "link-offset": "1s"}})
        with trio.move_on_after(0.5) as waiting:  # the source runs already
            await run.session.changes.apply(edit, at=at)
        assert waiting.cancelled_caught
        assert run.session.built.nodes == nodes
        await trio.sleep(2)
        a = run.nodes["a"]
    main = recording(run, "main")
    np.testing.assert_array_equal(main, a.frames(a.stream.first, len(main)))


async def test_a_sink_whose_stream_has_died_is_switched_to_a_silent_one_without_delay(autojump_clock: Any) -> None:
    silent = {"kind": "sim-source", "delivers": False}
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        run.nodes["a"].stream.mark_written = lambda *frames: None  # it dies, as a sender does that loses its power
        await trio.sleep(1)
        took = []
        for number in range(3):
            began = trio.current_time()
            edit = GraphEdit(set={f"source.silent{number}": silent, "sink.main.input": f"silent{number}"})
            await run.session.changes.apply(edit, silent_after_s=0.1)
            took.append(trio.current_time() - began)
            await trio.sleep(0.5)
        assert max(took) < 0.5, took
        await run.session.changes.apply(GraphEdit(set={"sink.main.input": "b"}))
        await trio.sleep(1)
        b = run.nodes["b"]
    main = recording(run, "main")
    np.testing.assert_array_equal(main[-RATE // 2 :], b.frames(b.stream.head - RATE // 2, RATE // 2))


async def test_a_cross_fade_does_not_wait_for_an_input_that_dies(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            edit = GraphEdit(set={"sink.main.input": "b"})
            nursery.start_soon(partial(run.session.changes.apply, edit, crossfade_ms=800))
            await trio.sleep(0.4)
            assert run.session.built.nodes["main"].input._left is not None, "it fades"
            run.nodes["a"].stream.mark_written = lambda *frames: None
        await trio.sleep(1)
        a, b = run.nodes["a"], run.nodes["b"]
    main = recording(run, "main")
    assert len(main) > 2 * RATE, "what the old input did not bring is not waited for"
    np.testing.assert_array_equal(main[-RATE // 2 :], b.frames(a.stream.first + len(main) - RATE // 2 - 480, RATE // 2))


@pytest.mark.parametrize("dies", ["before", "within"])
async def test_a_cross_fade_from_an_input_that_dies_to_one_without_a_clock_ends(autojump_clock: Any, dies: str) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        if dies == "before":
            run.nodes["a"].stream.mark_written = lambda *frames: None
            await trio.sleep(0.2)
        async with trio.open_nursery() as nursery:
            edit = GraphEdit(set={"source.tone": {"kind": "sim-sequence"}, "sink.main.input": "tone"})
            nursery.start_soon(partial(run.session.changes.apply, edit, crossfade_ms=800))
            await trio.sleep(0.4)
            run.nodes["a"].stream.mark_written = lambda *frames: None
        await trio.sleep(3)
    assert len(recording(run, "main")) > 3 * RATE


async def test_a_sink_whose_source_is_silent_is_removed_without_waiting_for_it(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        silent = {"kind": "sim-source", "delivers": False}
        edit = GraphEdit(set={"source.silent": silent, "sink.more": {"kind": "sim-recorder", "input": "silent"}})
        await run.session.changes.apply(edit)
        began = trio.current_time()
        await run.session.changes.apply(GraphEdit(set={"source.silent": None, "sink.more": None}))
        assert trio.current_time() - began < 1


class ParkedConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a sink that a controller enables and disables."""

    enabled: bool = True


class ParkedSink:
    """Reads while it is enabled, and ends at once otherwise."""

    def __init__(self, config: ParkedConfig, input: Input) -> None:
        self._config, self._input, self.frames = config, input, 0

    async def run(self, ctx: NodeContext, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while self._config.enabled:
            count = self._input.skip_due(ctx.local.now_ns(), RATE)
            if count is None:
                return
            self.frames += count
            await ctx.sleep(20_000_000)

    def metrics(self) -> Metrics:
        return {"frames_in": self.frames}


class ParkedPlugin:
    """The sink kind ``parked``."""

    @hookimpl
    def register_sinks(self) -> Iterable[SinkKind[Any]]:
        def make(config: ParkedConfig, build: Build, input: Input) -> ParkedSink:
            return ParkedSink(config, input)

        return [SinkKind(kind="parked", summary="Parks.", config=ParkedConfig, factory=make)]


async def test_a_sink_that_is_disabled_ends_neither_the_run_nor_its_source(autojump_clock: Any) -> None:
    registry = sim_registry([])
    registry.add("parked", "0", ParkedPlugin())
    graph = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.line]
kind = "sim-sequence"
[sinks.out]
kind = "parked"
input = "line"
enabled = false
"""
    async with running_graph(graph, registry=registry) as run:
        for _ in range(3):
            await trio.sleep(2)
            await run.session.changes.apply(GraphEdit(set={"sink.out.enabled": True}))
            await trio.sleep(2)
            await run.session.changes.apply(GraphEdit(set={"sink.out.enabled": False}))
        assert not run.session.supervisor.stopping
        assert run.nodes["line"].stream.end is None
        assert run.nodes["line"].stream.head > 0


async def test_another_clock_starts_all_that_runs_on_it_again(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        before = dict(run.nodes)
        await run.session.changes.apply(GraphEdit(set={"clock.house.rate-offset": "5ppm"}))
        await trio.sleep(1)
        assert all(run.nodes[id] is not node for id, node in before.items())
        assert {run.session.supervisor.state(node) for node in run.session.built.nodes.values()} == {"running"}
        a = run.nodes["a"]
    main = recording(run, "main")
    np.testing.assert_array_equal(main, a.frames(a.stream.first, len(main)))
    assert len(main) > RATE // 2
    assert len(before["main"].recording()) > RATE // 2
    assert run.report["ended"] == "time"


async def test_a_node_that_made_place_for_one_that_fails_starts_again(autojump_clock: Any) -> None:
    async with running_graph(GRAPH, registry=trial_registry()) as run:
        await trio.sleep(1)
        nodes = dict(run.session.built.nodes)
        for broken in ({"kind": "broken", "input": "a"}, {"kind": "broken", "input": "b"}):
            with pytest.raises(EditRefused, match="it is broken"):
                await run.session.changes.apply(GraphEdit(set={"sink.main": broken}))
        assert run.session.built.nodes == nodes
        await trio.sleep(1)
        assert {run.session.supervisor.state(node) for node in run.session.built.nodes.values()} == {"running"}
        a = run.nodes["a"]
    main, other = recording(run, "main"), recording(run, "other")
    np.testing.assert_array_equal(main, a.frames(a.stream.first, len(main)))
    np.testing.assert_array_equal(other, a.frames(a.stream.first, len(other)))
    assert len(main) > RATE


async def test_a_change_at_a_frame_and_at_a_local_time(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        main = run.session.built.nodes["main"].input
        assert main is not None
        assert main.next_frame is not None
        frame = main.next_frame + 5 * RATE + 1
        done = await run.session.changes.apply(GraphEdit(set={"sink.main.input": "b"}), at=ChangeTime(frame=frame))
        assert done.applied["main"].frame == frame
        local_ns = run.local.now_ns() + 500_000_000
        clock: Any = run.nodes["house"]
        expected = clock.estimate().reference_at(local_ns) * RATE // 10**9
        done = await run.session.changes.apply(
            GraphEdit(set={"sink.main.input": "a"}), at=ChangeTime(local_ns=local_ns)
        )
        assert abs(done.applied["main"].frame - expected) <= 1
        await trio.sleep(0.5)
    steps = np.diff(counted(recording(run, "main")))
    assert sorted(steps[steps != 1].tolist()) == [1 - 480, 1 + 480]
