"""A simulated sound card that plays: its own pace, late callbacks, coarse stamps and xruns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import trio
from numpy.typing import NDArray

from ..._core.clock import NS_PER_S
from ..._core.node import Metric, NodeContext, run_until_end
from ..._run.inputs import SinkInput
from ..card_callbacks import Call, Callbacks
from ..card_time import CardTime
from ..local_clock import SimLocalClock, true_now_ns
from ..scenario_options import CardOptions
from ..tone_signal import RenderedSpan, thd_n_db
from ..truth import CrossingTruth
from .network_source import SimulatedSource

_IDLE_NS = 1_000_000


class SimulatedCard:
    """Asks for a block whenever its driver would. Samples are rendered only within the rendered span."""

    def __init__(
        self,
        input: SinkInput,
        time: CardTime,
        options: CardOptions,
        *,
        local: SimLocalClock,
        rendered: RenderedSpan,
        random: np.random.Generator,
    ) -> None:
        self.time = time
        self.truths: list[CrossingTruth] = []
        """The truth of its edges that cross clock domains."""
        self.sources: list[SimulatedSource] = []
        """The simulated network sources that it plays."""
        self._input = input
        self._rate = input.format.rate
        self._block = options.block
        self._latency = options.block * options.blocks
        self._callbacks = Callbacks(time, options, rate=self._rate, local=local, random=random)
        self._local = local
        self._rendered = rendered
        self._played: list[NDArray[np.float32]] = []
        self._calls: Iterator[Call] | None = None
        self._call: Call | None = None
        self._first: Call | None = None
        self._last: Call | None = None
        self._frames_out = 0
        self._xruns = 0
        self._lost = 0
        self._end_ns: int | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        await run_until_end(ctx, partial(self._play_due_blocks, ctx), task_status)

    def _play_due_blocks(self, ctx: NodeContext, local_ns: int) -> int | None:
        if self._end_ns is not None:
            return None
        if self._calls is None:
            if not self._input.ready:
                return local_ns + _IDLE_NS
            self._calls = self._callbacks.begin(true_now_ns())
            self._call = next(self._calls)
        while self._call is not None and self._call.called_ns <= local_ns and self._end_ns is None:
            if self._call.lost:
                self._xruns += 1
                self._lost += self._call.lost
                ctx.event("xrun", lost_frames=self._call.lost)
            self._play(self._call)
            self._call = next(self._calls)
        assert self._call is not None
        return max(local_ns + 1, self._call.called_ns if self._end_ns is None else self._end_ns)

    def _play(self, call: Call) -> None:
        block = self._block
        for source in self.sources:
            source.receive_until(call.called_true_ns)
        for truth in self.truths:
            truth.before_read(call.frame, block)
        if self._rendered.contains(call.sounds_ns):
            out = np.empty((block, self._input.format.channels), np.float32)
            count = self._input.read(call.frame, out, call.stamp_ns)
            self._played.append(out[:count, 0].copy())
        else:
            count = self._input.skip_frames(call.frame, block, call.stamp_ns)
        for truth in self.truths:
            truth.after_read(call.sounds_ns)
        self._frames_out += count
        self._first = self._first or call
        self._last = call
        if count < block:
            self._end_ns = call.stamp_ns + count * NS_PER_S // self._rate

    def metrics(self) -> dict[str, Metric]:
        """See `Node.metrics`: the metrics that the contract asks of every sound card, and the truth."""
        metrics: dict[str, Metric] = {
            "frames_out": self._frames_out,
            "underruns": self._xruns + sum(truth.underruns for truth in self.truths),
            "xruns": self._xruns,
            "lost_frames": self._lost,
            "block_frames": self._block,
            "latency_ns": round(self._latency * NS_PER_S / self._rate),
        }
        if self._first is not None and self._last is not None and self._last.frame > self._first.frame:
            frames = self._last.frame - self._first.frame
            metrics["device_rate_ppb"] = _rate_ppb(frames, self._rate, self._last.stamp_ns - self._first.stamp_ns)
            true_ns = self._local.at(self._last.sounds_ns) - self._local.at(self._first.sounds_ns)
            metrics["true_device_rate_ppb"] = _rate_ppb(frames, self._rate, true_ns)
        if self._played:
            distortion = thd_n_db(np.concatenate(self._played), self._rate)
            if distortion is not None:
                metrics["true_thd_n_db"] = round(distortion, 1)
        return metrics


def _rate_ppb(frames: int, rate: int, ns: int) -> float:
    return round(1e9 * (frames * NS_PER_S / rate / ns - 1.0), 3)
