"""An edge between two clock domains: the stream is read at fractional positions that a compensator steers.

State: the read position *p* in stream frames, as a whole index and a fraction, so that it is exact however large it is.

For each block of *n* frames that sounds from local time *t* on:

1. target: *q* = media_time(*t*) x rate - link offset, by the stream's clock;
2. error: *e* = *q* - *p* frames (positive: the reader is behind, and must read faster);
3. the compensator observes the clock's estimate, arrivals, the device's time, the buffer level and *e*, in the order of
   their local times, and decides a ratio *r* (ppb) and, rarely, a step *s* (a resync, cross-faded over 10 ms);
4. *p* += *s*, the block is rendered at *p*, *p* + (1 + *r*), ..., and *p* += *n* (1 + *r*).

Media time that jumps (another grandmaster) moves target and position alike: *e* stays, and nothing is steered. Frames
that the sink lost pass at the present ratio. The block's fractional positions are the resampler's argument, so that
position and sound cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from .._core.clock import NS_PER_S, ClockEstimate
from .._core.compensation import (
    BufferLevel,
    Compensator,
    Correction,
    DeviceRate,
    DeviceTime,
    FramesArrived,
    ReadPosition,
    Resampler,
    StreamingResampler,
)
from .._core.published import Published
from .._core.samples import Frames
from .._core.stream import Stream
from .concealment import stream_reader
from .taps import ENDLESS, Tap

NOT_STARTED = Correction(ratio_ppb=0.0, reason="not started")
FADE_NS = 10_000_000
"""Longest that a jump of the read position is faded over; a block at most."""


class CrossingFigures(msgspec.Struct, frozen=True, gc=False):
    """Figures of a crossing after one block, for status and report."""

    missing_frames: int = 0
    correction: Correction = NOT_STARTED
    error_frames: float = 0.0
    error_rms_frames: float = 0.0
    buffer_frames: int = 0
    resyncs: int = 0
    locked_after_ns: int | None = None


def nothing_remembered(device: str) -> DeviceRate | None:
    """No earlier run has measured any device."""
    return None


class CrossingTap(Tap):
    """Reads a stream of one clock at the pace of another.

    Threads: the sink's step calls everything and writes every field. Others read ``figures``.
    """

    def __init__(
        self,
        stream: Stream,
        compensator: Compensator,
        resampler: Resampler,
        remembered_rate: Callable[[str], DeviceRate | None] = nothing_remembered,
        delay_frames: int | None = None,
    ) -> None:
        """``remembered_rate`` gives the rate of a device that earlier runs have measured. It is called once, at the
        first block."""
        assert stream.clock is not None, "a stream without a clock crosses nothing"
        super().__init__(stream, delay_frames)
        self.figures = Published(CrossingFigures())
        self.correction = NOT_STARTED
        """The newest decision."""
        self.error_frames = 0.0
        """How far the read position was behind its target at the newest block."""
        self.resyncs = 0
        """Jumps of the read position while it sounds, those of media time aside."""
        self.block_start = (0, 0.0)
        """Where the newest block begins in the stream: whole frames and the fraction."""
        self.locked_after_ns: int | None = None
        """From the first block to the first that the compensator called locked; None before."""
        self._noted_loss = 0
        self._began_ns = 0
        self._squares = 0.0
        self._blocks = 0
        self._clock = stream.clock
        self._read = stream_reader(stream)
        self._remembered_rate = remembered_rate
        self._compensator = compensator
        self._resampler = resampler
        self._locate = resampler.locate if isinstance(resampler, StreamingResampler) else None
        self._whole = 0
        self._fraction = 0.0
        self._pre_step_position: tuple[int, float] | None = None
        self._next: int | None = None
        self._stop: int | None = None
        self._observed: ClockEstimate | None = None
        self._arrived_ns = -ENDLESS

    @property
    def buffer_frames(self) -> int:
        """Frames between what has arrived and what was read."""
        return self.stream.head - self._whole

    @property
    def error_rms_frames(self) -> float:
        """Root mean square of ``error_frames`` over the blocks so far."""
        return math.sqrt(self._squares / self._blocks) if self._blocks else 0.0

    @property
    def stop(self) -> int | None:
        """See `Tap.stop`."""
        if self.stream.end is not None and (self._next is None or self.stream.first is None):
            return 0
        return self._stop

    def available(self, frame: int) -> int:
        """See `Tap.available`: a lower bound, for ratios within 1000 ppm."""
        if self.stream.end is not None:
            return ENDLESS
        ahead = self.stream.head - self._whole - self._resampler.reach - 2
        return 0 if self._next is None else self._next + ahead - ahead // 1000 - frame

    def fill(self, frame: int, out: Frames, local_ns: int) -> None:
        """See `Tap.fill`."""
        self._steer(frame, local_ns)
        if self.correction.silent:
            out[:] = 0.0
        unstepped = None if self._pre_step_position is None else self._render_unstepped(len(out))
        gaps = not self.correction.silent and self._render(out)
        if unstepped is not None:
            # Linear: a slip of a few frames leaves the sound much the same, which must not become louder on the way.
            share = (np.arange(len(unstepped), dtype=np.float32)[:, np.newaxis] + 0.5) / np.float32(len(unstepped))
            out[: len(unstepped)] += (1 - share) * (unstepped - out[: len(unstepped)])
        self._move(frame, len(out), gaps=gaps)

    def note_loss(self, frames: int) -> None:
        """See `Input.note_loss`."""
        self._noted_loss += frames

    def skip(self, frame: int, count: int, local_ns: int) -> None:
        """See `Tap.skip`: everything but the samples."""
        self._steer(frame, local_ns)
        self._move(frame, count, gaps=not self.correction.silent)

    def _steer(self, frame: int, local_ns: int) -> None:
        stream, observe = self.stream, self._compensator.observe
        stream.on_read()
        estimate = self._clock.estimate()
        whole, fraction = target = self._target(estimate, local_ns)
        lost_frames = 0 if self._next is None else frame - self._next
        before = self._observed
        if self._next is None or not 0 <= lost_frames < stream.format.rate:
            self._whole, self._fraction = target  # it starts, or restarts, at the target
        else:
            self._go_on(lost_frames, estimate, target, local_ns)
        if before is None:
            self._began_ns = local_ns
            if (known := self._remembered_rate(self.device)) is not None:
                observe(known)
        if estimate is not before:
            observe(estimate)
            self._observed = estimate
        self.error_frames = error = whole - self._whole + fraction - self._fraction
        self._observe_arrivals()
        observe(DeviceTime(local_ns, frame, lost_frames + self._noted_loss))
        self._noted_loss = 0
        observe(BufferLevel(local_ns, stream.head - self._whole - self._fraction))
        observe(ReadPosition(local_ns, frame, error))
        self.correction = correction = self._compensator.decide(local_ns)
        if not correction.silent:
            self._squares += error**2
            self._blocks += 1
        if correction.locked and self.locked_after_ns is None:
            self.locked_after_ns = local_ns - self._began_ns
        self._pre_step_position = None
        if correction.step_frames:
            if not correction.silent:
                self.resyncs += 1
                self._pre_step_position = self._whole, self._fraction
            self._advance(correction.step_frames)
        self.block_start = (self._whole, self._fraction)

    def _observe_arrivals(self) -> None:
        arrivals, fresh = self.stream.arrivals, 0
        for _, local_ns in reversed(arrivals):
            if local_ns <= self._arrived_ns:
                break
            fresh += 1
        for at in range(-fresh, 0):
            frame, self._arrived_ns = arrivals[at]
            self._compensator.observe(FramesArrived(self._arrived_ns, frame))

    def _go_on(self, lost_frames: int, estimate: ClockEstimate, target: tuple[int, float], local_ns: int) -> None:
        before = self._observed
        if lost_frames:  # they have passed at the present ratio; the error stays what it was
            self._advance(lost_frames * (1.0 + self.correction.ratio_ppb * 1e-9))
        if before is not None and estimate is not before and estimate.jumped_since(before):
            # Media time has jumped: the position jumps with it, and the error stays.
            whole_before, fraction_before = self._target(before, local_ns)
            self._whole += target[0] - whole_before
            self._advance(target[1] - fraction_before)

    def _move(self, frame: int, count: int, *, gaps: bool) -> None:
        # ``gaps`` is False where none can be among the frames that are passed.
        before, stream = self._whole, self.stream
        self._advance(count * (1.0 + self.correction.ratio_ppb * 1e-9))
        self._next = frame + count
        if gaps:
            self._count_missing(before, self._whole)
        if stream.end is not None:
            self._stop = self._next + stream.end - self._whole
        self.figures.publish(
            CrossingFigures(
                self.missing_frames,
                self.correction,
                self.error_frames,
                self.error_rms_frames,
                stream.head - self._whole,
                self.resyncs,
                self.locked_after_ns,
            )
        )

    def _target(self, estimate: ClockEstimate, local_ns: int) -> tuple[int, float]:
        # The position that sounds at this local time: media time of the clock, less the link offset.
        reference_ns = estimate.reference_at(local_ns)
        whole, rest = divmod(reference_ns * self.stream.format.rate, NS_PER_S)
        return whole - self.delay_frames, rest / NS_PER_S

    def _render(self, out: Frames) -> bool:
        # Returns whether frames within the reach of the resampler were missing.
        ratio = 1.0 + self.correction.ratio_ppb * 1e-9
        reach = self._resampler.reach
        span = int(self._fraction + len(out) * ratio) + 2
        rows = np.empty((span + 2 * reach, self.stream.format.channels), np.float32)
        missing = self._read(self._whole - reach, rows)
        if self._locate is not None:
            self._locate(self._whole - reach)
        self._resampler.render(rows, reach + self._fraction, ratio, out)
        return missing > 0

    def _render_unstepped(self, count: int) -> Frames | None:
        # The sound without the step. A streaming resampler cannot go back, and has none.
        assert self._pre_step_position is not None
        if self._locate is not None:
            return None
        out = np.empty(
            (min(count, FADE_NS * self.stream.format.rate // NS_PER_S), self.stream.format.channels), np.float32
        )
        stepped, (self._whole, self._fraction) = (self._whole, self._fraction), self._pre_step_position
        self._render(out)
        self._whole, self._fraction = stepped
        return out

    def _count_missing(self, start: int, stop: int) -> None:
        # Blocks overlap by what the resampler reaches, but every frame of the stream is counted once.
        if self.stream.first is None:
            return
        start = max(start, self.stream.first)
        if self.stream.end is not None:
            stop = min(stop, self.stream.end)
        there = self.stream.contiguous_from <= start and stop <= self.stream.head <= start + self.stream.ring.capacity
        if start < stop and not there:
            self.missing_frames += stop - start - self.stream.ring.holds(start, stop - start)

    def _advance(self, frames: float) -> None:
        moved = self._fraction + frames
        whole = int(moved // 1)
        self._whole += whole
        self._fraction = moved - whole
