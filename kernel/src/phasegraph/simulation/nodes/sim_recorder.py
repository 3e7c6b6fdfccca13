"""A sink that keeps all frames that it reads: kind ``sim-recorder``."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import trio
from msgspec import Meta

from ..._core.config import SinkConfig
from ..._core.node import Build, Input, Metrics, NodeContext, run_until_end
from ..._core.samples import Frames, silence
from ..._core.units import Duration


class SimRecorderConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of the ``sim-recorder`` sink."""

    interval: Annotated[Duration, Meta(description="How often it reads due frames.", ge=100_000)] = 10_000_000
    limit: Annotated[int, Meta(description="Largest number of frames that it reads at a time.", ge=1)] = 1 << 20


class SimRecorder:
    """Reads due frames at its input's pace until the input ends."""

    def __init__(self, config: SimRecorderConfig, build: Build, input: Input) -> None:
        self.format = input.format
        self._config = config
        self._input = input
        self._blocks: list[Frames] = []

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        await run_until_end(ctx, self._read_due, task_status)

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        return {"frames_in": sum(len(block) for block in self._blocks)}

    def _read_due(self, local_ns: int) -> int | None:
        frames = self._input.read_due(local_ns, self._config.limit)
        if frames is None:
            return None
        if len(frames):
            self._blocks.append(frames)
        return local_ns + (self._config.interval if len(frames) < self._config.limit else 0)

    def recording(self) -> Frames:
        """All frames in one piece."""
        return np.concatenate([silence(0, self.format.channels), *self._blocks])
