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
    """What a stream is made of."""

    rate: int
    """Frames per second."""
    channels: int
    encoding: Encoding = Encoding.FLOAT32
    """The least encoding that holds the samples without loss; sinks use it as their default."""

    def __str__(self) -> str:
        return f"{self.encoding} {self.rate / 1000:g} kHz {self.channels} ch"


ARRIVALS = 64
"""Arrivals that a stream remembers: as many as come between two blocks of a sink, and more."""


class ClockReader(Protocol):
    """Anything that has a newest clock estimate."""

    def estimate(self) -> ClockEstimate:
        """The newest snapshot; never waits."""


class ReaderPosition:
    """How far one reader has come."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = 0
        """Index after the last frame that was taken."""


class Stream:
    """What a source offers: its format, its clock, its ring, and where it begins and ends.

    Frame ``n`` sounds at clock time ``n / rate + playout_delay``. A stream without a clock (a file, a tone) is
    paced by whoever reads it: its frames count from 0 and are due as soon as they are written.
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
    ) -> None:
        """``window_ns`` is how much of the stream the ring holds.

        ``conceal`` has gaps faded over where they are read; otherwise they are silence.

        ``endless`` marks a stream without a clock that goes on for ever (a tone): a sink without a clock takes it at
        the pace of local time, not as fast as it comes.
        """
        self.endless = endless
        self.conceal = conceal
        self.format = format
        self.clock = clock
        self.playout_delay_frames = frames_in(playout_delay_ns, format.rate)
        """Link offset in frames: how long after its media time a frame sounds."""
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
        """(frame, local time): when all before the frame had arrived, oldest first."""
        self.on_read: Callable[[], object] = _nothing
        """Called by readers before they look: a source that keeps its stream in step with jumps of its clock does so
        here, on the data plane, since readers may see a jump before the next packet does."""
        self.readers: list[ReaderPosition] = []
        """Who reads this stream in sequence; the source of a stream without a clock waits for the slowest."""
        self._away: list[ReaderPosition] = []
        """Of these the ones that take nothing for now, so that nobody is to wait for them."""

    @property
    def playout_delay_ns(self) -> int:
        """Link offset in nanoseconds."""
        return duration_of(self.playout_delay_frames, self.format.rate)

    @property
    def room(self) -> int:
        """Frames that can be written before one that a reader still wants is lost."""
        return self.ring.capacity - (self.head - self._taken(self.head))

    def _taken(self, default: int) -> int:
        # How far the slowest has come of those who read; of those who are to come back, where nobody does.
        reading = [cursor.position for cursor in self.readers if cursor not in self._away]
        return min(reading or (cursor.position for cursor in self.readers), default=default)

    def leave(self, reader: ReaderPosition, *, for_good: bool) -> None:
        """Not wait for this reader any more. Where the last leaves for good, the stream ends."""
        if not for_good:
            self._away.append(reader)
        elif reader in self.readers:
            if len(self.readers) == 1:
                self.stop()
            self.readers.remove(reader)

    def come_back(self, reader: ReaderPosition) -> None:
        """Wait for this reader again, who goes on where the others are."""
        reader.position = max(reader.position, self._taken(reader.position))
        self._away = [other for other in self._away if other is not reader]

    def mark_written(self, start: int, end: int, arrived_ns: int | None = None) -> None:
        """Say that frames ``start .. end`` are in the ring. Called by the source after it wrote them.

        ``arrived_ns`` is the local time at which the last of them arrived, where the source has a stamp of it.
        """
        if self.first is not None and end < self.head - self.ring.capacity:
            # Too far back to be late: media time itself has jumped back.
            self.first, self.head = start, end
        if self.first is None or start < self.first:
            self.first = start
        if start != self.head:
            self.contiguous_from = max(self.head, start)
        if arrived_ns is not None and end > self.head:
            self.arrivals.append((end, arrived_ns))
        self.head = max(self.head, end)

    def shift(self, by: int) -> None:
        """Move what there is by so many frames: media time has jumped, and the stream goes on at its new time."""
        self.ring.shift(by)
        if self.first is not None:
            self.first += by
        self.head += by
        self.contiguous_from += by
        self.arrivals = deque(((frame + by, local_ns) for frame, local_ns in self.arrivals), maxlen=ARRIVALS)

    def finish(self) -> None:
        """Say that nothing comes after what has been written. The first call counts."""
        if self.end is None:
            self.end = self.head

    def stop(self) -> None:
        """End the stream where it is being played: what lies ready of a stream without a clock is left out."""
        if self.end is None and self.clock is None and self.readers:
            self.end = max(cursor.position for cursor in self.readers)
        self.finish()


def _nothing() -> None:
    pass
