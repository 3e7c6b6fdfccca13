"""Changes of a graph while it runs: what goes on, what is switched at a frame, and what a refusal leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio

from phasegraph import Frames
from phasegraph._core.graph_change import ChangeTime, EditRefused, GraphEdit
from phasegraph._run.session import Session
from phasegraph.testing import GraphRun, running_graph

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


async def test_a_cross_fade_is_linear(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        done = await run.session.changes.apply(GraphEdit(set={"sink.main.input": "b"}), crossfade_ms=10)
        await trio.sleep(1)
        a, b = run.nodes["a"], run.nodes["b"]
    main = recording(run, "main")
    begin = a.stream.first + 960
    n = done.applied["main"].frame - begin
    share = ((np.arange(480, dtype=np.float32) + 0.5) / 480)[:, None]
    one, two = a.frames(begin - 960 + n, 480), b.frames(begin - 1440 + n, 480)
    np.testing.assert_array_equal(main[:n], a.frames(begin - 960, n))
    np.testing.assert_allclose(main[n : n + 480], (1 - share) * one + share * two, atol=1e-6)
    np.testing.assert_array_equal(main[n + 480 :], b.frames(begin - 1440 + n + 480, len(main) - n - 480))


async def test_several_changes_at_a_media_time(autojump_clock: Any) -> None:
    async with running_graph(GRAPH) as run:
        await trio.sleep(1)
        clock: Any = run.nodes["house"]
        time_ns = clock.estimate().reference_at(run.local.now_ns()) + 10_000_000_000
        edit = GraphEdit(set={"sink.main.input": "b", "sink.other.input": "b"})
        began = trio.current_time()
        done = await run.session.changes.apply(edit, at=ChangeTime(clock="house", time_ns=time_ns))
        assert trio.current_time() - began == pytest.approx(10, abs=0.1)
        frame = time_ns * RATE // 10**9
        assert {each.frame for each in done.applied.values()} == {frame}
        with pytest.raises(EditRefused, match="that time was 10"):
            await run.session.changes.apply(edit, at=ChangeTime(clock="house", time_ns=time_ns - 10**10))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sink.main.input": "nobody"}, 'there is no source "nobody"'),
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
