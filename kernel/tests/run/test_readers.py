"""Sinks that share a source without a clock, which waits for the slowest of them: but not for one that is gone."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from phasegraph import NodeError
from phasegraph._run.session import Session
from phasegraph.testing import counted, make_session

RATE = 48000
GRAPH = """
schema = 1
[sources.program]
kind = "sim-sequence"
[sinks.main]
kind = "sim-card"
input = "program"
[sinks.other]
kind = "sim-card"
input = "program"
on-failure = "isolate"
[sources.more]
kind = "sim-sequence"
[sinks.more-card]
kind = "sim-card"
input = "more"
"""


def session_in_which(overrides: tuple[str, ...] = (), **fail_at_s: float) -> Session:
    """A session whose named sinks fail, each once, at its time."""
    session = make_session(GRAPH, overrides=overrides)
    for id, at_s in fail_at_s.items():
        node: Any = session.built.nodes[id].node

        async def failing(ctx, *, at_s=at_s, real=node.run, task_status=trio.TASK_STATUS_IGNORED) -> None:
            with trio.CancelScope(deadline=at_s if trio.current_time() < at_s else float("inf")) as scope:
                await real(ctx, task_status=task_status)
            if scope.cancelled_caught:
                raise NodeError("gone")

        node.run = failing
    return session


async def run(session: Session, seconds: float) -> dict[str, Any]:
    report = await session.run(for_ns=round(seconds * 1e9))
    return {id: node["metrics"] for id, node in report["nodes"].items()}


@pytest.mark.parametrize("on_failure", ["isolate", "restart"])
async def test_a_sink_that_has_failed_holds_up_no_other(autojump_clock, on_failure: str) -> None:
    session = session_in_which((f"sinks.other.on-failure={on_failure}",), other=0.5)
    metrics = await run(session, 2)
    assert metrics["main"]["underrun_frames"] == 0
    assert metrics["main"]["frames_out"] == pytest.approx(2 * RATE, abs=RATE // 10)


@pytest.mark.slow
async def test_one_that_comes_back_is_where_the_others_are(autojump_clock) -> None:
    session = session_in_which(("sinks.other.on-failure=restart",), other=2)
    await run(session, 5)
    main, other = (counted(session.built.nodes[id].node.recording()) for id in ("main", "other"))
    assert other[-1] == pytest.approx(main[-1], abs=RATE // 50)


async def test_a_source_waits_while_all_are_to_come_back(autojump_clock) -> None:
    restart = tuple(f"sinks.{id}.on-failure=restart" for id in ("main", "other"))
    session = session_in_which(restart, main=0.5, other=0.5)
    await run(session, 2)
    for id in ("main", "other"):
        counter = counted(session.built.nodes[id].node.recording())
        steps = counter[1:] - counter[:-1]
        assert steps.max() < RATE // 10, "what lay ready when they failed is played when they are back"


@pytest.mark.slow
async def test_a_source_without_readers_ends(autojump_clock) -> None:
    session = session_in_which(("sinks.main.on-failure=isolate",), main=2, other=3)
    stream = session.built.nodes["program"].stream
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, session, 6)
        await trio.sleep(2.5)
        assert stream.end is None
        await trio.sleep(2.5)
        assert stream.end == pytest.approx(3 * RATE, abs=RATE // 10)
