"""One change of a running graph: all of it, or none.

1. New nodes start beside the old ones, those that others need first. A failure ends the change here.
2. Sinks that are switched get their new inputs beside the old ones, and wait until these deliver.
3. Nodes that cannot run beside the one in whose place they come (clocks, sound cards, sinks) end, and theirs start.
   If one fails, the old ones start again.
4. All inputs change at one instant, at a frame of each sink (see `InputChange`). Sinks that are removed end there.
5. The graph is the new one, and what it does not have is ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

import trio

from .._core.clock import ClockEstimate, duration_of, frame_at, frames_in, time_of_frame
from .._core.errors import NodeConflict, NodeError
from .._core.graph_change import AppliedFrame, ChangeTime
from .._core.role import Role
from .._core.stream import ClockReader
from .build import BuiltNode
from .change_plan import Planner
from .context import Services
from .crossing import CrossingTap
from .input_change import AT_ONCE, InputChange
from .inputs import PATIENCE_NS, SinkInput
from .supervise import CLOSE_S, DRAIN_S, Supervisor, sole_error
from .taps import Tap

READY_S = 10.0
"""How long a new source may take to deliver, from the time of the change on."""
DEVICE_MARGIN_NS = 60_000_000
"""How far ahead the input of a sink is changed that is paced by a device: it finds its frame itself, with a block."""
ARM_NS = 150_000_000
"""How long before its time a change can no longer be given up."""
LATE_S = 2.0
"""How long after its frame a sink may take to read it. One that does not read then changes when it reads again."""
FADE_ROOM_S = 0.1
"""How long after a fade its last block may be read: the network may be read every 80 ms."""
_POLL_S, _LONGEST_POLL_S = 0.005, 0.02
_SHORT_POLLS = 20


class _ChangePoint(NamedTuple):
    # Where a sink changes: at a frame, or at a local time.
    frame: int | None = None
    local_ns: int | None = None


class _SinkChange(NamedTuple):
    # A sink whose input changes, the input that it reads, and the change.
    sink: BuiltNode
    input: SinkInput
    change: InputChange

    @property
    def rate(self) -> int:
        return self.input.format.rate


class Transition:
    """Leads a run from its graph to the one of a planner. Lives on the control plane."""

    def __init__(
        self,
        planner: Planner,
        supervisor: Supervisor,
        services: Services,
        *,
        at: ChangeTime,
        fade_ns: int,
        silent_after_s: float | None = None,
        ready_s: float = READY_S,
    ) -> None:
        """See `GraphChanges.apply`."""
        self._silent_after_s = silent_after_s
        self._planner = planner
        self._supervisor = supervisor
        self._services = services
        self._at = at
        self._fade_ns = fade_ns
        self._ready_s = ready_s
        self._fresh: list[BuiltNode] = []
        """New nodes that were started, in that order."""
        self._stopped: list[BuiltNode] = []
        """Nodes that were ended to make room, in that order."""
        self._changes: list[_SinkChange] = []
        self._instant_ns = 0
        """Local time at which the last sink changes."""
        self._starved: set[BuiltNode] = set()
        """Sinks that had nothing to read before the change: they have not passed the one before it."""

    async def run(self, armed: Callable[[dict[str, AppliedFrame]], object]) -> dict[str, AppliedFrame]:
        """Do it. ``armed`` is called when nothing can go wrong any more, with the frames that are planned.

        Raises NodeError with the reason why nothing has changed.
        """
        supervisor, services = self._supervisor, self._services
        supervisor.changing = True
        try:
            services.quantum_ns = min(services.quantum_ns, self._planner.built.quantum_ns())
            await self._until_armed()
            armed(self._frames())
            with trio.CancelScope(shield=True):
                await self._wait_passed()
                removed, replaced = self._planner.removed(), self._planner.replaced()
                left = self._planner.commit()
                for tap in left:
                    tap.detach()
                await self._end_nodes(removed, replaced)
            return self._frames()
        finally:
            services.quantum_ns = self._planner.running.quantum_ns()
            supervisor.changing = False
            supervisor.graph_changed()

    async def _until_armed(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._supervisor.cancel_when_stopping, nursery.cancel_scope)
                await self._start_nodes()
                await self._wait_for_time()
                await self._arm()
                nursery.cancel_scope.cancel()
            if self._supervisor.stopping:
                raise NodeError("the run is ending")
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await self._roll_back()
            raise error if not isinstance(error, BaseExceptionGroup) else sole_error(error) from None

    # Nodes

    async def _start_nodes(self) -> None:
        planner = self._planner
        later: list[BuiltNode] = []
        for role, of_role in groupby(planner.fresh(), key=lambda node: node.role):
            nodes = list(of_role)
            # A clock may need another one. Sources do not need each other, nor do sinks.
            for group in [[node] for node in nodes] if role is Role.CLOCK else [nodes]:
                waiting = [node for node in group if planner.waits_for_place(node, later)]
                later += waiting
                later += await self._start_together([node for node in group if node not in waiting])
        self._prepare_inputs()
        await self._inputs_ready({node.stream for node in later if node.role is Role.SOURCE})
        if later:
            await self._take_places(later)
            await self._inputs_ready(())

    async def _start_together(self, nodes: Sequence[BuiltNode]) -> list[BuiltNode]:
        # Nodes that do not need each other. Returns those that need the place of the one that runs.
        conflicts: list[BuiltNode] = []
        failures: list[Exception] = []

        async def start(node: BuiltNode) -> None:
            try:
                await self._start(node)
            except NodeConflict as error:
                if self._planner.change_of(node.id) == "restarted":
                    conflicts.append(node)
                else:
                    fail(error)
            except Exception as error:  # whatever a plugin raises
                fail(error)

        def fail(error: Exception) -> None:
            failures.append(error)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(start, node)
        if failures:
            raise failures[0]
        return [node for node in nodes if node in conflicts]

    async def _start(self, node: BuiltNode) -> None:
        self._fresh.append(node)
        if node.input is not None:
            node.input.attach()
        await self._supervisor.start_beside(node)

    async def _take_places(self, nodes: list[BuiltNode]) -> None:
        before = self._planner.running.nodes
        for node in reversed(nodes):
            if self._planner.change_of(node.id) == "restarted":
                self._stopped.append(before[node.id])
                await self._supervisor.stop_node(before[node.id], keeps_input=True)
        for node in nodes:
            await self._start(node)

    async def _roll_back(self) -> None:
        for each in self._changes:
            each.input.cancel_change()
        for node in reversed(self._fresh):
            with trio.move_on_after(CLOSE_S):
                await self._supervisor.stop_node(node)
        if not self._supervisor.stopping:
            for node in reversed(self._stopped):
                await self._supervisor.start_again(node)

    async def _end_nodes(self, removed: list[BuiltNode], replaced: list[BuiltNode]) -> None:
        async with trio.open_nursery() as nursery:
            for node in removed:
                if node.role is Role.SINK:
                    nursery.start_soon(self._end_sink, node)
        for node in reversed([*replaced, *removed]):
            await self._supervisor.stop_node(node)

    async def _end_sink(self, node: BuiltNode) -> None:
        # It writes what it has, as at the end of the run.
        with trio.move_on_after(DRAIN_S):
            await self._supervisor.wait_ended(node)
        await self._supervisor.stop_node(node)

    # Inputs

    def _prepare_inputs(self) -> None:
        for sink, new in self._planner.switched():
            change = InputChange(new.channel_taps, fade_frames=frames_in(self._fade_ns, new.format.rate))
            self._add_change(sink, change)
        for node in self._planner.removed():
            if self._supervisor.is_running(node.id):
                self._add_change(node, InputChange(None))
        for sink, input, change in self._changes:
            if input.waits_to_change:
                self._starved.add(sink)
            input.prepare_change(change)

    def _add_change(self, node: BuiltNode, change: InputChange) -> None:
        if node.input is not None:
            self._changes.append(_SinkChange(node, node.input, change))

    async def _inputs_ready(self, without: Iterable[object]) -> None:
        # Waits until every new input delivers, but for those of streams that have not begun.
        wanted = [
            (each.input, tap)
            for each in self._changes
            for tap, _ in each.change.taps or ()
            if tap.stream not in without
        ]
        with trio.move_on_after(self._ready_s if self._silent_after_s is None else self._silent_after_s):
            for pause_s in _pauses():
                wanted = [(input, tap) for input, tap in wanted if not _delivers(tap, input)]
                if not wanted:
                    return
                await trio.sleep(pause_s)
        if wanted and self._silent_after_s is None:
            sources = dict.fromkeys(self._planner.source_of(tap) for _, tap in wanted)
            raise NodeError(f"{', '.join(sources)} delivered nothing within {self._ready_s:g} s")

    async def _wait_for_time(self) -> None:
        # Until shortly before it, the change can be given up.
        wanted_ns = self._wanted_ns(self._services.local.now_ns())
        if wanted_ns is not None:
            lead_ns = min(map(self._lead_ns, self._changes), default=0)
            await trio.sleep(max(0.0, self._services.local.seconds_until(wanted_ns + lead_ns - ARM_NS)))

    async def _arm(self) -> None:
        # Between two steps of the data plane, so that all sinks change at one instant: none can read beyond it before
        # the last one knows it.
        places = self._places()
        await self._services.engine.call_between_steps(partial(self._set_places, places))

    def _set_places(self, places: list[_ChangePoint]) -> None:
        # Data plane: the changes are armed, all of them as much later as the sink needs that has read furthest.
        later_ns = 0
        for each, place in zip(self._changes, places, strict=True):
            if place.frame is not None and place.frame > AT_ONCE and self._at.frame is None:
                later = (each.input.next_frame or place.frame) - place.frame
                later_ns = max(later_ns, duration_of(later, each.rate))
        self._instant_ns += later_ns
        for each, place in zip(self._changes, places, strict=True):
            if place.local_ns is not None:
                each.change.local_ns = place.local_ns + later_ns
            elif place.frame is not None:
                each.change.frame = place.frame + (frames_in(later_ns, each.rate) if place.frame > AT_ONCE else 0)

    def _places(self) -> list[_ChangePoint]:
        """Where each sink changes at the earliest. Sets ``_instant_ns``."""
        now_ns = self._services.local.now_ns()
        wanted_ns = self._wanted_ns(now_ns)
        clocks = {each.input.clock for each in self._changes}
        estimates = {clock: clock.estimate() for clock in clocks if clock is not None}
        # Of each clock and rate the first frame at which all of its sinks can change; of its media time.
        firsts: dict[tuple[ClockReader, int], int] = {}
        times_ns = [now_ns if wanted_ns is None and not self._at.of_media else wanted_ns]
        for each in self._changes:
            if (clock := each.input.clock) is None:
                margin = DEVICE_MARGIN_NS if each.sink.pace == "device" else 0
                times_ns.append(now_ns + margin - self._lead_ns(each))
                continue
            key = clock, each.rate
            first = self._first_frame(each, estimates[clock], now_ns)
            firsts[key] = max(firsts.get(key, first), first)
        times_ns += [estimates[key[0]].local_at(time_of_frame(first, key[1])) for key, first in firsts.items()]
        at_ns = max((each for each in times_ns if each is not None), default=now_ns)
        if not self._at.of_media:
            at_ns = max(at_ns, now_ns)
        places: list[_ChangePoint] = []
        for each in self._changes:
            if self._at.frame is not None:
                places.append(_ChangePoint(frame=self._at.frame))
            elif (clock := each.input.clock) is not None:
                frame = max(firsts[clock, each.rate], self._frame_at(each, estimates[clock], at_ns, wanted_ns))
                places.append(_ChangePoint(frame=frame + self._lead_frames(each)))
            elif each.sink.pace == "device":
                places.append(_ChangePoint(local_ns=at_ns + self._lead_ns(each)))
            else:
                places.append(_ChangePoint(frame=AT_ONCE))
        self._instant_ns = at_ns + max(map(self._lead_ns, self._changes), default=0)
        return places

    def _wanted_ns(self, now_ns: int) -> int | None:
        # The local time that is asked for.
        if self._at.time_ns is not None:
            return self._planner.running.clock(self._at.clock).estimate().local_at(self._at.time_ns)
        if self._at.frame is not None:
            return max((_time_of(each, self._at.frame, now_ns) for each in self._changes), default=now_ns)
        return self._at.local_ns

    def _frame_at(self, each: _SinkChange, estimate: ClockEstimate, at_ns: int, wanted_ns: int | None) -> int:
        # At a media time that is asked for, the frame of that time: exactly, also by another clock that counts TAI.
        reference_ns = estimate.reference_at(at_ns)
        if self._at.time_ns is not None and at_ns == wanted_ns:
            asked = self._planner.running.clock(self._at.clock).estimate()
            if each.sink.domain == self._at.clock or asked.timescale == estimate.timescale == "ptp":
                reference_ns = self._at.time_ns
        return frame_at(reference_ns, each.rate)

    def _first_frame(self, each: _SinkChange, estimate: ClockEstimate, now_ns: int) -> int:
        # Not before the new input begins, nor before what the sink has read.
        begins = [tap.begin for tap, _ in each.change.taps or () if tap.begin is not None]
        frame = max([frame_at(estimate.reference_at(now_ns), each.rate), each.input.next_frame or 0, *begins])
        return frame - self._lead_frames(each)

    def _lead_frames(self, each: _SinkChange) -> int:
        # How long before a frame of the sink the time is that the change counts by: of its new streams.
        if not self._at.of_media:
            return 0
        present, taps = each.input.taps, [tap for tap, _ in each.change.taps or ()]
        return max(tap.delay_frames for tap in [tap for tap in taps if tap not in present] or taps or present)

    def _lead_ns(self, each: _SinkChange) -> int:
        return duration_of(self._lead_frames(each), each.rate)

    async def _wait_passed(self) -> None:
        fade_s = self._fade_ns / 1e9 if any(each.change.taps for each in self._changes) else 0.0
        ahead_s = self._services.local.seconds_until(self._instant_ns)
        with trio.move_on_after(max(0.0, ahead_s) + LATE_S):
            for pause_s in _pauses():
                if self._supervisor.stopping or self._all_passed(but_silent=True):
                    break
                await trio.sleep(pause_s)
        for _, _, change in self._changes:
            if change.passed_at is None:  # the sink does not read now
                change.frame = AT_ONCE
        if self._all_passed() and fade_s:
            await trio.sleep(fade_s + FADE_ROOM_S)

    def _all_passed(self, *, but_silent: bool = False) -> bool:
        # A sink that has nothing to read passes its change when the new input begins: that is not waited for.
        now_ns = self._services.local.now_ns()
        return all(
            each.change.passed_at is not None or (but_silent and self._is_silent(each, now_ns))
            for each in self._changes
        )

    def _is_silent(self, each: _SinkChange, now_ns: int) -> bool:
        # Whether a sink has nothing to read, before the change and after it: its stream has ended or never begun, and
        # so has the new one.
        new = [tap.stream for tap, _ in each.change.taps or ()]
        if now_ns < self._instant_ns or not new or any(one.clock is None or one.first is not None for one in new):
            return False
        old, frame = each.input.taps, each.change.frame
        if each.sink in self._starved or all(tap.stream.clock is not None and tap.stream.first is None for tap in old):
            return True
        # What has not come some time after the frame will not come.
        missing = frame is not None and all(tap.stream.end is None and tap.available(frame) <= 0 for tap in old)
        return missing and now_ns >= self._instant_ns + PATIENCE_NS

    def _frames(self) -> dict[str, AppliedFrame]:
        return {each.sink.id: self._applied(*each) for each in self._changes}

    def _applied(self, sink: BuiltNode, input: SinkInput, change: InputChange) -> AppliedFrame:
        frame, rate = change.frame if change.passed_at is None else change.passed_at, input.format.rate
        if frame is None:  # its own device paces it: an estimate
            ahead_ns = self._instant_ns - self._services.local.now_ns()
            frame = (input.next_frame or 0) + max(0, frames_in(ahead_ns, rate))
        frame = max(frame, 0)
        if sink.domain is None or input.clock is None or sink.domain.startswith("device:"):
            return AppliedFrame(frame=frame)
        return AppliedFrame(frame=frame, time_ns=time_of_frame(frame, rate), clock=sink.domain)


def _time_of(each: _SinkChange, frame: int, now_ns: int) -> int:
    # Local time of a sink's frame; of one that is paced by its own device, about.
    if each.input.clock is not None:
        return each.input.clock.estimate().local_at(time_of_frame(frame, each.rate))
    if each.sink.pace != "device" or each.input.next_frame is None:
        return now_ns
    return now_ns + duration_of(frame - each.input.next_frame, each.rate)


def _pauses() -> Iterator[float]:
    # Between looks: short at first, then longer, since each look takes the interpreter from the engine.
    for _ in range(_SHORT_POLLS):
        yield _POLL_S
    while True:
        yield _LONGEST_POLL_S


def _delivers(tap: Tap, running: SinkInput) -> bool:
    # Whether a tap has what the sink of an input needs to change to it; a crossing sounds once it is locked.
    stream = tap.stream
    if stream.end is not None:
        return True
    if stream.clock is None:
        return stream.head > 0
    if stream.first is None:
        return False
    if isinstance(tap, CrossingTap) and running.next_frame is not None:
        return not tap.figures.latest.correction.silent
    return True
