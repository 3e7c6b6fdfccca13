"""Requirements for every sink: it plays any input and ends with it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ..._core.clock import NS_PER_S
from ..._core.errors import GraphError
from ..graph_runs import run_graph
from .node_suite import NodeSuite
from .suite_base import World


class SinkSuite(NodeSuite):
    """Checks of a sink; those of `NodeSuite` are among them.

    A subclass gives the fixture ``options``. It is given a simulated source on a simulated clock; where the sink runs
    on its own device, the crossing has a compensator.
    """

    role = "sinks"

    @pytest.mark.trio
    @pytest.mark.parametrize("channels", [1, 2, 8])
    @pytest.mark.parametrize("rate", [44100, 48000, 96000])
    async def test_takes_any_format(self, world: World, autojump_clock: MockClock, channels: int, rate: int) -> None:
        """It plays any number of channels and any usual rate, or refuses with a problem at one of its options."""
        source = f'channels = {channels}\nrate = "{rate}Hz"\n'
        try:
            session = world.session(source)
        except GraphError as error:
            if all(problem.path.startswith("sinks.it.") for problem in error.problems):
                pytest.skip(f"refused: {error}")
            raise
        _played(await session.run(for_ns=NS_PER_S))

    @pytest.mark.trio
    @pytest.mark.parametrize("duration", ["1ms", "20833333ns", "333ms", "1s"])
    async def test_takes_any_amount_and_ends_with_its_input(
        self, world: World, autojump_clock: MockClock, duration: str
    ) -> None:
        """The run completes by itself soon after the input has ended, for any number of frames."""
        with trio.fail_after(10):
            run = await run_graph(world.graph(f'duration = "{duration}"\n'), **world.session_options)
        assert run.report["ended"] == "completed"
        assert run.report["nodes"]["it"]["state"] == "ended"

    @pytest.mark.trio
    async def test_underrun_is_no_failure(self, world: World, autojump_clock: MockClock) -> None:
        """Frames that arrive too late are silence in the output and counted; the sink continues."""
        source = 'link-offset = "2ms"\njitter = "40ms"\n'
        run = await run_graph(world.graph(source), for_s=3, **world.session_options)
        _played(run.report)

    @pytest.mark.trio
    async def test_survives_a_new_grandmaster(self, world: World, autojump_clock: MockClock) -> None:
        """A jump of media time by a second is not a failure."""
        clock = 'kind = "sim-clock"'
        graph = world.graph().replace(clock, f'{clock}\nstep-after = "1s"\nstep = "1s"')
        run = await run_graph(graph, for_s=4, **world.session_options)
        _played(run.report)


def _played(report: dict[str, Any]) -> None:
    it = report["nodes"]["it"]
    assert it["state"] in ("running", "ended"), it
    assert report["ended"] in ("completed", "time"), report
    for name in ("frames_in", "frames_out"):
        if name in it["metrics"]:
            assert it["metrics"][name] > 0, f"{name} is {it['metrics'][name]}: no audio was played"
