"""Running a whole graph in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from .._config import parse_graph
from .._core.localtime import LocalClock
from .._core.node import Node
from .._plugins.loader import Registry, load
from .._run.logging import make_log
from .._run.session import Session
from .._run.trace import Trace
from ..net import Network
from .localtime import SimLocalClock
from .network import SimNetwork
from .plugin import sim_plugin


class GraphRun(msgspec.Struct, frozen=True):
    """A run that is over."""

    report: dict[str, Any]
    """As ``kernel run --report`` writes it."""
    nodes: dict[str, Node]
    """The nodes by id, with whatever they remember."""
    network: Network

    def metrics(self, id: str) -> dict[str, Any]:
        """The figures of a node."""
        metrics: dict[str, Any] = self.report["nodes"][id]["metrics"]
        return metrics


def sim_registry(only: Sequence[str] | None = None) -> Registry:
    """The installed plugins (or those of these names) and the simulated world's own."""
    registry = load(only)
    registry.add("sim", "0", sim_plugin)
    return registry


async def run_graph(
    text: str,
    *,
    folder: Path | None = None,
    registry: Registry | None = None,
    local: LocalClock | None = None,
    network: Network | None = None,
    for_s: float | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    trace: Path | None = None,
) -> GraphRun:
    """Run a graph, given as the text of its file, to its end or for ``for_s`` seconds.

    Time is virtual unless another ``local`` is given: call it under a MockClock. ``folder`` is where relative
    paths begin. Raises GraphError for a graph that is wrong.
    """
    registry = registry or sim_registry()
    if local is None:
        local = network.local if isinstance(network, SimNetwork) else SimLocalClock()
    if network is None:
        network = SimNetwork(local if isinstance(local, SimLocalClock) else None)
    graph = parse_graph(text, registry, folder or Path.cwd(), profile=profile, overrides=overrides)
    session = Session(
        graph, registry, log=make_log(level="error"), local=local, network=network, trace=Trace(trace), profile=profile
    )
    report = await session.run(for_ns=None if for_s is None else round(for_s * 1e9))
    return GraphRun(report, {id: built.node for id, built in session.built.nodes.items()}, network)


def run_graph_now(text: str, **options: Any) -> GraphRun:
    """`run_graph` for code that is not async: starts trio under a clock that jumps from one event to the next."""

    async def main() -> GraphRun:
        return await run_graph(text, **options)

    return trio.run(main, clock=MockClock(autojump_threshold=0))
