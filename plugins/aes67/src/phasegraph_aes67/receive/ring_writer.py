"""Writes the frames of one received stream into its ring, and counts what is missing there. Sans-IO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasegraph import Encoding, Stream, time_of_frame

from ..aes3 import Aes3Flags
from .diagnosis import PLAUSIBLE_NS


class RingWriter:
    """The one place where packets become frames of the stream. The data plane alone calls it.

    ``frames_concealed`` follows from three numbers: the first frame, the frame after the newest, and how many frames
    were written between them. ``gaps`` is how many stretches the missing frames make.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        format = stream.format
        self._aes3 = Aes3Flags(format.channels) if format.encoding is Encoding.AM824 else None
        self._frames_written = 0
        self.gaps = 0
        """Stretches of missing frames between the first frame and the newest."""

    @property
    def audio(self) -> bool:
        """Whether the newest AES3 block is linear PCM on every channel; always true of other encodings."""
        return self._aes3 is None or self._aes3.audio

    @property
    def frames_concealed(self) -> int:
        """Frames between the first and the newest that did not arrive in time."""
        first = self.stream.first
        if first is None:
            return 0
        # Media time that passes twice, after its clock was set back, has more frames than it has room for.
        return max(0, self.stream.head - first - self._frames_written)

    def write_packets(self, frame: int, frames: int, payload: NDArray[np.uint8], arrival_ns: int) -> None:
        """Write ``frames`` encoded frames at index ``frame``; the last arrived at local time ``arrival_ns``.

        A frame that is there stays: another sender, or another count of the same one, fills only what is missing.
        """
        stream = self.stream
        if self._aes3 is not None:
            payload = self._aes3.marked(payload)
        if frame == stream.head and stream.first is not None:
            self._frames_written += frames
            stream.ring.write(frame, payload)
            stream.mark_written(frame, frame + frames, arrival_ns)
            return
        if frame < stream.head and stream.first is not None:
            there = stream.ring.valid(frame, frames)
            if there.any():
                payload = payload.reshape(frames, -1)
                edges = np.flatnonzero(np.diff(there, prepend=True, append=True)).reshape(-1, 2)
                for start, stop in edges.tolist():
                    self._write_missing(frame + start, stop - start, payload[start:stop], arrival_ns)
                return
        self._write_missing(frame, frames, payload, arrival_ns)

    def _write_missing(self, frame: int, frames: int, payload: NDArray[np.uint8], arrival_ns: int) -> None:
        stream = self.stream
        self._frames_written += frames
        if stream.first is None:
            pass
        elif frame < stream.head:
            self.gaps += self._gap_change(frame, frame + frames)
        elif frame > stream.head:
            self.gaps += 1
            passed_ns = arrival_ns - stream.arrivals[-1][1] if stream.arrivals else 0
            if time_of_frame(frame - stream.head, stream.format.rate) > passed_ns + PLAUSIBLE_NS:
                self._frames_written += frame - stream.head  # media time jumped: nothing was sent in between
        stream.ring.write(frame, payload)
        stream.mark_written(frame, frame + frames, arrival_ns)

    def _gap_change(self, frame: int, stop: int) -> int:
        # How many gaps there are more once these frames, which begin behind the head, are written: seen from the frame
        # before them to the frame after them.
        first, head = self.stream.first, self.stream.head
        assert first is not None
        index = np.arange(frame - 1, stop + 1)
        before = self.stream.ring.valid(frame - 1, len(index)) | (index < first) | (index >= head)
        after = before.copy()
        after[1:-1] = True
        after[-1] &= stop >= first
        return _stretches(~after) - _stretches(~before)


def _stretches(there: NDArray[np.bool_]) -> int:
    return int(there[0]) + int(np.count_nonzero(there[1:] & ~there[:-1]))
