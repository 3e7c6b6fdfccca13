"""Changes of channel maps on their way to a run: what would leave a gap is refused, where something plays."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import pytest
import structlog
import trio

from phasegraph.control import AppliedChange, ChangePlan, NodeChange
from phasegraph_nmos.connection.connections import Connections
from phasegraph_nmos.control_services import ControlServices
from phasegraph_nmos.http.api_answers import NmosApiError
from phasegraph_nmos.model.run_view import RunView

from .nmos_site import GRAPH, IDENTITY, INTERFACES, TAI_NS, hall, parse_session

CHANGES = {"sink.out.input": [{"source": "tone", "channels": [2, 1]}]}


class PlanningRun:
    """A run whose sink ``out`` would begin again."""

    def __init__(self, graph: dict[str, Any]) -> None:
        self.view: RunView | None = hall(graph)
        self.changing = trio.Lock()
        self.applied: list[Any] = []

    async def plan(self, changes: Any) -> ChangePlan:
        change = NodeChange(role="sink", node="out", change="restarted", text="sink out starts again: it has ended")
        return ChangePlan(changes=[change], problems=[])

    async def apply(
        self, changes: Any, at: Any = "now", *, wait: bool = True, ahead_s: float | None = None
    ) -> AppliedChange:
        self.applied.append(dict(changes))
        return AppliedChange(plan=await self.plan(changes), applied={})

    async def refresh(self) -> None:
        """Its graph stays."""

    async def wait_refreshed(self) -> None:
        raise AssertionError("nothing is waited for")


class FixedClock:
    """TAI that stands still."""

    def now_ns(self) -> int:
        return TAI_NS

    def local_ns_at(self, tai_ns: int) -> int:
        return tai_ns - TAI_NS


async def _on_mapped(ids: Collection[str]) -> None:
    pass


def services(run: PlanningRun) -> ControlServices:
    connections = Connections(IDENTITY, parse_session)
    made = ControlServices(
        IDENTITY, "1", connections, lambda name: run, FixedClock(), _on_mapped, lambda: None, structlog.get_logger()
    )
    assert run.view is not None
    connections.follow([run.view], INTERFACES)
    made.follow_views([run.view], INTERFACES)
    return made


async def test_a_sink_that_plays_must_not_begin_again() -> None:
    with pytest.raises(NmosApiError, match="without a gap: sink out starts again"):
        await services(PlanningRun(GRAPH)).check_options("hall", lambda: CHANGES)


async def test_a_sender_that_is_disabled_has_no_gap() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["sinks"]["out"]["enabled"] = False
    run = PlanningRun(graph)
    assert await services(run).apply_options("hall", lambda: CHANGES, None) == TAI_NS
    assert run.applied == [CHANGES]
