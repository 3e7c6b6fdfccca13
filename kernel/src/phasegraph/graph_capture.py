"""What a graph would receive, as a capture file: for tools that judge a network, and for no listener.

The clocks and sources of the graph run, with a flight recorder. Its sinks do not: nothing is played, recorded or sent,
unless the graph's senders are asked for. In a simulation, senders and receivers meet on a simulated network in virtual
time, and clocks follow a simulated grandmaster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from ._core.clock import NS_PER_S
from ._core.config import RecorderConfig
from ._core.kinds import SinkKind, SourceKind
from ._core.node import Build, Metrics, Node, NodeContext
from ._graph_file import load_graph
from ._graph_file.graph import GraphNode
from ._plugins.loader import load
from ._run.inputs import SinkInput
from ._run.logging import make_log
from ._run.session import Session

_MOST_NS = 3_600 * NS_PER_S


class GraphCapture(msgspec.Struct, frozen=True):
    """What came of it."""

    file: Path
    report: dict[str, Any]
    """As ``kernel run --report`` writes it."""


def capture_graph(
    graph: Path,
    folder: Path,
    *,
    for_ns: int,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    send: bool = False,
    scenario: str | None = None,
    seed: int = 0,
) -> GraphCapture:
    """Run a graph for a time and write what it receives to a file in ``folder``.

    ``send`` has its senders run too. With a ``scenario`` (a file, or a name such as ``studio``) all is simulated.
    Raises GraphError for a graph or a scenario that is wrong, and ValueError for a time beyond an hour.
    """
    if not 0 < for_ns <= _MOST_NS:
        raise ValueError("expected a time of up to 1 h")
    registry = load()
    loaded = load_graph(graph, registry, profile=profile, overrides=overrides)
    recorder = RecorderConfig(last=max(NS_PER_S, for_ns), memory_mib=1024, folder=str(folder), most=0)
    session_of = partial(Session, loaded, registry, log=make_log(level="error"), profile=profile, recorder=recorder)
    clock = None
    if scenario is None:
        session = session_of(node_factory=partial(_listening_node, send))
    else:
        from .simulation.local_clock import SimLocalClock
        from .simulation.network import SimNetwork
        from .simulation.node_substitution import NodeSubstitution, impairment_of
        from .simulation.scenario import load_scenario
        from .simulation.tone_signal import RenderedSpan

        deployment = load_scenario(scenario)
        deployment.check(loaded)
        local = SimLocalClock(oscillator=deployment.scenario.local.oscillator())
        network = SimNetwork(local, impairment=impairment_of(deployment.scenario.network), seed=seed)
        substitution = NodeSubstitution(deployment, seed, local, RenderedSpan())
        session = session_of(local=local, network=network, node_factory=partial(_simulated_node, substitution))
        clock = MockClock(autojump_threshold=0)
    files: list[Path] = []

    async def capture() -> None:
        await session.supervisor.started.wait()
        await trio.sleep(for_ns / 1e9)
        assert session.recorder is not None, "the session was made with one"
        files.append(await session.recorder.capture("verify"))
        session.stop()

    report = trio.run(partial(session.run, signals=True, companions=[capture]), clock=clock)
    if not files:
        failures = [f"{id}: {node.get('failure')}" for id, node in report["nodes"].items() if node.get("failure")]
        raise CaptureFailed("; ".join(failures) or f"the run ended early ({report['ended']})")
    return GraphCapture(files[0], report)


class CaptureFailed(Exception):
    """The run ended before its time. The message says why."""


class _IdleSink:
    """Runs in place of a sink: reads nothing."""

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    def metrics(self) -> Metrics:
        return {}


def _listening_node(
    send: bool, node: GraphNode, build: Build, make: Callable[[], Node], input: SinkInput | None
) -> Node:
    made = make()
    if not isinstance(node.kind, SinkKind) or (send and node.kind.domain == "clock"):
        return made
    return _IdleSink()


def _simulated_node(
    substitute: Callable[..., Node], node: GraphNode, build: Build, make: Callable[[], Node], input: SinkInput | None
) -> Node:
    kind = node.kind
    if isinstance(kind, SourceKind | SinkKind) and kind.domain == "clock":
        return make()
    if isinstance(kind, SinkKind):
        make()
        return _IdleSink()
    return substitute(node, build, make, input)
