"""Requirements for every node: it starts once, ends when cancelled, leaves nothing open, and has numeric metrics."""

from __future__ import annotations

import gc
import math
import os
import re
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock

from ..._control.counter_rates import counters
from ..._core.clock import NS_PER_S
from ..._core.errors import NodeError
from ..._core.node import Metrics, Node, NodeContext, read_counters
from ..._run.report import plain_metrics
from ..._run.session import Session
from ...simulation.network import SimNetwork
from .suite_base import Suite, World

END_S = 1.0
"""Virtual seconds that a node may take to end when it is cancelled."""
_RUN_S = 3.0
_UNITS = {"ns", "us", "ms", "s", "ppb", "ppm", "hz", "frames", "packets", "bytes", "db", "dbfs", "percent", "ratio"}


class Watched:
    """Replaces a node and records how it is run."""

    def __init__(self, node: Any, cut_after_s: float | None = None) -> None:
        self.node = node
        self.starts: list[int] = []
        """For every run of the node, how often it called ``started()``."""
        self.cancelled = False
        self.ended_at: float | None = None
        self._cut_after_s = cut_after_s

    def metrics(self) -> Metrics:
        """The node's metrics."""
        metrics: Metrics = self.node.metrics()
        return metrics

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node and record its start and end; the first run is cancelled early if requested."""
        self.starts.append(0)
        with trio.CancelScope() as scope:
            if self._cut_after_s is not None and len(self.starts) == 1:
                scope.deadline = trio.current_time() + self._cut_after_s
            try:
                await self.node.run(ctx, task_status=_CountedStatus(self.starts, task_status))
            except BaseException as error:
                self.cancelled = _only_cancelled(error)
                raise
            finally:
                self.ended_at = trio.current_time()
        if scope.cancelled_caught:
            raise NodeError("cut short by the test")


def _only_cancelled(error: BaseException) -> bool:
    # A nursery may raise several of them as a group.
    if isinstance(error, BaseExceptionGroup):
        return all(_only_cancelled(each) for each in error.exceptions)
    return isinstance(error, trio.Cancelled)


class _CountedStatus:
    def __init__(self, starts: list[int], status: trio.TaskStatus[None]) -> None:
        self._starts = starts
        self._status = status

    def started(self, value: None = None) -> None:
        self._starts[-1] += 1
        self._status.started(value)


def watch(session: Session, id: str = "it", cut_after_s: float | None = None) -> Watched:
    """Record the runs of a node of a session that has not started."""
    built = session.built.nodes[id]
    watched = Watched(built.node, cut_after_s)
    built.node = watched
    return watched


class NodeSuite(Suite):
    """Checks of any node.

    A subclass says its ``role`` and gives a fixture ``options``: the body of the node's table. With them the node
    must run for three seconds or more.
    """

    role: ClassVar[str]
    """``clocks``, ``sources`` or ``sinks``."""

    @pytest.fixture
    def options(self) -> str:
        """The body of the node's table in a graph: ``kind = "..."`` and its options, without ``input``."""
        raise AssertionError("the suite needs a fixture 'options'")

    @pytest.fixture
    def extra(self) -> str:
        """More tables of the graph, if the node needs them."""
        return ""

    @pytest.fixture
    def network(self) -> SimNetwork:
        """The network of the node."""
        return SimNetwork()

    @pytest.fixture
    def world(self, options: str, extra: str, network: SimNetwork, tmp_path: Path) -> World:
        """Graphs with the node in them, and their sessions."""
        return World(self.role, options, extra, network=network, folder=tmp_path)

    @pytest.mark.trio
    async def test_says_once_that_it_is_ready(self, world: World, autojump_clock: MockClock) -> None:
        """``task_status.started()`` is called exactly once in a run."""
        session = world.session()
        watched = watch(session)
        report = await session.run(for_ns=2 * NS_PER_S)
        assert report["ended"] != "failed", report["nodes"]["it"]
        assert watched.starts == [1]

    @pytest.mark.trio
    async def test_ends_when_it_is_cancelled(self, world: World, autojump_clock: MockClock) -> None:
        """A cancelled node ends within a second and does not swallow ``Cancelled``."""
        session = world.session()
        watched = watch(session)
        with trio.move_on_after(_RUN_S) as scope:
            await session.run()
        assert scope.cancelled_caught, "the run ended before it was cancelled"
        assert watched.ended_at is not None
        assert watched.ended_at <= _RUN_S + END_S, "it went on after it was cancelled"
        assert watched.cancelled or watched.ended_at < _RUN_S, "it swallowed Cancelled"

    @pytest.mark.trio
    async def test_leaves_nothing_behind(self, world: World, autojump_clock: MockClock) -> None:
        """No task, thread or open file is left after a run."""

        async def run() -> tuple[int, set[str], int]:
            await world.session().run(for_ns=NS_PER_S)
            threads = {thread.name for thread in threading.enumerate() if not thread.name.startswith("Trio thread")}
            return trio.lowlevel.current_statistics().tasks_living, threads, _open_files()

        await run()  # files and imports that stay open for the whole process are not a leak
        gc.collect()  # nor is what other tests have left to the collector, which may close it at any time
        assert await run() == await run()

    @pytest.mark.trio
    async def test_runs_again(self, world: World, autojump_clock: MockClock) -> None:
        """A node whose run was cancelled early runs again, as ``on-failure = "restart"`` requires."""
        overrides = [f"{self.role}.it.on-failure=restart"]
        session = world.session(overrides=overrides)
        watched = watch(session, cut_after_s=1.0)
        report = await session.run(for_ns=3 * NS_PER_S)
        assert watched.starts == [1, 1], "it did not start twice"
        assert report["nodes"]["it"]["state"] in ("running", "ended"), report["nodes"]["it"]

    @pytest.mark.trio
    async def test_metrics_are_numbers_with_units(self, world: World, autojump_clock: MockClock) -> None:
        """Metrics may be read at any time; they are plain values, and fractions have a unit in their name."""
        session = world.session()
        node = session.built.nodes["it"].node
        check_metrics(node.metrics())
        check_counters(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            for _ in range(30):
                await trio.sleep(0.1)
                check_metrics(node.metrics())
                check_counters(node)
            nursery.cancel_scope.cancel()
        check_metrics(node.metrics())


def check_counters(node: Node) -> None:
    """Fail where a node's own ``counters()`` are not the counters among its metrics."""
    assert counters(plain_metrics(read_counters(node))) == counters(plain_metrics(node.metrics()))


def check_metrics(metrics: Metrics) -> None:
    """Fail for a metric that a report cannot contain, or whose unit is unknown."""
    for name, value in metrics.items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name), f"{name!r} is not in snake_case"
        assert type(value) in (int, float, str), f"{name} is {value!r}, not a plain int, float or str"
        if isinstance(value, float):
            assert math.isfinite(value), f"{name} is {value}"
            assert name.rsplit("_", 1)[-1] in _UNITS, f"{name} is a fraction of what? End its name with the unit"


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:  # pragma: no cover - not Linux
        return 0
