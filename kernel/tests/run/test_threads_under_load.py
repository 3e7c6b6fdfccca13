"""Figures are exact while the data plane works at full speed: a snapshot belongs together, and no count is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio

from phasegraph import (
    ClockEstimate,
    ClockState,
    Correction,
    Encoding,
    Observation,
    Stream,
    StreamFormat,
    SystemLocalClock,
)
from phasegraph import ReadPosition as Position
from phasegraph._run.crossing import CrossingTap
from phasegraph._run.engine import Engine
from phasegraph._run.inputs import SinkInput
from phasegraph._run.taps import AlignedTap

RATE = 48_000
BLOCK = 48


class Clock:
    def estimate(self) -> ClockEstimate:
        return ClockEstimate(local_ns=0, reference_ns=0, state=ClockState.LOCKED)


class Proportional:
    """Decides a ratio from which the error that it saw can be told."""

    def observe(self, observation: Observation) -> None:
        if isinstance(observation, Position):
            self.error = observation.error_frames

    def decide(self, local_ns: int) -> Correction:
        return Correction(ratio_ppb=self.error * 7.0 + 1000.0)


class Straight:
    reach = 0

    def render(self, frames: Any, offset: float, ratio: float, out: Any) -> None:
        out[:] = frames[: len(out)]


class Plane:
    """A source that loses every 7th packet, and two sinks that read it, with counts of their own."""

    def __init__(self, blocks: int) -> None:
        format = StreamFormat(RATE, 1, Encoding.FLOAT32)
        self.stream = Stream(format, window_ns=10**9, clock=Clock())
        self.crossing = CrossingTap(self.stream, Proportional(), Straight())
        self.aligned = AlignedTap(self.stream)
        self.inputs = [SinkInput([(tap, None)], format, None) for tap in (self.crossing, self.aligned)]
        self.block, self.blocks = 0, blocks
        self.lost = 0
        self._samples = np.ones((BLOCK, 1), np.float32)
        self._out = np.empty((BLOCK, 1), np.float32)

    def step(self, now: int) -> int:
        if self.block < self.blocks:
            start = self.block * BLOCK
            if self.block % 7 == 3:
                self.lost += 1
            else:
                self.stream.ring.write_frames(start, self._samples)
                self.stream.mark_written(start, start + BLOCK)
            for input in self.inputs:
                input.read(start, self._out, start * 10**9 // RATE)
            self.block += 1
        return now


@pytest.mark.parametrize("blocks", [500, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_every_snapshot_belongs_together_and_the_last_one_is_exact(blocks: int) -> None:
    plane, engine = Plane(blocks), Engine(SystemLocalClock())
    looks = 0
    missing = [0, 0]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            attachment = engine.attach(plane.step, lambda error: None)
            while plane.block < blocks:
                for _ in range(100):
                    looks += 1
                    crossing = plane.crossing.figures.latest
                    if crossing.correction.reason != "not started":
                        assert crossing.correction.ratio_ppb == crossing.error_frames * 7.0 + 1000.0
                    for number, input in enumerate(plane.inputs):
                        figures = input.figures.latest
                        assert number == 0 or figures.missing_frames == figures.underruns * BLOCK
                        assert figures.missing_frames >= missing[number]
                        missing[number] = figures.missing_frames
                await trio.sleep(0)
            attachment.detach()
            nursery.cancel_scope.cancel()
    assert looks > 100
    assert plane.inputs[1].figures.latest.missing_frames == plane.lost * BLOCK
    assert plane.inputs[1].figures.latest.underruns == plane.lost
    assert plane.crossing.figures.latest.missing_frames == plane.crossing.missing_frames
    assert plane.inputs[0].figures.latest.missing_frames == plane.crossing.missing_frames
