"""A stream: a function from absolute frame index to samples, and the window of it that a source has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from .clock import ClockEstimate, duration_of, frames_in
from .ring import MediaRing
from .samples import Encoding


class StreamFormat(msgspec.Struct, frozen=True):
    """Rate, channels and encoding of a stream."""

    rate: int
    """Frames per second."""
    channels: int
    encoding: Encoding = Encoding.FLOAT32
    """The least encoding that holds the samples without loss; sinks use it as their default."""

    def __str__(self) -> str:
        return f"{self.encoding} {self.rate / 1000:g} kHz {self.channels} ch"


ARRIVALS = 64
"""Arrivals that a stream remembers: more than arrive between two blocks of a sink."""


class ClockReader(Protocol):
    """Anything that has a newest clock estimate."""

    def estimate(self) -> ClockEstimate:
        """The newest snapshot; never waits."""


class ReaderPosition:
    """How far one reader has read.

    Written by the step of the reader's sink, and by the control plane while that is detached.
    """

    __slots__ = ("active", "position")

    def __init__(self, *, active: bool = True) -> None:
        self.position = 0
        """Index after the last frame that was read."""
        self.active = active
        """Whether the source waits for it."""


def _do_nothing() -> None:
    pass


class Stream:
    """What a source offers: its format, its clock, its ring, and where it begins and ends.

    Frame ``n`` sounds at clock time ``n / rate + playout_delay``. A stream without a clock (a file, a tone) is
    paced by its readers: its frames count from 0 and are due as soon as they are written.

    Threads: the source's step writes the ring, ``first``, ``head``, ``contiguous_from`` and ``arrivals``, on the data
    plane. Readers are steps of sinks, on the same thread. The control plane replaces the tuples of readers as a whole
    and sets ``end`` once; a step sees the old or the new value.
    """

    def __init__(
        self,
        format: StreamFormat,
        *,
        window_ns: int,
        clock: ClockReader | None = None,
        playout_delay_ns: int = 0,
        endless: bool = False,
        conceal: bool = False,
        on_read: Callable[[], object] = _do_nothing,
    ) -> None:
        """``window_ns`` is how much of the stream the ring holds.

        ``endless`` marks a stream without a clock that never ends (a tone): a sink without a clock reads it at the
        pace of local time, not as fast as it can.

        ``conceal`` has gaps filled where they are read; otherwise they are silence.

        ``on_read`` is called on the data plane before every read. A source that keeps its stream in step with jumps of
        its clock does so there, since readers may see a jump before the next packet does.
        """
        self.endless = endless
        self.conceal = conceal
        """Written by the control plane."""
        self.format = format
        self.clock = clock
        self.on_read = on_read
        self.playout_delay_frames = frames_in(playout_delay_ns, format.rate)
        """Link offset in frames: how long after its media time a frame sounds. Written by the control plane."""
        self.ring = MediaRing(format.channels, max(1, frames_in(window_ns, format.rate)), format.encoding)
        self.first: int | None = None
        """Index of the earliest frame that was written; None before there is one."""
        self.head = 0
        """Index after the last frame that was written."""
        self.end: int | None = None
        """Index after the last frame that will ever come; None while the source goes on."""
        self.contiguous_from = 0
        """From this index to the head no frame is missing."""
        self.arrivals: deque[tuple[int, int]] = deque(maxlen=ARRIVALS)
        """(frame, local time): when all frames before this one had arrived, oldest first."""
        self.readers: tuple[ReaderPosition, ...] = ()
        """Readers in sequence; the source of a stream without a clock waits for the slowest."""

    def change_playout_delay(self, delay_ns: int) -> None:
        """Another link offset, for readers from now on. Called by the control plane; the ring must be long enough."""
        self.playout_delay_frames = frames_in(delay_ns, self.format.rate)

    @property
    def playout_delay_ns(self) -> int:
        """Link offset in nanoseconds."""
        return duration_of(self.playout_delay_frames, self.format.rate)

    @property
    def room(self) -> int:
        """Frames that can be written before one that a reader still wants is lost."""
        return self.ring.capacity - (self.head - self._slowest(self.head))

    def _slowest(self, default: int) -> int:
        # The position of the slowest active reader; of the suspended ones where none is active.
        active = [reader.position for reader in self.readers if reader.active]
        return min(active or (reader.position for reader in self.readers), default=default)

    def add_reader(self, reader: ReaderPosition | None = None) -> ReaderPosition:
        """A reader in sequence, from the beginning; or one that begins where the others are, and that `resume_reader`
        activates."""
        if reader is None:
            reader = ReaderPosition()
        elif reader not in self.readers:
            reader.position = self._slowest(0)
        if reader not in self.readers:
            self.readers = (*self.readers, reader)
        return reader

    def remove_reader(self, reader: ReaderPosition) -> None:
        """Never wait for this reader again. Without its last reader the stream ends."""
        if reader in self.readers:
            if len(self.readers) == 1:
                self.stop()
            self.readers = tuple(other for other in self.readers if other is not reader)

    def suspend_reader(self, reader: ReaderPosition) -> None:
        """Not wait for this reader until `resume_reader`."""
        reader.active = False

    def resume_reader(self, reader: ReaderPosition) -> None:
        """Wait for this reader again. It continues where the others are."""
        reader.position = max(reader.position, self._slowest(reader.position))
        reader.active = True

    def mark_written(self, start: int, end: int, arrived_ns: int | None = None) -> None:
        """Record that frames ``start .. end`` are in the ring. Called by the source after it wrote them.

        ``arrived_ns`` is the local time at which the last of them arrived, where the source has a stamp of it.
        """
        if self.first is not None and end < self.head - self.ring.capacity:
            # Too far back to be late: media time itself has jumped back.
            self.first, self.head = start, end
        if self.first is None or start < self.first:
            self.first = start
        if start != self.head:
            self.contiguous_from = max(self.head, start)
        if end > self.head:
            self.head = end
            if arrived_ns is not None:
                self.arrivals.append((end, arrived_ns))

    def shift(self, by: int) -> None:
        """Move all frames by this many: media time has jumped, and the stream continues at its new time."""
        self.ring.shift(by)
        if self.first is not None:
            self.first += by
        self.head += by
        self.contiguous_from += by
        self.arrivals = deque(((frame + by, local_ns) for frame, local_ns in self.arrivals), maxlen=ARRIVALS)

    def finish(self) -> None:
        """Declare that nothing comes after what has been written. The first call counts."""
        if self.end is None:
            self.end = self.head

    def stop(self) -> None:
        """End the stream where it is being read: without a clock, frames that no reader has read are left out."""
        if self.end is None and self.clock is None and self.readers:
            self.end = max(reader.position for reader in self.readers)
        self.finish()
