"""A simulated sound card that runs at its own pace: kind ``sim-card``."""

from __future__ import annotations

from collections import deque
from typing import Annotated

import msgspec
import numpy as np
import trio
from msgspec import Meta

from ..._core.clock import NS_PER_S
from ..._core.config import SinkConfig
from ..._core.node import Build, Input, Metrics, NodeContext, run_until_end
from ..._core.samples import Frames, silence
from ..._core.units import Duration, RateOffset
from ..local_clock import TrueTime

_IDLE_NS = 1_000_000
"""How often a card polls an input that is not ready."""


class SimCardConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of the ``sim-card`` sink."""

    rate_offset: Annotated[
        RateOffset, Meta(description="Rate of the card's crystal minus that of true time.", ge=-1e6, le=1e6)
    ] = 0.0
    block: Annotated[int, Meta(description="Frames of a block.", ge=1, le=65536)] = 128
    blocks: Annotated[int, Meta(description="Blocks that the card buffers ahead of the sound.", ge=1, le=16)] = 2
    granularity: Annotated[
        int, Meta(description="Frames by which the card's position advances at a time.", ge=1, le=65536)
    ] = 1
    keep: Annotated[Duration, Meta(description="How much of the newest audio it keeps.", ge=0)] = 10 * NS_PER_S


class Played(msgspec.Struct, frozen=True):
    """A block that a simulated card played."""

    frame: int
    """Number of its first frame, on the card."""
    true_ns: int
    """True time at which that frame sounds."""
    local_ns: int
    """Local time at which the card predicted that it would."""
    frames: Frames


class SimCard:
    """Reads a block whenever it has room for one, and keeps the blocks with the true times at which they sounded."""

    def __init__(self, config: SimCardConfig, build: Build, input: Input) -> None:
        self.format = input.format
        self.played: deque[Played] = deque()
        """The newest blocks, oldest first."""
        self._config = config
        self._input = input
        self._truth = TrueTime(build.local)
        self._began: int | None = None
        self._next = 0
        self._end: int | None = None
        self._frames_out = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._began, self._next, self._end = None, 0, None
        self._input.set_device("simulated card")
        await run_until_end(ctx, self._play_due, task_status)

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        return {"frames_out": self._frames_out, "true_device_rate_ppb": self._config.rate_offset}

    def recording(self) -> Frames:
        """The kept audio in one piece."""
        if not self.played:
            return silence(0, self.format.channels)
        return np.concatenate([block.frames for block in self.played])

    def true_time_of(self, frame: int) -> int:
        """True time at which a frame of the card sounds."""
        assert self._began is not None, "the card has not started"
        lasts = frame * NS_PER_S / self.format.rate
        return self._began + round(lasts / (1.0 + self._config.rate_offset / 1e9))

    def _play_due(self, local_ns: int) -> int | None:
        now = self._truth.now_ns()
        if self._began is None:
            if not self._input.ready:
                return local_ns + _IDLE_NS
            self._began = now
        # Block b enters the card when block b - blocks starts to sound; the first ones enter at once.
        while self._end is None:
            room_at = self.true_time_of(max(0, self._next - self._config.block * self._config.blocks))
            if room_at > now:
                return self._truth.to_local(room_at)
            self._play(local_ns, now)
        silent_at = self.true_time_of(self._end)
        if silent_at > now:
            return self._truth.to_local(silent_at)
        return None

    def _play(self, local_ns: int, now: int) -> None:
        config, rate = self._config, self.format.rate
        out = np.empty((config.block, self.format.channels), np.float32)
        assert self._began is not None
        pointer = round((now - self._began) * (1.0 + config.rate_offset / 1e9) * rate / NS_PER_S)
        pointer -= pointer % config.granularity
        sounds_ns = local_ns + round((self._next - pointer) * NS_PER_S / rate)
        count = self._input.read(self._next, out, sounds_ns)
        self.played.append(Played(self._next, self.true_time_of(self._next), sounds_ns, out[:count]))
        while len(self.played) * config.block * NS_PER_S > (config.keep + NS_PER_S) * rate:
            self.played.popleft()
        self._next += config.block
        self._frames_out += count
        if count < config.block:
            self._end = self._next - config.block + count
