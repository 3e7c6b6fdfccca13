"""The ``null`` sink: reads an input and discards it, for measuring and for graphs that only listen."""

from __future__ import annotations

import trio

from phasegraph import TASK_STATUS_IGNORED, Build, Frames, Input, Metrics, NodeContext

from .due_frames import DueFrames
from .options import NullConfig
from .peak_level import dbfs, peak_of


class NullSink:
    """Counts the frames of its input."""

    def __init__(self, config: NullConfig, build: Build, input: Input) -> None:
        self._due = DueFrames(input)
        self._meter = config.meter
        self._peak = 0.0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Read until the input has ended."""
        task_status.started()
        await self._due.run(ctx, self._measure, wanted=lambda: self._meter)

    def _measure(self, frames: Frames, now_ns: int) -> None:
        self._peak = max(self._peak, peak_of(frames))

    def metrics(self) -> Metrics:
        """``frames_in``, and ``peak_dbfs`` where the sink meters."""
        level = {"peak_dbfs": dbfs(self._peak)} if self._meter else {}
        return {"frames_in": self._due.frames_in, **level}
