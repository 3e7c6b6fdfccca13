"""The input of a sink: one tap per edge, side by side in the sink's frames."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from .._core.clock import ClockEstimate, duration_of, frame_at, frames_in
from .._core.node import MediaPosition, RawSampleReader
from .._core.published import Published
from .._core.samples import Encoding, Frames
from .._core.stream import ClockReader, StreamFormat
from .crossing import CrossingTap
from .input_change import AT_ONCE, ChannelTaps, InputChange
from .taps import ENDLESS, AlignedTap, Tap

PATIENCE_NS = 200_000_000
"""How long an input that is left may be late: longer than the interval at which the network is read."""


class InputFigures(msgspec.Struct, frozen=True, gc=False):
    """Figures of an input, for status and report."""

    underruns: int = 0
    """Gaps: how often frames began to be missing when they were due."""
    missing_frames: int = 0
    """Frames that were missing when they were due, over all edges."""
    media_time_jumps: int = 0
    """How often reading continued at another media time, without the time between."""
    last_jump_frames: int = 0


class SinkInput:
    """Implements `phasegraph.Input` over the taps of one sink, which an `InputChange` replaces at a frame.

    Threads: the sink's step writes everything while it runs, and the control plane only before and after; but the
    control plane alone replaces ``_change``.
    """

    def __init__(
        self, taps: Sequence[tuple[Tap, Sequence[int] | None]], format: StreamFormat, clock: ClockReader | None
    ) -> None:
        """``taps`` with their channels that are read (from 0; -1 is silence); ``clock`` paces a sink that has none."""
        self.format = format
        self._taps: ChannelTaps = tuple(taps)
        self.clock = clock
        """What paces it; None for a sink that is paced by its own device, or by nothing."""
        self._change: InputChange | None = None
        self._left: tuple[ChannelTaps, int, int] | None = None
        """The taps before the newest change, the first frame after them, and the first after their fade."""
        self._last: int | None = None
        """The frame at which a change ended the input."""
        self._missing_before = 0
        """Missing frames of taps that were left, less those that the present taps had missed before."""
        self._device = ""
        self.first_frame: int | None = None
        """The first frame that was read. Written by the sink's step."""
        self.next_frame: int | None = None
        """The frame after the last one that was read. Written by the sink's step."""
        self._began_ns: int | None = None
        self._frames_read = 0
        self._position: int | None = None if clock is not None else 0
        self._estimate: ClockEstimate | None = None
        self.figures = Published(InputFigures())
        """Written by the sink's step."""
        self._in_gap = False

    @property
    def taps(self) -> list[Tap]:
        """The taps of its edges, in their order."""
        return [tap for tap, _ in self._taps]

    @property
    def channel_taps(self) -> ChannelTaps:
        """The taps, with the channels that are read of each."""
        return self._taps

    @property
    def waits_to_change(self) -> bool:
        """Whether a change has been made that the sink has not passed: it has read nothing since."""
        return self._change is not None and self._change.passed_at is None

    @property
    def ready(self) -> bool:
        """See `Input.ready`."""
        return all(
            tap.stream.clock is not None or tap.stream.head > 0 or tap.stream.end is not None for tap, _ in self._taps
        )

    @property
    def can_read_ahead(self) -> bool:
        """See `Input.can_read_ahead`."""
        return all(tap.stream.clock is None for tap, _ in self._taps)

    def attach(self) -> None:
        """Become a reader of sources that run already, from now on."""
        for tap, _ in self._taps:
            tap.attach()
            tap.start_here()

    def suspend(self) -> None:
        """Read nothing for now: sources that the sink paces do not wait."""
        for tap, _ in self._taps:
            tap.suspend()

    def resume(self) -> None:
        """Read, for the first time or after `suspend`."""
        for tap, _ in self._taps:
            tap.resume()

    def detach(self) -> None:
        """Never read again."""
        self.cancel_change()
        for tap, _ in self._taps:
            tap.detach()

    def prepare_change(self, change: InputChange) -> None:
        """Control plane: run the new taps beside the old ones, until the change is armed and passed."""
        for tap, _ in change.taps or ():
            tap.device = self._device
            tap.attach()
        self._change = change

    def cancel_change(self) -> None:
        """Control plane: forget a change that was not armed, or was not passed."""
        change, self._change = self._change, None
        if change is not None and change.passed_at is None:
            kept = self.taps
            for tap, _ in change.taps or ():
                if tap not in kept:
                    tap.detach()

    def set_device(self, device: str) -> None:
        """See `Input.set_device`."""
        self._device = device
        for tap, _ in self._taps:
            tap.device = device

    def note_loss(self, frames: int) -> None:
        """See `Input.note_loss`."""
        for tap, _ in self._taps:
            if isinstance(tap, CrossingTap):
                tap.note_loss(frames)

    def available(self, frame: int) -> int:
        """See `Input.available`."""
        there, change, left = _available(self._taps, frame), self._change, self._left
        if change is not None and change.taps and change.frame is not None and change.passed_at is None:
            old, new, begin, fade = there, change.taps, max(0, change.frame - frame), change.fade_frames
        elif left is not None and frame < left[2]:
            old, new, begin, fade = _available(left[0], frame), self._taps, 0, left[2] - frame
        else:
            return there
        after = _available(new, frame + begin)
        clocked = [tap.delay_frames for tap, _ in new if tap.stream.clock is not None]
        if clocked:
            # Some time after the new input's first frame was captured, what the old one has not brought will not come.
            given_up = after >= max(clocked) + frames_in(PATIENCE_NS, self.format.rate)
            faded = old >= begin + fade or given_up
        else:  # such an input has no such time: what there is of the old one is faded out
            faded = old >= begin or begin == 0
        if faded:
            return begin + after
        return min(old, begin + max(0, after))

    def read_due(self, local_ns: int, limit: int) -> Frames | None:
        """See `Input.read_due`."""
        due = self._due_frames(local_ns, limit)
        if due is None:
            return None
        position, count = due
        out = np.empty((count, self.format.channels), np.float32)
        if count:
            self.read(position, out, local_ns)
        return out

    def skip_due(self, local_ns: int, limit: int) -> int | None:
        """See `Input.skip_due`."""
        due = self._due_frames(local_ns, limit)
        if due is None:
            return None
        position, count = due
        if count:
            self.skip_frames(position, count, local_ns)
        return count

    def media_position(self) -> MediaPosition | None:
        """See `Input.media_position`."""
        if self._position is None:
            return None
        delay = max(tap.delay_frames for tap, _ in self._taps)
        return MediaPosition(self._position - delay, "arb" if self._estimate is None else self._estimate.timescale)

    def _due_frames(self, local_ns: int, limit: int) -> tuple[int, int] | None:
        # First and number of the frames that are read now; None at the end.
        for tap, _ in self._taps:
            tap.stream.on_read()
        estimate = None if self.clock is None else self.clock.estimate()
        self._apply_media_jump(estimate, local_ns)
        self._end_without_frames(estimate, local_ns)
        stop, last = self._stop(), self._last_frame()
        if self._position is None:
            begins = [tap.begin for tap, _ in self._taps if tap.begin is not None] or self._begins_after_change()
            if not begins:
                return (0, 0) if stop is None else None
            self._position = min(begins)
        if stop is not None and self._position >= stop:
            return None
        # Frames that have not arrived are waited for: silence behind the last packet may be the end, or a gap whose
        # length only the next packet shows.
        due = max(self._position + self.available(self._position), self._overflow_position())
        if estimate is None and any(tap.stream.endless for tap, _ in self._taps):
            if self._began_ns is None:
                self._began_ns = local_ns
            due = min(due, frames_in(local_ns - self._began_ns, self.format.rate))
        if estimate is not None:
            due = min(due, frame_at(estimate.reference_at(local_ns), self.format.rate) + 1)
        if last is not None and (stop is not None or estimate is None):
            due = min(due, last)  # without a clock, what follows after a change is waited for
        if estimate is not None:
            self._limit_to_real_time(due, local_ns)
        position = self._position
        count = max(0, min(due - position, limit))
        self._position += count
        self._frames_read += count
        return position, count

    def _end_without_frames(self, estimate: ClockEstimate | None, local_ns: int) -> None:
        # An input that is to end, and has not brought the frames before that in time, ends where it is.
        change = self._change
        if change is None or change.taps is not None or change.frame is None or change.passed_at is not None:
            return
        now = None if estimate is None else frame_at(estimate.reference_at(local_ns - PATIENCE_NS), self.format.rate)
        if now is not None and now >= change.frame:
            change.passed_at = self._last = (
                change.frame if self._position is None else min(self._position, change.frame)
            )
            self._position = self._last

    def _begins_after_change(self) -> list[int]:
        # Where reading begins if the present taps have never had a frame, and are about to be left.
        change = self._change
        if change is None or not change.armed or change.passed_at is not None:
            return []
        if change.frame is not None and change.frame > AT_ONCE:
            return [change.frame]
        return [tap.begin for tap, _ in change.taps or () if tap.begin is not None]

    def _overflow_position(self) -> int:
        # A silent source must not make the others' rings overflow: at the sink's frame that this returns, half of some
        # ring is full of frames that were not read.
        return max(
            tap.stream.head + tap.delay_frames - tap.stream.ring.capacity // 2
            if tap.stream.clock is not None and tap.stream.first is not None
            else -ENDLESS
            for tap, _ in self._taps
        )

    def _apply_media_jump(self, estimate: ClockEstimate | None, local_ns: int) -> None:
        # Where media time jumps (another grandmaster, or one that finds the time of day), reading continues without
        # the years between, and without repeating hours.
        before, self._estimate = self._estimate, estimate
        if before is None or estimate is None or estimate is before or self._position is None:
            return
        if estimate.jumped_since(before):
            rate = self.format.rate
            self._jump(frame_at(estimate.reference_at(local_ns), rate) - frame_at(before.reference_at(local_ns), rate))

    def _jump(self, frames: int) -> None:
        assert self._position is not None, "reading has begun"
        self._position += frames
        if frames:
            before = self.figures.latest
            self.figures.publish(replace(before, media_time_jumps=before.media_time_jumps + 1, last_jump_frames=frames))

    def _limit_to_real_time(self, due: int, local_ns: int) -> None:
        # However media time runs: no more is read than real time has passed, and what the rings may have held before.
        if self._began_ns is None:
            self._began_ns = local_ns
        passed = frames_in(local_ns - self._began_ns, self.format.rate)
        held = max(tap.stream.ring.capacity + tap.delay_frames for tap, _ in self._taps)
        assert self._position is not None, "reading has begun"
        excess = due - self._position - (held + passed + passed // 100 - self._frames_read)
        if excess > 0:
            self._jump(excess)

    def _stop(self) -> int | None:
        # The sink's frame after the last, once that is known; a change of the input goes on behind its end.
        change = self._change
        if change is not None and change.taps and change.passed_at is None:
            return None
        return self._last_frame()

    def _last_frame(self) -> int | None:
        # The sink's frame after the last of the present taps, once they have all ended.
        last = 0
        for tap, _ in self._taps:
            stop = tap.stop
            if stop is None:
                return self._last
            last = max(last, stop)
        return last if self._last is None else min(last, self._last)

    def read(self, frame: int, out: Frames, local_ns: int) -> int:
        """See `Input.read`."""
        self._pass_change(frame, len(out), local_ns)
        left = self._left
        if left is None or frame >= left[2]:
            self._left = None
            _fill(self._taps, frame, out, local_ns)
        else:
            before = max(0, left[1] - frame)
            if before:
                _fill(left[0], frame, out[:before], local_ns)
            if before < len(out):
                begin_ns = local_ns + duration_of(before, self.format.rate)
                _fill(self._taps, frame + before, out[before:], begin_ns)
                self._fade(left, frame + before, out[before:], begin_ns)
        return self._before_end(frame, len(out))

    def _fade(self, left: tuple[ChannelTaps, int, int], frame: int, out: Frames, local_ns: int) -> None:
        # Mixes what is left into the beginning of a block of the new input, linearly.
        taps, first, end = left
        count = min(end - frame, len(out))
        if count > 0:
            before = np.empty((count, out.shape[1]), np.float32)
            _fill(taps, frame, before, local_ns)
            share = (np.arange(frame - first, frame - first + count, dtype=np.float32) + 0.5) / np.float32(end - first)
            out[:count] += (1 - share[:, np.newaxis]) * (before - out[:count])

    def _pass_change(self, frame: int, count: int, local_ns: int) -> None:
        # Before every block: lets new taps run beside the old ones, and changes to them at their frame.
        change = self._change
        if change is None or change.passed_at is not None:
            return
        first = change.first_frame(frame, count, local_ns, self.format.rate)
        ahead = count if first is None else first - frame
        if ahead and change.taps:
            present = self.taps
            for tap, _ in change.taps:
                if isinstance(tap, CrossingTap) and tap not in present:
                    tap.skip(frame, ahead, local_ns)
        if first is None:
            return
        if change.taps is None:
            self._last = first
        else:
            before, self._taps = self._taps, change.taps
            self._left = before, first, first + change.fade_frames
            kept = self.taps
            for tap, _ in before:
                self._missing_before += tap.missing_frames
                if tap not in kept and not change.fade_frames:
                    tap.suspend()
            for tap, _ in change.taps:
                self._missing_before -= tap.missing_frames
                tap.resume()
        change.passed_at = first

    def raw_samples(self, encoding: Encoding, together: int = 1) -> RawSampleReader | None:
        """See `Input.raw_samples`."""
        reader = _RawReader(encoding, together)

        def received(frame: int, out: NDArray[np.uint8]) -> NDArray[np.bool_]:
            there = np.zeros(out.shape[:2], np.bool_)
            left = self._left
            first, end = (frame, frame) if left is None or frame >= left[2] else left[1:]
            before, faded = max(0, first - frame), max(0, end - frame)  # what is faded is no longer as it was received
            if left is not None and before:
                reader.read(left[0], frame, out[:before], there[:before])
            reader.read(self._taps, frame + faded, out[faded:], there[faded:])
            return there

        return received if reader.parts(self._taps) else None

    def skip_frames(self, frame: int, count: int, local_ns: int) -> int:
        """As `read`, without the samples."""
        self._pass_change(frame, count, local_ns)
        left = self._left
        before = 0 if left is None else min(count, max(0, left[1] - frame))
        if left is not None and before:
            _skip(left[0], frame, before, local_ns)
        if before < count:
            _skip(self._taps, frame + before, count - before, local_ns + duration_of(before, self.format.rate))
        return self._before_end(frame, count)

    def _before_end(self, frame: int, count: int) -> int:
        # After every block: how many of its frames come before the end. Counts what was missing.
        if self.first_frame is None:
            self.first_frame = frame
        self.next_frame = frame + count
        before = self.figures.latest
        missing_frames = self._missing_before
        for tap, _ in self._taps:
            missing_frames += tap.missing_frames
        was_in_gap, self._in_gap = self._in_gap, missing_frames > before.missing_frames
        if self._in_gap:
            underruns = before.underruns + (not was_in_gap)
            self.figures.publish(replace(before, underruns=underruns, missing_frames=missing_frames))
        stop = self._stop()
        return count if stop is None else min(max(0, stop - frame), count)


def _available(taps: ChannelTaps, frame: int) -> int:
    return min(tap.available(frame) for tap, _ in taps)


def _fill(taps: ChannelTaps, frame: int, out: Frames, local_ns: int) -> None:
    channel = 0
    for tap, channels in taps:
        width = tap.stream.format.channels
        if channels is None and width == out.shape[1]:
            tap.fill(frame, out, local_ns)
            break
        part = np.empty((len(out), width), np.float32)
        tap.fill(frame, part, local_ns)
        taken = part if channels is None else part[:, channels]
        out[:, channel : channel + taken.shape[1]] = taken
        for silent in () if channels is None else (at for at, of in enumerate(channels) if of < 0):
            out[:, channel + silent] = 0.0
        channel += taken.shape[1]


def _skip(taps: ChannelTaps, frame: int, count: int, local_ns: int) -> None:
    for tap, _ in taps:
        tap.skip(frame, count, local_ns)


class _RawReader:
    """Reads samples as they were received, of the channels that are copied from streams of one encoding."""

    def __init__(self, encoding: Encoding, together: int) -> None:
        self._encoding = encoding
        self._together = together
        self._taps: ChannelTaps | None = None
        self._parts: list[tuple[AlignedTap, list[int], list[int]]] = []

    def parts(self, taps: ChannelTaps) -> list[tuple[AlignedTap, list[int], list[int]]]:
        """Taps with channels of the sink, and the tap's channels that they are."""
        if taps is self._taps:
            return self._parts
        parts: list[tuple[AlignedTap, list[int], list[int]]] = []
        begin, together = 0, self._together
        for tap, channels in taps:
            taken = list(range(tap.stream.format.channels) if channels is None else channels)
            if isinstance(tap, AlignedTap) and tap.stream.format.encoding is self._encoding:
                kept = [
                    at + more
                    for at in range(-begin % together, len(taken) - together + 1, together)
                    if taken[at] >= 0
                    and taken[at] % together == 0
                    and taken[at : at + together] == list(range(taken[at], taken[at] + together))
                    for more in range(together)
                ]
                if kept:
                    parts.append((tap, [begin + at for at in kept], [taken[at] for at in kept]))
            begin += len(taken)
        self._taps, self._parts = taps, parts
        return parts

    def read(self, taps: ChannelTaps, frame: int, out: NDArray[np.uint8], there: NDArray[np.bool_]) -> None:
        """Fill ``out`` from the sink's frame on, and mark in ``there`` what is filled."""
        for tap, to, of in self.parts(taps):
            part = np.empty((len(out), tap.stream.format.channels, self._encoding.sample_bytes), np.uint8)
            there[:, to] = tap.copy(frame, part.reshape(len(out), -1))[:, None]
            out[:, to] = part[:, of]
