"""Memory that the data plane and a sound card's callback share: frames, counters, and the stamps of callbacks.

The callback runs in another thread or, for real cards, in another process. Each ring has one writer and one reader. The
rule: every counter is written by one side alone, and is moved after the work that it counts, so that no side waits.

| counter | written by |
|---|---|
| called, lost_frames, lost_cycles, underruns, stamps_written, largest, clock_offset_ns | the card's side |
| skipped, begin, end, last, stamps_read, taken, overruns | the data plane |
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np

from phasegraph import Frames

_SAMPLE_BYTES = 4
_COUNTERS = 32
_STAMP = struct.Struct("<qqddqq")
_MOST_STAMPS = 4096
"""Callbacks that may run while the data plane does not: seconds."""
_STAMPS_AT = _COUNTERS * 8
_FRAMES_AT = _STAMPS_AT + _MOST_STAMPS * _STAMP.size


class CallbackStamp(msgspec.Struct, frozen=True, gc=False):
    """What one callback noted."""

    called: int
    """Frames that the card had asked for (or given) before this callback."""
    count: int
    """Frames of this callback."""
    device_s: float
    """When its first frame sounds (or was captured), in the card's time."""
    now_s: float
    """The card's time at the callback."""
    entry_ns: int
    """Local time at the callback."""
    xrun: bool
    """The driver reported that frames were lost before this callback."""


class _Counter:
    # One integer of the shared memory, as an attribute.

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, ring: CardMemory, owner: type) -> int:
        return ring.counters[self._index]

    def __set__(self, ring: CardMemory, value: int) -> None:
        ring.counters[self._index] = value


def memory_bytes(channels: int, capacity: int) -> int:
    """Size of the memory of a ring."""
    return _FRAMES_AT + channels * capacity * _SAMPLE_BYTES


class CardMemory:
    """What both directions have in common."""

    called = _Counter(0)
    """Frames that the card has asked for, or given, those of lost cycles included."""
    lost_frames = _Counter(1)
    """Frames of cycles that the callback missed, by the driver's own count; they are part of ``called``."""
    lost_cycles = _Counter(2)
    underruns = _Counter(3)
    """Callbacks that found too few frames, after the first frame and before the last."""
    largest = _Counter(4)
    """Frames of the largest callback."""
    clock_offset_ns = _Counter(5)
    """The clock of the driver less local time, where it is none of the system's."""
    skipped = _Counter(8)
    """Frames that have passed without a callback, as the card's time shows."""
    begin = _Counter(9)
    """Frames ``begin .. end`` have been written; all others are silence."""
    end = _Counter(10)
    taken = _Counter(11)
    """Frames that the data plane has read, or lost."""
    overruns = _Counter(12)
    """Times that the data plane came too late and lost frames."""
    _last = _Counter(13)
    _stamps_written = _Counter(16)
    _stamps_read = _Counter(17)

    def __init__(self, channels: int, capacity: int, memory: Any = None) -> None:
        """``memory``: a writable buffer of `memory_bytes`, all zero when new; private memory if left out."""
        self.channels = channels
        self.capacity = capacity
        if memory is None:
            memory = bytearray(memory_bytes(channels, capacity))
        view = memoryview(memory)
        self.counters = view[:_STAMPS_AT].cast("q")
        self._stamps = view[_STAMPS_AT:_FRAMES_AT]
        self._bytes = view[_FRAMES_AT : memory_bytes(channels, capacity)]
        self._frames: Frames = np.frombuffer(self._bytes, np.float32).reshape(capacity, channels)
        self._size = channels * _SAMPLE_BYTES

    @property
    def last(self) -> int | None:
        """Frame after the input's last; None while the input goes on."""
        return self._last - 1 if self._last else None

    @last.setter
    def last(self, frame: int) -> None:
        """Set by the data plane, once."""
        self._last = frame + 1

    def note_callback(self, called: int, count: int, device_s: float, now_s: float, entry_ns: int, xrun: bool) -> None:
        """Callback: append a stamp, as in `CallbackStamp`, over the oldest."""
        written = self._stamps_written
        _STAMP.pack_into(
            self._stamps, written % _MOST_STAMPS * _STAMP.size, called, count, device_s, now_s, entry_ns, xrun
        )
        if count > self.largest:
            self.largest = count
        self._stamps_written = written + 1

    def read_stamps(self) -> list[CallbackStamp]:
        """Data plane: the stamps since the last call; the newest of them where there were too many."""
        written = self._stamps_written
        first = max(self._stamps_read, written - _MOST_STAMPS // 2)
        self._stamps_read = written
        return [self._stamp(index) for index in range(first, written)]

    def _stamp(self, index: int) -> CallbackStamp:
        called, count, device_s, now_s, entry_ns, xrun = _STAMP.unpack_from(
            self._stamps, index % _MOST_STAMPS * _STAMP.size
        )
        return CallbackStamp(called, count, device_s, now_s, entry_ns, bool(xrun))


class PlayRing(CardMemory):
    """From the data plane (`write_frames`) to the callback (`play`), by the card's frame number.

    The callback counts in ``called`` the frames that it was asked for. ``skipped`` more have passed without it, as the
    card's time shows; together they are the number of the next frame.
    """

    def __init__(self, channels: int, capacity: int, memory: Any = None) -> None:
        super().__init__(channels, capacity, memory)
        self._silence = bytes(len(self._bytes))

    @property
    def position(self) -> int:
        """The frame that the callback plays next."""
        return self.called + self.skipped

    def write_frames(self, first: int, frames: Frames) -> None:
        """Data plane: give frames from ``first`` on, not before ``end``; missing channels are silence.

        At most ``capacity`` frames after `position` find room.
        """
        at, width = first % self.capacity, frames.shape[1]
        head = min(len(frames), self.capacity - at)
        self._frames[at : at + head, :width] = frames[:head]
        self._frames[: len(frames) - head, :width] = frames[head:]
        if first != self.end:
            self.begin = first
        self.end = first + len(frames)

    def play(self, out: Any, count: int) -> None:
        """Callback: fill ``out`` (a writable buffer of bytes) with the next ``count`` frames."""
        size = self._size
        if count > self.capacity:
            self.play(out[: self.capacity * size], self.capacity)
            self.play(out[self.capacity * size :], count - self.capacity)
            return
        called = self.called
        first = called + self.skipped
        stop = first + count
        written_begin, written_end, last = self.begin, self.end, self.last
        begin, end = max(written_begin, first), min(written_end, stop)
        if begin >= end:  # no frame is there
            out[: count * size] = self._silence[: count * size]
            if written_begin < written_end <= first and (last is None or first < last):
                self.underruns += 1
        else:
            before = (begin - first) * size
            out[:before] = self._silence[:before]
            at = begin % self.capacity
            head = min(end - begin, self.capacity - at)
            middle = before + head * size
            after = before + (end - begin) * size
            out[before:middle] = self._bytes[at * size : (at + head) * size]
            out[middle:after] = self._bytes[: after - middle]
            out[after : count * size] = self._silence[: count * size - after]
            if end < stop and (last is None or end < last):
                self.underruns += 1
        self.called = called + count


class CaptureRing(CardMemory):
    """From the callback (`capture`) to the data plane (`read_until`), in sequence."""

    def capture(self, data: Any, count: int) -> None:
        """Callback: append ``count`` frames from a buffer of bytes, over the oldest."""
        if count > self.capacity:
            self.capture(data[: self.capacity * self._size], self.capacity)
            self.capture(data[self.capacity * self._size :], count - self.capacity)
            return
        if count > self.largest:
            self.largest = count
        called = self.called
        at = called % self.capacity
        head = min(count, self.capacity - at) * self._size
        self._bytes[at * self._size : at * self._size + head] = data[:head]
        self._bytes[: count * self._size - head] = data[head : count * self._size]
        self.called = called + count

    def skip_lost(self, count: int) -> None:
        """Callback: ``count`` frames were lost; silence stands in their place."""
        while count > 0:
            part = min(count, self.capacity)
            self.capture(bytes(part * self._size), part)
            count -= part

    def read_until(self, stop: int) -> tuple[int, Frames]:
        """Data plane: the frames up to ``stop`` (at most ``called``) since the last call, and the number of the first.

        Frames that the callback may be writing over are left out.
        """
        first = max(self.taken, stop - self.capacity)
        at, count = first % self.capacity, stop - first
        head = min(count, self.capacity - at)
        frames: Frames = np.concatenate([self._frames[at : at + head], self._frames[: count - head]])
        stale = max(0, self.called + self.largest - self.capacity - first)
        if first + stale > self.taken:
            self.overruns += 1
        self.taken = stop
        return first + stale, frames[stale:]
