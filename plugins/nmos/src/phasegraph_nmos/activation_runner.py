"""Carries activations out: the runs get the changes of their graphs, at once or for an instant of media time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from phasegraph.control import AppliedChange, ChangePlan, ChangeRefused, ChangeTime, ControlError

from .connection.connection_changes import Switch, changes_of
from .connection.connections import Connections, Due
from .connection.transport_params import PatchRefused
from .model.resources import HostInterface
from .model.run_view import EndpointView, RunView, Table
from .run_link import Changes, Instant

APPLY_TIMEOUT_S = 30.0
CONFIRM_S = 10.0
"""How long a run may take to show a change that it has accepted, after its time."""
CONFIRM_POLL_S = 1.0
"""How often the graph is read meanwhile, for a run whose event is lost. Every reading takes a run's time."""

AT_ONCE = ChangeTime(of_media=True)
"""As soon as all streams of a change can be switched, at one frame of them all."""


class ChangeableRun(Protocol):
    """A run that can be changed: `RunLink`."""

    view: RunView | None
    changing: trio.Lock

    async def apply(
        self, changes: Changes, at: Instant = "now", *, wait: bool = True, ahead_s: float | None = None
    ) -> AppliedChange:
        """Change the graph at an instant, ``ahead_s`` from now. Raises ControlError, and changes nothing then."""

    async def plan(self, changes: Changes) -> ChangePlan:
        """What changes of the graph would do. Raises ControlError."""

    async def refresh(self) -> None:
        """Read the graph again. Raises ControlError."""

    async def wait_refreshed(self) -> None:
        """Wait until it has been read again, as it is after each of its changes."""


class ActivationClock(Protocol):
    """TAI and local time: `TaiClock`."""

    def now_ns(self) -> int:
        """TAI."""

    def local_ns_at(self, tai_ns: int) -> int:
        """The local time of a TAI time."""


def instant_of(run: RunView | None, clocks: Iterable[str | None], at_ns: int, tai: ActivationClock) -> ChangeTime:
    """The instant of a TAI time: by the media time of the first of these clocks that counts TAI, else by local time."""
    clock = next((each for each in clocks if each is not None and _counts_tai(run, each)), None)
    if clock is not None:
        return ChangeTime(clock=clock, time_ns=at_ns, of_media=True)
    return ChangeTime(local_ns=tai.local_ns_at(at_ns), of_media=True)


async def apply_at(
    link: ChangeableRun,
    changes: Changes,
    clocks: Iterable[str | None],
    due_ns: int,
    tai: ActivationClock,
    *,
    wait: bool,
) -> None:
    """Change a run's graph at a TAI time: see `instant_of` and `ChangeableRun.apply`. Raises ControlError.

    A time that has passed means as soon as it can be (IS-05, "Behaviour: Scheduled activations"), and so does one for
    which a busy run was not ready.
    """
    ahead_ns = due_ns - tai.now_ns()
    if ahead_ns > 0:
        try:
            instant = instant_of(link.view, clocks, due_ns, tai)
            await link.apply(changes, instant, wait=wait, ahead_s=ahead_ns / 1e9)
            return
        except ControlError:
            if tai.now_ns() < due_ns:
                raise
    await link.apply(changes, AT_ONCE, wait=wait)


@dataclass
class _GraphChange:
    """A change of a run's graph that activations lead to."""

    changes: Changes
    nodes: Sequence[str]
    """The node of each activation afterwards."""
    applied: AppliedChange | None = None
    """What the run has done, if it was waited for."""

    def is_in(self, graph: Table) -> bool:
        """Whether a graph has it."""
        present = {*graph.get("sources", {}), *graph.get("sinks", {})}
        gone = {path.removeprefix("source.") for path, value in self.changes.items() if value is None}
        return present.issuperset(self.nodes) and present.isdisjoint(gone)


class ActivationRunner:
    """The way from the connection API to the runs."""

    def __init__(
        self,
        connections: Connections,
        runs: Callable[[str], ChangeableRun | None],
        interfaces: Callable[[], Sequence[HostInterface]],
        clock: ActivationClock,
        on_activated: Callable[[Collection[str]], Awaitable[None]],
        log: Any,
    ) -> None:
        """``on_activated`` is called with the UUIDs whose active settings have changed."""
        self._connections = connections
        self._runs = runs
        self._interfaces = interfaces
        self._clock = clock
        self._on_activated = on_activated
        self._log = log
        self._scheduled = trio.Event()

    def schedule(self) -> None:
        """See `Activator.schedule`."""
        self._scheduled.set()

    async def activate(self, due: list[Due]) -> dict[str, int | PatchRefused]:
        """See `Activator.activate`."""
        done: dict[str, int | PatchRefused] = {}
        async with trio.open_nursery() as nursery:
            for run, items in _by_run(due).items():
                nursery.start_soon(self._activate_now, run, items, done)
        return done

    async def run(self) -> None:
        """Hand over scheduled activations in time, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._scheduled = trio.Event()
                for items in _by_time(self._connections.take_due(self._clock.now_ns())).values():
                    nursery.start_soon(self._activate_at, items)
                next_ns = self._connections.next_due_ns()
                wait_s = float("inf") if next_ns is None else max(0.0, (next_ns - self._clock.now_ns()) / 1e9)
                with trio.move_on_after(wait_s):
                    await self._scheduled.wait()

    async def _activate_now(self, run: str, items: list[Due], done: dict[str, int | PatchRefused]) -> None:
        link = self._runs(run)
        try:
            if link is None:
                raise ControlError(f"the run {run} has gone")
            async with link.changing:
                with trio.fail_after(APPLY_TIMEOUT_S):
                    applied = (await self._apply(link, items)).applied
                    await link.refresh()
                now_ns = self._clock.now_ns()
                for endpoint, activation in items:
                    happened_ns = _media_time_ns(endpoint.view, link.view, applied) or now_ns
                    endpoint.finish(activation, happened_ns)
                    endpoint.settle()
                    done[endpoint.id] = happened_ns
                await self._on_activated({endpoint.id for endpoint, _ in items})
        except (ControlError, trio.TooSlowError) as error:
            for endpoint, activation in items:
                endpoint.abandon(activation)
                done[endpoint.id] = _refusal(error)
        except trio.Cancelled:
            # The client has gone: the parameters must not stay locked.
            for endpoint, activation in items:
                endpoint.abandon(activation)
            raise

    async def _activate_at(self, items: list[Due]) -> None:
        # All have one run and one time.
        endpoint, activation = items[0]
        run, due_ns = endpoint.view.run, activation.due_ns
        assert due_ns is not None
        link = self._runs(run)
        try:
            if link is None:
                raise ControlError(f"the run {run} has gone")
            async with link.changing:
                with trio.fail_after(APPLY_TIMEOUT_S):
                    change = await self._apply(link, items, due_ns)
                await trio.sleep(max(0.0, (due_ns - self._clock.now_ns()) / 1e9))
                for each, its in items:
                    each.finish(its, due_ns)
                await self._on_activated({each.id for each, _ in items})
                try:
                    await self._confirm(link, change)
                finally:
                    for each, _ in items:
                        each.settle()
                await self._on_activated(())  # the next change begins from the nodes as they are now
        except (ControlError, trio.TooSlowError) as error:
            for each, its in items:
                each.abandon(its)
            self._log.error("a scheduled activation was not carried out", run=run, reason=str(error) or "no answer")

    async def _apply(self, link: ChangeableRun, items: list[Due], due_ns: int | None = None) -> _GraphChange:
        # The run may have changed since its graph was read, by another hand or by a change that it has only now got
        # ready, and refuses what follows from the old graph: then it is computed from the new one. Raises ControlError.
        while True:
            change = self._change(link, items)
            assert link.view is not None
            graph = link.view.graph
            try:
                if change.changes and due_ns is None:
                    change.applied = await link.apply(change.changes, AT_ONCE)
                elif change.changes and due_ns is not None:
                    clocks = [endpoint.view.clock for endpoint, _ in items]
                    await apply_at(link, change.changes, clocks, due_ns, self._clock, wait=False)
                return change
            except ControlError:
                await link.refresh()
                if link.view.graph == graph:
                    raise
                await self._on_activated(())

    def _change(self, link: ChangeableRun, items: list[Due]) -> _GraphChange:
        if link.view is None:
            raise ControlError("the run has not answered yet")
        interfaces = self._interfaces()
        switches = [
            Switch(
                kind=endpoint.kind,
                view=endpoint.view,
                settings=activation.settings,
                offered=endpoint.offered_stream(activation.settings),
            )
            for endpoint, activation in items
        ]
        return _GraphChange(*changes_of(switches, link.view.graph, interfaces))

    async def _confirm(self, link: ChangeableRun, change: _GraphChange) -> None:
        # The next change is computed from the graph that this one leads to.
        with trio.move_on_after(CONFIRM_S):
            while link.view is not None:
                if change.is_in(link.view.graph):
                    return
                with trio.move_on_after(CONFIRM_POLL_S) as poll:
                    await link.wait_refreshed()
                if poll.cancelled_caught:
                    await link.refresh()
        self._log.warning("a run does not show a change that it has accepted")


def _refusal(error: ControlError | trio.TooSlowError) -> PatchRefused:
    # What a run refuses is for the controller to change. One that cannot be asked is not.
    reason = str(error) or f"it took longer than {APPLY_TIMEOUT_S:g} s"
    return PatchRefused(400 if isinstance(error, ChangeRefused) else 503, f"the run did not carry it out: {reason}")


def _by_run(due: Sequence[Due]) -> dict[str, list[Due]]:
    groups: dict[str, list[Due]] = defaultdict(list)
    for endpoint, activation in due:
        groups[endpoint.view.run].append((endpoint, activation))
    return groups


def _by_time(due: Sequence[Due]) -> dict[tuple[str, int], list[Due]]:
    # Those that are one change of a run.
    groups: dict[tuple[str, int], list[Due]] = defaultdict(list)
    for endpoint, activation in due:
        assert activation.due_ns is not None
        groups[endpoint.view.run, activation.due_ns].append((endpoint, activation))
    return groups


def _counts_tai(run: RunView | None, clock: str) -> bool:
    return run is not None and any(each.id == clock and each.timescale == "ptp" for each in run.clocks)


def _media_time_ns(view: EndpointView, run: RunView | None, applied: AppliedChange | None) -> int | None:
    # Of the first frame of the new stream; None where no clock tells it.
    for sink, at in (applied.applied if applied is not None else {}).items():
        # A sink that has read nothing yet begins at frame 0, which is no time.
        if sink in view.neighbours and at.frame > 0 and at.time_ns is not None and _counts_tai(run, at.clock):
            return at.time_ns - view.link_offset_ns
    return None
