"""Running a whole graph in virtual time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from .._core.localtime import LocalClock
from .._graph_file import parse_graph
from .._plugins.loader import DISABLE_VARIABLE, Registry, load
from .._run.device_rates import DeviceRateStore
from .._run.logging import make_log
from .._run.session import Session
from .._run.trace import Trace
from ..net import Network
from ..simulation.local_clock import SimLocalClock
from ..simulation.network import SimNetwork
from ..simulation.sim_plugin import sim_plugin


class GraphRun(msgspec.Struct, frozen=True):
    """A run of a graph."""

    session: Session
    report: dict[str, Any]
    """As ``kernel run --report`` writes it; empty until the run is over."""

    @property
    def nodes(self) -> dict[str, Any]:
        """The nodes by id."""
        return {id: built.node for id, built in self.session.built.nodes.items()}

    @property
    def local(self) -> LocalClock:
        """The run's local clock."""
        return self.session.local

    def metrics(self, id: str) -> dict[str, Any]:
        """The figures of a node, at the end."""
        metrics: dict[str, Any] = self.report["nodes"][id]["metrics"]
        return metrics

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name, at the end."""
        return [event for event in self.report["events"] if event["name"] == name]


def sim_registry(only: Sequence[str] | None = None) -> Registry:
    """The installed plugins (or those of these names) and `sim_plugin`."""
    registry = load(only)
    registry.add("sim", "0", sim_plugin)
    return registry


def shared_registry() -> Registry:
    """What `sim_registry` returns, made once: it takes longer than a short run. Add nothing to it."""
    return _registry_without(os.environ.get(DISABLE_VARIABLE))


@cache
def _registry_without(_disabled: str | None) -> Registry:
    return sim_registry()


def make_session(
    text: str,
    *,
    folder: Path | None = None,
    registry: Registry | None = None,
    local: LocalClock | None = None,
    network: Network | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    trace: Path | None = None,
    device_rates: Path | None = None,
) -> Session:
    """A session of a graph, given as the text of its file.

    Time and network are simulated unless others are given. ``folder`` is where relative paths begin, ``device_rates``
    the file that keeps the rates of devices. Raises GraphError for a graph that is wrong.
    """
    registry = registry or shared_registry()
    if local is None:
        local = network.local if isinstance(network, SimNetwork) else SimLocalClock()
    log = make_log(level="error")
    return Session(
        parse_graph(text, registry, folder or Path.cwd(), profile=profile, overrides=overrides),
        registry,
        log=log,
        local=local,
        network=network or SimNetwork(local if isinstance(local, SimLocalClock) else None),
        trace=Trace(trace, log.error),
        profile=profile,
        device_rates=None if device_rates is None else DeviceRateStore(device_rates, log.warning),
    )


async def run_graph(text: str, *, for_s: float | None = None, **options: Any) -> GraphRun:
    """Run a graph to its end, or for ``for_s`` seconds. ``options`` are those of `make_session`.

    Time is virtual unless another ``local`` is given: call it under a MockClock.
    """
    session = make_session(text, **options)
    report = await session.run(for_ns=None if for_s is None else round(for_s * 1e9))
    return GraphRun(session, report)


@asynccontextmanager
async def running_graph(text: str, **options: Any) -> AsyncIterator[GraphRun]:
    """A graph that runs during the ``async with`` block: for tests that observe it or interfere.

    When the block ends the run is stopped and drained as by ``kernel run --for``, and the report filled in.
    """
    run = GraphRun(make_session(text, **options), {})

    async def go() -> None:
        run.report.update(await run.session.run())

    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(go)
        await run.session.supervisor.started.wait()
        try:
            yield run
        except Exception as error:  # raised below without a group around it
            failure = error
            nursery.cancel_scope.cancel()
        run.session.supervisor.stop("time")
    if failure is not None:
        raise failure


def run_graph_now(text: str, **options: Any) -> GraphRun:
    """`run_graph` for synchronous code: starts trio under a clock that jumps from one event to the next."""
    return trio.run(partial(run_graph, text, **options), clock=MockClock(autojump_threshold=0))
