"""Report and trace: what a plugin says wrong, a full disk or a long run costs no more than itself."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import trio

from phasegraph import NodeContext
from phasegraph._run.context import MOST_EVENTS, MOST_TEXT, Context
from phasegraph.testing import make_session, run_graph_now, running_graph

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[clocks.other]
kind = "sim-clock"
rate-offset = "10ppm"
[sources.stage]
kind = "sim-source"
clock = "house"
[compensators.align]
kind = "sim-align"
resampler = "sim-linear"
[sinks.card]
kind = "sim-card"
input = "stage"
compensator = "align"
[sinks.monitor]
kind = "sim-card"
input = "stage"
compensator = "align"
"""
full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to try it on")


async def test_figures_that_json_does_not_have_cost_only_themselves(autojump_clock) -> None:
    async with running_graph(GRAPH) as run:
        node = run.nodes["stage"]
        node.metrics = lambda: {
            "count": np.int64(3), "level": np.float32(0.5), "nought": -math.inf, "none": math.nan, "path": Path("a"),
        }  # fmt: skip
        await trio.sleep(1)
    assert run.metrics("stage") == {"count": 3, "level": 0.5, "path": "a"}
    json.dumps(run.report, allow_nan=False)


async def test_a_node_that_cannot_say_its_figures_costs_only_those(autojump_clock) -> None:
    def metrics() -> dict[str, int]:
        raise ZeroDivisionError("nought")

    async with running_graph(GRAPH) as run:
        run.nodes["house"].metrics = metrics
        await trio.sleep(1)
    assert run.metrics("house")["metrics_failed"] == "ZeroDivisionError: nought"
    assert run.metrics("house")["state"] == "locked"


async def test_a_clock_whose_estimate_fails_costs_only_its_own_figures(autojump_clock) -> None:
    def estimate() -> None:
        raise ZeroDivisionError("nought")

    async with running_graph(GRAPH) as run:
        run.nodes["other"].estimate = estimate
        await trio.sleep(1)
    assert run.metrics("other") == {"metrics_failed": "ZeroDivisionError: nought"}
    assert run.metrics("house")["state"] == "locked"


@pytest.mark.slow
async def test_what_watches_a_run_does_not_end_it(autojump_clock, capsys: pytest.CaptureFixture[str]) -> None:
    async def companion() -> None:
        raise ZeroDivisionError("beside")

    def status(session: object) -> None:
        raise ZeroDivisionError("status")

    session = make_session(GRAPH)
    report = await session.run(for_ns=5_000_000_000, companions=[companion], status=status)
    assert report["ended"] == "time"
    told = capsys.readouterr().err
    assert told.count("the status failed") == 1
    assert "unexpected failure beside the run, which goes on" in told


@pytest.mark.slow
async def test_a_run_that_lasts_remembers_its_newest_events(autojump_clock) -> None:
    async with running_graph(GRAPH) as run:
        for number in range(MOST_EVENTS + 3):
            run.session.services.event("card", "xrun", {"number": number, "gain": math.nan})
        await trio.sleep(1)
    assert len(run.report["events"]) == MOST_EVENTS
    assert run.report["events_forgotten"] == 3
    newest = run.report["events"][-1]
    assert {**newest, "at_ns": 0} == {"at_ns": 0, "node": "card", "name": "xrun", "number": MOST_EVENTS + 2}


async def test_a_long_text_of_a_stranger_is_cut(autojump_clock) -> None:
    async with running_graph(GRAPH) as run:
        run.session.services.event("card", "session_unusable", {"reason": "x" * 10_000_000})
    assert len(run.events("session_unusable")[0]["reason"]) == MOST_TEXT


def test_decisions_say_which_edge_they_are_about(tmp_path: Path) -> None:
    run_graph_now(GRAPH, for_s=1.5, trace=tmp_path / "trace.jsonl")
    records = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    decisions = [record for record in records if record["t"] == "correction"]
    assert {(record["node"], record["edge"]) for record in decisions} == {
        ("align", "stage->card"), ("align", "stage->monitor"),
    }  # fmt: skip
    times = [record["local_ns"] for record in records if record["t"] == "clock" and record["node"] == "house"]
    assert max(np.diff(times)) <= 1_000_000_000


@full
def test_a_full_disk_ends_the_trace_and_not_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    clock = 'schema = 1\n[clocks.house]\nkind = "sim-clock"\n'
    run = run_graph_now(clock, for_s=60, trace=Path("/dev/full"))  # 60 s: more than waits in memory
    assert run.report["ended"] == "time"
    assert capfd.readouterr().err.count("the trace /dev/full ends early: No space left on device") == 1


async def test_what_nodes_shared_is_closed_even_where_some_of_it_cannot_be(autojump_clock) -> None:
    closed = []

    class Shared:
        def __init__(self, ctx: NodeContext) -> None: ...

        def close(self) -> None:
            closed.append(type(self).__name__)
            raise OSError("gone")

    class Other(Shared): ...

    services = make_session(GRAPH).services
    user = Context("user", services, lambda error: None)
    services.shared(Shared, user)
    services.shared(Other, user)
    with pytest.raises(OSError, match="gone"):
        services.close()
    assert closed == ["Other", "Shared"]


def test_an_edge_that_is_there_twice_is_told_twice() -> None:
    graph = """
    schema = 1
    [clocks.house]
    kind = "sim-clock"
    [sources.stage]
    kind = "sim-source"
    [sinks.take]
    kind = "sim-recorder"
    input = [{source = "stage", channels = [2]}, {source = "stage", channels = [1]}]
    """
    assert list(run_graph_now(graph, for_s=1).report["edges"]) == ["stage->take", "stage->take#2"]
