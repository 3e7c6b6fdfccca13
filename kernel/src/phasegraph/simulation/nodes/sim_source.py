"""Simulated sources whose every sample is known from its frame index.

A clock paces the kind ``sim-source``, as it paces a network stream. Its reader paces the kind ``sim-sequence``, as it
paces a file.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import trio
from msgspec import Meta

from ..._core.clock import NS_PER_S, frame_at, frames_in
from ..._core.config import ClockRef, Live, SourceConfig
from ..._core.node import Build, Metrics, NodeContext
from ..._core.samples import Encoding, Frames
from ..._core.stream import Stream, StreamFormat
from ..._core.units import Duration, Frequency, SampleRate
from ..signals import counter_frames, sine_frames


class SimSequenceConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of the ``sim-sequence`` source."""

    rate: Annotated[SampleRate, Meta(description="Frames per second.", ge=8000, le=384000)] = 48000
    channels: Annotated[int, Meta(description="Channels.", ge=1, le=64)] = 2
    encoding: Annotated[Literal["L16", "L24", "float32"], Meta(description="How its samples are kept.")] = "L24"
    signal: Annotated[
        Literal["counter", "sine"],
        Meta(description="A counter, whose samples encode their frame's index, or a sine."),
    ] = "counter"
    frequency: Annotated[Frequency, Meta(description="Of the sine.", gt=0, le=192000)] = 997.0
    duration: Annotated[Duration | None, Meta(description="How long it lasts; endless if left out.")] = None


class SimSourceConfig(SimSequenceConfig, frozen=True, kw_only=True):
    """Options of the ``sim-source`` source."""

    clock: Annotated[ClockRef | None, Meta(description="Clock that paces it; the graph's only one if left out.")] = None
    link_offset: Annotated[
        Duration,
        Meta(description="How long after its media time a frame sounds.", ge=0, le=NS_PER_S),
        Live("at a frame; the sinks repeat the difference, or leave it out"),
    ] = 20_000_000
    jitter: Annotated[Duration, Meta(description="Largest delay of its frames.", ge=0, le=NS_PER_S)] = 0
    seed: Annotated[int, Meta(description="Of the jitter.", ge=0)] = 0
    delivers: Annotated[bool, Meta(description="With false it never writes a frame.")] = True


class SimSequence:
    """Writes its signal as soon as the stream has room for it."""

    def __init__(self, config: SimSequenceConfig, build: Build) -> None:
        self._config = config
        self._next: int | None = None
        self._stop: int | None = None
        self.stream = self._stream(build)

    def _stream(self, build: Build) -> Stream:
        return Stream(self._format, window_ns=NS_PER_S // 2)

    @property
    def _format(self) -> StreamFormat:
        config = self._config
        return StreamFormat(config.rate, config.channels, Encoding(config.encoding))

    def frames(self, first: int, count: int) -> Frames:
        """The true frames of the stream from an absolute index on."""
        config = self._config
        if config.signal == "counter":
            return counter_frames(first, count, config.channels)
        return sine_frames(first, count, config.channels, config.frequency, config.rate)

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._next = self._stop = None
        ctx.attach(lambda local_ns: self._write_due(local_ns, ctx.quantum_ns()))
        task_status.started()
        await trio.sleep_forever()

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        return {"frames_in": self.stream.head - (self.stream.first or 0)}

    def _due_frame(self, local_ns: int) -> int:
        return self.stream.head + min(self.stream.room, self.stream.ring.capacity // 2)

    def _write_due(self, local_ns: int, quantum: int) -> int:
        stream, config = self.stream, self._config
        due = self._due_frame(local_ns)
        if self._next is None:
            self._next = max(stream.head, due - 1 if stream.clock else 0)
            if config.duration is not None:
                self._stop = self._next + frames_in(config.duration, config.rate)
        if abs(due - self._next) > stream.ring.capacity:  # the clock has jumped: the frames between do not exist
            if self._stop is not None:
                self._stop += due - self._next
            self._next = due
        first = self._next
        end = due if self._stop is None else min(due, self._stop)
        if end > first:
            stream.ring.write_frames(first, self.frames(first, end - first))
            stream.mark_written(first, end, local_ns)
            self._next = end
        if end == self._stop:
            stream.finish()
            return local_ns + NS_PER_S
        return local_ns + quantum


class SimSource(SimSequence):
    """Writes frame n when its clock shows n / rate, or up to the configured jitter later."""

    _config: SimSourceConfig

    def __init__(self, config: SimSourceConfig, build: Build) -> None:
        super().__init__(config, build)
        self._random = np.random.default_rng(config.seed)

    def _stream(self, build: Build) -> Stream:
        config = self._config
        return Stream(
            self._format,
            window_ns=NS_PER_S // 2 + 2 * (config.link_offset + config.jitter),
            clock=build.clock(config.clock),
            playout_delay_ns=config.link_offset,
        )

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        if self._config.delivers:
            await super().run(ctx, task_status=task_status)
        task_status.started()
        await trio.sleep_forever()

    def accepts_options(self, config: SimSourceConfig) -> bool:
        """See `accepts_options`: whether its ring is long enough for the link offset."""
        return config.link_offset <= self._config.link_offset + NS_PER_S // 4

    def change_options(self, config: SimSourceConfig) -> None:
        """See `LiveNode.change_options`."""
        self.stream.change_playout_delay(config.link_offset)

    def _due_frame(self, local_ns: int) -> int:
        assert self.stream.clock is not None
        late = int(self._random.integers(0, self._config.jitter, endpoint=True)) if self._config.jitter else 0
        return frame_at(self.stream.clock.estimate().reference_at(local_ns - late), self._config.rate) + 1
