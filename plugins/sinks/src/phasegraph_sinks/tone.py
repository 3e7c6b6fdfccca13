"""The ``tone`` source: a sine for lining up, on every channel alike."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import trio

from phasegraph import (
    TASK_STATUS_IGNORED,
    Build,
    Encoding,
    Frames,
    Metrics,
    NodeContext,
    NodeError,
    StreamFormat,
    frames_in,
)

from .options import ToneConfig
from .read_ahead import new_stream, write_ahead


def sine(first: int, count: int, *, frequency: float, rate: int, amplitude: float = 1.0) -> Frames:
    """Frames ``first .. first + count`` of a sine that is at phase 0 in frame 0; shape (count, 1).

    The phase is taken from the absolute frame index, so that it is as exact after a year as in the first second.
    """
    # Exact at the block's first frame; within a block, float64 is off by less than 1e-11 of a cycle.
    begin = float(Fraction(frequency) * first / rate % 1)
    phase = begin + np.arange(count) * (frequency / rate)
    samples: Frames = (amplitude * np.sin(2 * np.pi * (phase % 1.0))).astype(np.float32)
    return samples[:, np.newaxis]


class ToneSource:
    """Computes a sine a little ahead of its readers."""

    def __init__(self, config: ToneConfig) -> None:
        self.stream = new_stream(
            StreamFormat(config.rate, config.channels, Encoding.FLOAT32), endless=config.duration is None
        )
        self._config = config
        self._amplitude = 10.0 ** (config.level / 20)
        self._length = None if config.duration is None else frames_in(config.duration, config.rate)

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Write the stream for the tone's duration, or until cancelled. Started again, it goes on in phase."""
        await write_ahead(ctx, self.stream, self._next_block, ready=task_status.started)

    async def _next_block(self, count: int) -> Frames:
        first = self.stream.head
        if self._length is not None:
            count = max(0, min(count, self._length - first))
        config = self._config
        mono = sine(first, count, frequency=config.frequency, rate=config.rate, amplitude=self._amplitude)
        return np.broadcast_to(mono, (count, config.channels))

    def change_options(self, config: ToneConfig) -> None:
        """See `phasegraph.LiveNode.change_options`."""
        self._amplitude = 10.0 ** (config.level / 20)

    def metrics(self) -> Metrics:
        """``frames_out`` so far."""
        return {"frames_out": self.stream.head}


def make(config: ToneConfig, build: Build) -> ToneSource:
    """Raises NodeError for a frequency that the rate cannot carry."""
    if config.frequency * 2 >= config.rate:
        raise NodeError(
            f"{config.frequency:g} Hz needs a rate above {2 * config.frequency:g} Hz, this one is {config.rate} Hz",
            "lower the frequency or raise the rate",
            option="frequency",
        )
    return ToneSource(config)
