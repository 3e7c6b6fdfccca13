"""The ``null`` sink: reads an input and discards it, for measuring and for graphs that only listen."""

from __future__ import annotations

import trio

from phasegraph import TASK_STATUS_IGNORED, Build, Input, Metrics, NodeContext

from .due_frames import DueFrames
from .options import NullConfig
from .peak_level import dbfs, peak_of


class NullSink:
    """Counts the frames of its input."""

    def __init__(self, config: NullConfig, build: Build, input: Input) -> None:
        self._input = input
        self._meter = config.meter
        self._frames_in = 0
        self._peak = 0.0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Read until the input has ended."""
        task_status.started()
        await DueFrames(ctx, self._input.format, self._read_block).run()

    def _read_block(self, now_ns: int, limit: int) -> int | None:
        if not self._meter:
            count = self._input.skip_due(now_ns, limit)
            self._frames_in += count or 0
            return count
        frames = self._input.read_due(now_ns, limit)
        if frames is None:
            return None
        self._frames_in += len(frames)
        self._peak = max(self._peak, peak_of(frames))
        return len(frames)

    def metrics(self) -> Metrics:
        """``frames_in``, and ``peak_dbfs`` where the sink meters."""
        if self._meter:
            return {"frames_in": self._frames_in, "peak_dbfs": dbfs(self._peak)}
        return {"frames_in": self._frames_in}
