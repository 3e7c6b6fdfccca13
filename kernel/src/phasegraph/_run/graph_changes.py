"""Plans and changes of a running graph, one at a time: what the control socket, SIGHUP and ``--watch`` call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio

from .._core.clock import frame_at, time_of_frame
from .._core.errors import NodeError
from .._core.graph_change import AppliedChange, AppliedFrame, ChangePlan, ChangeTime, EditRefused, GraphEdit
from .._core.role import Role
from .._graph_file.graph_tables import apply_settings, graph_tables
from .._graph_file.node_memo import NodeMemo
from .._graph_file.validate import Validation, validate_tables, validate_text
from .._option_types import Diagnostics
from .._plugins.loader import Registry
from .build import BuiltGraph, GraphBuilder
from .change_plan import Planner
from .context import Services
from .supervise import Supervisor, describe
from .transition import READY_S, Transition

PREPARE_S = 3.0
"""How long before its time a change is begun. Until then others may change the graph; it is then planned again."""
_FURTHEST_S = 86_400.0 * 366


def _do_nothing(done: AppliedChange) -> None:
    pass


class GraphChanges:
    """Changes the graph of one run. Lives on the control plane."""

    def __init__(
        self,
        built: BuiltGraph,
        builder: GraphBuilder,
        registry: Registry,
        supervisor: Supervisor,
        services: Services,
    ) -> None:
        self._built = built
        self._builder = builder
        self._registry = registry
        self._supervisor = supervisor
        self._services = services
        self._one_at_a_time = trio.Lock()
        self._memo = NodeMemo()
        self.ready_s = READY_S
        """How long a new source may take to deliver."""

    def tables(self) -> dict[str, Any]:
        """The graph as it runs, in the shape of a graph file, with all that was laid over the file."""
        return graph_tables(self._built.graph)

    async def plan(self, edit: GraphEdit) -> ChangePlan:
        """What an edit would change, or every problem that it has. Nothing happens."""
        return (await self._planned(edit))[1]

    async def apply(
        self,
        edit: GraphEdit,
        *,
        at: ChangeTime | Literal["now"] = "now",
        crossfade_ms: float = 0.0,
        silent_after_s: float | None = None,
        planned: Callable[[AppliedChange], object] = _do_nothing,
    ) -> AppliedChange:
        """Change the graph, all or nothing, and return when it has happened. Raises EditRefused.

        A new input that delivers nothing refuses the change, or is switched to all the same after ``silent_after_s``.
        ``planned`` is called once, as soon as the frames are known and nothing can refuse the change but its new nodes.
        """
        instant = self._instant(at)
        ahead_s = self._ahead_s(instant)
        if ahead_s > 0:
            planner, plan = await self._planned(edit)
            self._refuse(plan)
            planned(AppliedChange(plan=plan, applied=self._expected(planner, plan, instant)))
            planned = _do_nothing
            await trio.sleep(max(0.0, ahead_s - PREPARE_S))
        async with self._one_at_a_time:
            planner, plan = await self._planned(edit)
            self._refuse(plan)
            if not plan.changed:
                planned(AppliedChange(plan=plan))
                return AppliedChange(plan=plan)
            transition = Transition(
                planner,
                self._supervisor,
                self._services,
                at=instant,
                fade_ns=round(crossfade_ms * 1e6),
                silent_after_s=silent_after_s,
                ready_s=self.ready_s,
            )
            try:
                applied = await transition.run(lambda frames: planned(AppliedChange(plan=plan, applied=frames)))
            except Exception as error:  # whatever a plugin raises
                self._log_unforeseen(error)
                raise EditRefused(describe(error), plan) from error
            text = "; ".join(change.text for change in plan.changed)
            self._services.event("graph", "graph_changed", {"text": text})
            return AppliedChange(plan=plan, applied=applied)

    async def _planned(self, edit: GraphEdit) -> tuple[Planner, ChangePlan]:
        if self._supervisor.stopping or not self._supervisor.started.is_set():
            raise EditRefused("the run is ending" if self._supervisor.stopping else "the run has not started yet")
        # Files are read, and may be slow.
        validation = await self._services.threads.run("plan", partial(self._validate, edit))
        planner = Planner(self._built, self._builder, self._supervisor.is_running)
        return planner, planner.plan(validation)

    def _validate(self, edit: GraphEdit) -> Validation:
        given = [name for name in ("graph", "toml", "set") if getattr(edit, name) is not None]
        if len(given) != 1:
            raise EditRefused(f"expected one of graph, toml and set, got {' and '.join(given) or 'none'}")
        running = self._built.graph
        folder = Path(edit.folder) if edit.folder is not None else running.folder
        if edit.toml is not None:
            return validate_text(
                edit.toml,
                self._registry,
                folder,
                profile=running.overlays.profile,
                overrides=running.overlays.overrides,
                path=running.path,
                memo=self._memo,
            )
        diagnostics = Diagnostics(folder.absolute(), folder.absolute())
        tables = edit.graph
        if tables is None:
            tables = apply_settings(graph_tables(running, self._memo), edit.set or {}, diagnostics)
        return validate_tables(
            tables, self._registry, diagnostics, path=running.path, overlays=running.overlays, memo=self._memo
        )

    @staticmethod
    def _refuse(plan: ChangePlan) -> None:
        if plan.problems:
            more = f" (and {len(plan.problems) - 1} more)" if len(plan.problems) > 1 else ""
            raise EditRefused(f"{plan.problems[0]}{more}", plan)

    def _log_unforeseen(self, error: Exception) -> None:
        if not isinstance(error, NodeError):
            self._services.log.error("unexpected failure of a change", exc_info=error)

    # Time

    def _instant(self, at: ChangeTime | Literal["now"]) -> ChangeTime:
        if at == "now":
            return ChangeTime()
        given = [name for name in ("time_ns", "local_ns", "frame") if getattr(at, name) is not None]
        as_soon_as_it_can = at.of_media and not given
        wrong = len(given) != 1 and not as_soon_as_it_can
        if wrong or (at.time_ns is not None) != bool(at.clock) or (at.of_media and at.frame is not None):
            raise EditRefused(
                "expected at as {clock, time_ns} or {local_ns}, with of_media or not, {of_media} or {frame}"
            )
        if at.clock and at.clock not in {node.id for node in self._built.graph.of_role(Role.CLOCK)}:
            raise EditRefused(f"there is no clock '{at.clock}' whose time could be meant")
        ahead_s = self._ahead_s(at)
        if ahead_s < 0 and at.frame is None:
            raise EditRefused(f"that time was {-ahead_s:.3f} s ago")
        if ahead_s > _FURTHEST_S:
            raise EditRefused("that time is more than a year away")
        return at

    def _ahead_s(self, instant: ChangeTime) -> float:
        local_ns = instant.local_ns
        if instant.time_ns is not None:
            local_ns = self._built.clock(instant.clock).estimate().local_at(instant.time_ns)
        return 0.0 if local_ns is None else (local_ns - self._services.local.now_ns()) / 1e9

    def _expected(self, planner: Planner, plan: ChangePlan, instant: ChangeTime) -> dict[str, AppliedFrame]:
        # The frames of a change that is far away, of the sinks whose frames follow from the time.
        expected = {}
        for change in plan.changed:
            node = self._built.nodes.get(change.node)
            if node is None or node.input is None or change.change not in ("switched", "removed"):
                continue
            if node.input.clock is not None and node.domain is not None:
                local_ns = self._services.local.now_ns() + round(self._ahead_s(instant) * 1e9)
                rate = node.input.format.rate
                reference_ns = node.input.clock.estimate().reference_at(local_ns)
                if instant.clock == node.domain and instant.time_ns is not None:
                    reference_ns = instant.time_ns
                frame = frame_at(reference_ns, rate)
                if instant.of_media:
                    frame += max(tap.delay_frames for tap in planner.inputs.get(node.id, node.input).taps)
                expected[node.id] = AppliedFrame(frame=frame, time_ns=time_of_frame(frame, rate), clock=node.domain)
        return expected
