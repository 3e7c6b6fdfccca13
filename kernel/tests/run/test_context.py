"""What nodes are given: where a function that a step has called fails, its node does."""

from __future__ import annotations

from typing import Any

import trio

from phasegraph.testing import make_session

GRAPH = """
schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
[sinks.take]
kind = "sim-recorder"
input = "stage"
"""


async def test_what_a_step_has_called_fails_its_node_and_not_the_program(autojump_clock) -> None:
    session = make_session(GRAPH)
    node: Any = session.built.nodes["stage"].node
    real = node.run

    def fail(what: str) -> None:
        raise OSError(32, what)

    async def run(ctx, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        def step(now: int) -> int:
            ctx.call_soon(fail, "Broken pipe")
            return now + (1 << 60)

        ctx.attach(step)
        await real(ctx, task_status=task_status)

    node.run = run
    report = await session.run(for_ns=10_000_000_000)
    assert report["ended"] == "failed"
    assert report["nodes"]["stage"]["failure"] == "Broken pipe"
