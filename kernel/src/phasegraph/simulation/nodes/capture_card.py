"""A simulated sound card that captures: a source on its own time, whose clock comes from its driver's stamps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import trio

from ..._core.clock import NS_PER_S, duration_of
from ..._core.node import Metric, NodeContext
from ..._core.stream import Stream
from ..card_callbacks import Call, Callbacks
from ..card_time import CardTime
from ..local_clock import SimLocalClock, true_now_ns
from ..scenario_options import CardOptions, ClockOptions
from ..tone_signal import RenderedSpan, ToneSignal
from .simulated_clock import SimulatedClock

_LOCK_NS = 2 * NS_PER_S


class SimulatedCapture:
    """Writes each block when its callback runs. Blocks for which its driver has no room are lost."""

    def __init__(
        self,
        made: Stream,
        time: CardTime,
        options: CardOptions,
        *,
        local: SimLocalClock,
        rendered: RenderedSpan,
        random: np.random.Generator,
    ) -> None:
        """``made`` is the stream of the real source, for its format, window and link offset."""
        format = made.format
        noise = ClockOptions(noise=options.stamp_noise, first_error=options.stamp_noise, lock_time=_LOCK_NS)
        self.time = time
        self._clock = SimulatedClock(time, noise, local, path_ns=0, random=random)
        self.stream = Stream(
            format,
            window_ns=duration_of(made.ring.capacity, format.rate),
            clock=self._clock,
            playout_delay_ns=made.playout_delay_ns,
        )
        self._block = options.block
        self._behind = options.block * (options.blocks + 1)
        self._callbacks = Callbacks(time, options, rate=format.rate, local=local, random=random)
        self._signal = ToneSignal(format, rendered, made.playout_delay_ns)
        self._calls: Iterator[Call] | None = None
        self._call: Call | None = None
        self._frames_in = 0
        self._overruns = 0
        self._lost = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._calls = self._callbacks.begin(true_now_ns())
        self._call = next(self._calls)
        self._clock.publish(ctx.local.now_ns())
        ctx.attach(self._clock.publish)
        ctx.attach(lambda local_ns: self._write_due_blocks(local_ns, ctx))
        task_status.started()
        await trio.sleep_forever()

    def _write_due_blocks(self, local_ns: int, ctx: NodeContext) -> int:
        assert self._calls is not None
        assert self._call is not None
        while self._call.called_ns <= local_ns:
            # The block that was just captured began this many frames before the one that a player fills now.
            first = self._call.frame - self._behind
            if self._call.lost:
                self._overruns += 1
                self._lost += self._call.lost
                ctx.event("xrun", lost_frames=self._call.lost)
            if first >= 0:
                self.stream.ring.write(first, self._signal.encoded(first, self._block))
                self.stream.mark_written(first, first + self._block, self._call.called_ns)
                self._frames_in += self._block
            self._call = next(self._calls)
        return self._call.called_ns

    def metrics(self) -> dict[str, Metric]:
        """See `Node.metrics`: the metrics that the contract asks of every sound card."""
        rate = self._clock.estimate().rate_ppb
        return {
            "frames_in": self._frames_in,
            "overruns": self._overruns,
            "lost_frames": self._lost,
            "device_rate_ppb": round(rate, 3),
        }
