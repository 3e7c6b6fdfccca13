"""The ``meter`` sink: measures the levels of its input, and raises alarms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from phasegraph import (
    TASK_STATUS_IGNORED,
    Build,
    Frames,
    Input,
    Metric,
    Metrics,
    NodeContext,
    Published,
)

from ..due_frames import DueFrames
from .level_meter import LevelFigures, LevelMeter, LevelSettings
from .loudness import CHANNEL_WEIGHTS
from .meter_thread import MeterThread, meter_thread
from .options import MeterConfig

MOST_BLOCKS = 32
"""Blocks of a meter that wait for the thread; more are not measured."""
STALE_NS = 1_000_000_000
"""Levels that are older are not reported: no frame came since."""


class MeterSink:
    """Measures its input.

    Threads: the step counts the blocks that it submits, on the data plane; the run's meter thread measures them, counts
    them as done and publishes the figures.
    """

    def __init__(self, config: MeterConfig, build: Build, input: Input) -> None:
        format = input.format
        layout = ("mono" if format.channels == 1 else "stereo") if config.loudness == "auto" else config.loudness
        weights = CHANNEL_WEIGHTS.get(layout, ())[: format.channels]
        self._settings = LevelSettings(
            rate=format.rate,
            channels=format.channels,
            weights=weights,
            true_peak=config.true_peak,
            silence_level=10 ** (config.silence_below / 20),
            silence_ns=config.silence_after,
            overload_level=10 ** (config.overload_level / 20),
            stuck_ns=config.stuck_after,
        )
        self._due = DueFrames(input)
        self._frames_unmeasured = 0  # written by the step, as is the next one
        self._blocks_submitted = 0
        self._blocks_done = 0  # written by the meter thread
        self._figures = Published(LevelFigures(0))
        self._now_ns: Callable[[], int] = int

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Measure until the input has ended."""
        self._now_ns = ctx.local.now_ns
        meter = LevelMeter(self._settings, ctx.local.now_ns())
        thread = ctx.shared(meter_thread)
        task_status.started()

        await self._due.run(ctx, partial(self._submit, ctx, thread, meter))

    def _submit(self, ctx: NodeContext, thread: MeterThread, meter: LevelMeter, frames: Frames, now_ns: int) -> None:
        if self._blocks_submitted - self._blocks_done >= MOST_BLOCKS:
            self._frames_unmeasured += len(frames)
            return
        self._blocks_submitted += 1

        def measure() -> None:
            try:
                for event in meter.measure(frames, now_ns):
                    ctx.call_soon(partial(ctx.event, event.name, **event.fields))
                self._figures.publish(meter.figures())
            except Exception as error:  # the node fails, and the thread goes on for the others
                ctx.call_soon(_raise, error)
            self._blocks_done += 1

        thread.submit(measure)

    def metrics(self) -> Metrics:
        """``frames_in``; of the last second ``level_peak_dbfs_1``, ... of each channel, ``level_true_peak_dbtp``,
        ``loudness_momentary_lufs``, ``loudness_short_term_lufs``, ``phase_correlation_1_2``, ...; ``overloads``; and
        ``trouble`` while there is an alarm. Levels are left out where no frame came."""
        figures = self._figures.latest
        metrics: dict[str, Metric] = {"frames_in": self._due.frames_in, "overloads": figures.overloads}
        if self._frames_unmeasured:
            metrics["frames_unmeasured"] = self._frames_unmeasured
        if figures.peaks_dbfs and self._now_ns() - figures.at_ns <= STALE_NS:
            for channel, peak in enumerate(figures.peaks_dbfs, 1):
                metrics[f"level_peak_dbfs_{channel}"] = peak
            pairs = enumerate(figures.correlations)
            levels = {
                "level_true_peak_dbtp": figures.true_peak_dbtp,
                "loudness_momentary_lufs": figures.momentary_lufs,
                "loudness_short_term_lufs": figures.short_term_lufs,
            } | {f"phase_correlation_{2 * pair + 1}_{2 * pair + 2}": value for pair, value in pairs}
            metrics |= {name: value for name, value in levels.items() if value is not None}
        if figures.trouble:
            metrics["trouble"] = figures.trouble
        return metrics


def _raise(error: Exception) -> None:
    raise error
