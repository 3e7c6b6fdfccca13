"""Simulated sinks without a sound card: they count what they would send or record, and nothing leaves the machine."""

from __future__ import annotations

import trio

from ..._core.clock import NS_PER_S, ClockEstimate, duration_of, frame_at, time_of_frame
from ..._core.node import Metric, NodeContext, run_until_end
from ..._core.stream import ClockReader
from ..._run.inputs import SinkInput
from ..grandmaster import Grandmaster
from ..local_clock import true_now_ns
from ..truth import CrossingTruth
from .network_source import SimulatedSource

_POLL_NS = 200_000_000
_LIMIT_NS = 250_000_000
_IDLE_NS = 1_000_000


class SimulatedSender:
    """Runs in place of a sink on a clock: packet n is counted when its last frame's media time has come."""

    def __init__(self, input: SinkInput, clock: ClockReader, grandmaster: Grandmaster, size: int) -> None:
        """``size`` is a packet's, in frames."""
        self.truths: list[CrossingTruth] = []
        """The truth of its edges that cross clock domains."""
        self.sources: list[SimulatedSource] = []
        """The simulated network sources that it relays."""
        self._input = input
        self._clock = clock
        self._grandmaster = grandmaster
        self._size = size
        self._rate = input.format.rate
        self._lead_ns = duration_of(size, self._rate)
        self._next: int | None = None
        self._observed: ClockEstimate | None = None
        self._packets = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        quantum = ctx.quantum_ns()
        await run_until_end(ctx, lambda local_ns: self._send_due(local_ns, quantum), task_status)

    def _send_due(self, local_ns: int, quantum: int) -> int | None:
        if not self._input.ready:
            return local_ns + _IDLE_NS
        estimate = self._clock.estimate()
        due = (frame_at(estimate.reference_at(local_ns) - self._lead_ns, self._rate) + 1) // self._size * self._size
        before, self._observed = self._observed, estimate
        jumped = before is not None and before.discontinuities != estimate.discontinuities
        if self._next is None or jumped:
            self._next = due
        for source in self.sources:
            source.receive_until(true_now_ns())
        while self._next < due:
            count = min(due - self._next, self._rate)
            if self._send_frames(self._next, count, estimate) < count:
                return None
            self._next += count
        return local_ns + quantum

    def _send_frames(self, frame: int, count: int, estimate: ClockEstimate) -> int:
        due_ns = time_of_frame(frame, self._rate)
        for truth in self.truths:
            truth.before_read(frame, count)
        there = self._input.skip_frames(frame, count, estimate.local_at(due_ns))
        for truth in self.truths:
            truth.after_read(self._grandmaster.true_at(due_ns))
        self._packets += -(-there // self._size)
        return there

    def metrics(self) -> dict[str, Metric]:
        """See `Node.metrics`: those that the contract asks of every network sink. No packet is late or refused."""
        pacing: dict[str, Metric] = {f"pacing_error_{name}_ns": 0 for name in ("p50", "p99", "max")}
        return {"packets_sent": self._packets, "send_errors": 0, **pacing, "lead_ns": self._lead_ns}


class SimulatedRecorder:
    """Runs in place of a sink without a clock: due frames are counted, and no file is written."""

    def __init__(self, input: SinkInput) -> None:
        self.sources: list[SimulatedSource] = []
        """The simulated network sources that it records."""
        self._input = input
        self._limit = _LIMIT_NS * input.format.rate // NS_PER_S
        self._frames = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        await run_until_end(ctx, self._record_due, task_status)

    def _record_due(self, local_ns: int) -> int | None:
        for source in self.sources:
            source.receive_until(true_now_ns())
        count = self._input.skip_due(local_ns, self._limit)
        if count is None:
            return None
        self._frames += count
        return local_ns + (_POLL_NS if count < self._limit else _IDLE_NS)

    def metrics(self) -> dict[str, Metric]:
        """See `Node.metrics`."""
        return {"frames_in": self._frames, "overruns": 0}
