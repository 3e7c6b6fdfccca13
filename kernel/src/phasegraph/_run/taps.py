"""Edges, seen from their sinks.

Where both ends run on one clock a tap copies by absolute index, so that the samples stay bit-exact and the latency is
the link offset to the frame. A stream without a clock is read in sequence, at the pace of the sink. Edges
that cross clock domains are in ``crossing``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from .._core.samples import Encoded, Frames
from .._core.stream import ReaderPosition, Stream
from .concealment import stream_reader

ENDLESS = 1 << 62
"""More frames than any stream has."""


class Tap(ABC):
    """One edge, seen from its sink. As it stands, no reader of its stream holds the stream up."""

    def __init__(self, stream: Stream, delay_frames: int | None = None) -> None:
        """``delay_frames`` is the stream's link offset, if it is not given."""
        self.stream = stream
        self.delay_frames = stream.playout_delay_frames if delay_frames is None else delay_frames
        """How many frames after its own a frame of the stream sounds: the link offset; 0 where frames follow each
        other."""
        self.missing_frames = 0
        """Frames that were due and had not arrived."""
        self.device = ""
        """See `Input.set_device`. Set before the first block."""

    @property
    def begin(self) -> int | None:
        """The sink's frame at which this input begins; None while that is unknown, or where the sink decides it."""
        return None

    @property
    @abstractmethod
    def stop(self) -> int | None:
        """The sink's frame after this input's last; None while it goes on."""

    @abstractmethod
    def available(self, frame: int) -> int:
        """How many frames from the sink's frame on have arrived."""

    @abstractmethod
    def fill(self, frame: int, out: Frames, local_ns: int) -> None:
        """Fill ``out`` from the sink's frame on, silence where there is nothing."""

    @abstractmethod
    def skip(self, frame: int, count: int, local_ns: int) -> None:
        """As `fill`, without the samples."""

    def attach(self) -> None:  # noqa: B027
        """Be a reader of the stream; of one that is read by others already, not an active one."""

    def start_here(self) -> None:  # noqa: B027
        """Begin with the next frame that arrives, where the stream runs already."""

    def suspend(self) -> None:  # noqa: B027
        """Read nothing for now: a source that its readers pace does not wait."""

    def resume(self) -> None:  # noqa: B027
        """Read, for the first time or after `suspend`."""

    def detach(self) -> None:  # noqa: B027
        """Never read again."""


class AlignedTap(Tap):
    """An edge within one clock domain: the source's frame n is the sink's frame n + link offset."""

    def __init__(self, stream: Stream, delay_frames: int | None = None) -> None:
        """See `Tap`."""
        super().__init__(stream, delay_frames)
        self._read = stream_reader(stream)
        self._start: int | None = None
        """The first frame of the stream that is read, where it ran before. Written by the control plane before reading
        begins."""

    def start_here(self) -> None:
        """See `Tap.start_here`."""
        if self.stream.first is not None:
            self._start = self.stream.head

    @property
    def begin(self) -> int | None:
        """See `Tap.begin`."""
        first = self.stream.first if self._start is None else self._start
        return None if first is None else first + self.delay_frames

    @property
    def stop(self) -> int | None:
        """See `Tap.stop`."""
        return None if self.stream.end is None else self.stream.end + self.delay_frames

    def available(self, frame: int) -> int:
        """See `Tap.available`."""
        return ENDLESS if self.stream.end is not None else self.stream.head + self.delay_frames - frame

    def fill(self, frame: int, out: Frames, local_ns: int) -> None:
        """See `Tap.fill`."""
        self._start = None
        self.stream.on_read()
        self._count(frame, len(out), self._read(frame - self.delay_frames, out))

    def skip(self, frame: int, count: int, local_ns: int) -> None:
        """See `Tap.skip`."""
        self._start = None
        self._count(frame, count, count - self.stream.ring.holds(frame - self.delay_frames, count))

    def copy(self, frame: int, out: Encoded) -> NDArray[np.bool_]:
        """The frames as they were received, beside `fill`, and which of them are there."""
        return self.stream.ring.copy(frame - self.delay_frames, out)

    def _count(self, frame: int, count: int, missing: int) -> None:
        if missing and self.stream.first is not None:
            # Silence before the first packet and after the last is not a loss.
            begin = self.begin or 0
            stop = self.stop or ENDLESS
            outside = max(0, begin - frame) + max(0, frame + count - stop)
            self.missing_frames += max(0, missing - outside)


class SequentialTap(Tap):
    """An edge from a stream without a clock: frames follow each other at the pace of the sink."""

    def __init__(self, stream: Stream, *, attached: bool = True) -> None:
        """``attached``: read the stream from its beginning. Otherwise `attach` and `resume` do, where others are."""
        super().__init__(stream, 0)
        self.reader = stream.add_reader() if attached else ReaderPosition(active=False)
        self._offset: int | None = None

    def attach(self) -> None:
        """See `Tap.attach`."""
        self.stream.add_reader(self.reader)

    def suspend(self) -> None:
        """See `Tap.suspend`."""
        self.stream.suspend_reader(self.reader)

    def resume(self) -> None:
        """See `Tap.resume`."""
        self.stream.resume_reader(self.reader)

    def detach(self) -> None:
        """See `Tap.detach`."""
        self.stream.remove_reader(self.reader)

    @property
    def stop(self) -> int | None:
        """See `Tap.stop`."""
        if self.stream.end is None:
            return None
        return self.stream.end + (self._offset or 0)

    def available(self, frame: int) -> int:
        """See `Tap.available`."""
        return ENDLESS if self.stream.end is not None else self.stream.head - self.reader.position

    def fill(self, frame: int, out: Frames, local_ns: int) -> None:
        """See `Tap.fill`. Frames that are written too late are not lost: they follow after the silence."""
        position = self.reader.position
        there = self._pass(frame, len(out))
        self.stream.ring.read(position, out[:there])
        out[there:] = 0.0

    def skip(self, frame: int, count: int, local_ns: int) -> None:
        """See `Tap.skip`."""
        self._pass(frame, count)

    def _pass(self, frame: int, count: int) -> int:
        # Moves on by what is there of ``count`` frames, and returns how many that are.
        there = min(count, self.stream.head - self.reader.position)
        if self.stream.end is None:
            self.missing_frames += count - there
        self.reader.position += there
        self._offset = frame + there - self.reader.position
        return there
