"""io_uring with timeouts linked to sends: the system sends each row at its time, while the thread sleeps.

A thread that wakes for every packet runs some thousand lines of the interpreter with cold caches each time. Here it
hands over a batch: for each departure one timeout, and the sends that follow when it ends. They run in the context of
the thread, as soon as that is in the system or can be interrupted, whatever Python does meanwhile.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_SETUP, _ENTER, _REGISTER = 425, 426, 427
"""Numbers of the system calls, which all architectures share."""
_PARAMS = struct.Struct("=7I12x8IQ8IQ")
"""io_uring_params: entries, flags and features, then where the parts of both rings are."""
_SQE = np.dtype(
    [
        *(("opcode", "u1"), ("flags", "u1"), ("ioprio", "u2"), ("fd", "i4"), ("off", "u8"), ("addr", "u8")),
        *(("len", "u4"), ("op_flags", "u4"), ("user_data", "u8"), ("rest", "u8", 3)),
    ]
)
_CQE = np.dtype([("user_data", "u8"), ("result", "i4"), ("flags", "u4")])
_SETUP_CLAMP, _SETUP_SUBMIT_ALL = 1 << 4, 1 << 7
_OFF_SQES = 0x10000000
_ENTER_GETEVENTS = 1 << 0
_REGISTER_FILES = 2
_SENDMSG, _TIMEOUT = 9, 11
_FIXED_FILE, _HARDLINK, _CQE_SKIP_SUCCESS = 1 << 0, 1 << 3, 1 << 6
_TIMEOUT_ABS, _TIMEOUT_ETIME_SUCCESS = 1 << 0, 1 << 5
ENTRIES = 1024
"""Entries of the submission queue: timeouts and sends that are handed over at once."""


class TimedRows:
    """Rows of messages of which ``width`` at a time leave together: their entries, which are made once."""

    def __init__(self, headers_at: int, message_bytes: int, rows: int, width: int, tag: int) -> None:
        """``headers_at`` is the address of the first row's message header; those of the others follow it. The rows must
        be there for as long as they are on their way."""
        self.width = width
        self.times: NDArray[np.int64] = np.zeros((rows // width, 2), np.int64)
        """Seconds and nanoseconds at which each group leaves."""
        self.entries = np.zeros((rows // width, 1 + width), _SQE)
        timeouts, sends = self.entries[:, 0], self.entries[:, 1:]
        timeouts["opcode"] = _TIMEOUT
        timeouts["flags"] = _HARDLINK | _CQE_SKIP_SUCCESS
        timeouts["fd"] = -1
        timeouts["addr"] = self.times.ctypes.data + self.times.strides[0] * np.arange(rows // width)
        timeouts["op_flags"] = _TIMEOUT_ABS | _TIMEOUT_ETIME_SUCCESS
        numbers = np.arange(rows // width * width).reshape(-1, width)
        sends["opcode"] = _SENDMSG
        sends["flags"] = _FIXED_FILE | _HARDLINK | _CQE_SKIP_SUCCESS
        sends["flags"][:, -1] = _FIXED_FILE | _CQE_SKIP_SUCCESS
        sends["addr"] = headers_at + numbers * message_bytes
        sends["op_flags"] = socket.MSG_DONTWAIT  # without it a row waits for room in the socket, and leaves later
        sends["user_data"] = (tag << 32) + 1 + numbers
        self.entries["len"] = 1


class TimedRing:
    """Sends through one socket. Made by any thread; used by the one that sends, whose sleep the system interrupts."""

    def __init__(self, fd: int) -> None:
        """Raises OSError where the system has no such ring, or forbids it."""
        request = _PARAMS.pack(0, 0, _SETUP_CLAMP | _SETUP_SUBMIT_ALL, *[0] * 22)
        parameters = ctypes.create_string_buffer(request, _PARAMS.size)
        try:
            self._fd = _call(_SETUP, ENTRIES, parameters)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise OSError(error.errno, "it is older than Linux 5.18") from error
        self.submit_errno = 0
        """``errno`` of the newest call that did not take all groups."""
        try:
            entries, completions, _, _, _, _, _, *offsets = _PARAMS.unpack(parameters.raw)
            self._map(entries, completions, offsets[:9], offsets[9:])
            _call(_REGISTER, self._fd, _REGISTER_FILES, (ctypes.c_int * 1)(fd), 1)
        except BaseException:
            os.close(self._fd)
            raise

    def _map(self, entries: int, completions: int, sq: Sequence[int], cq: Sequence[int]) -> None:
        shared = mmap.MAP_SHARED | mmap.MAP_POPULATE
        ring = mmap.mmap(self._fd, max(sq[6] + 4 * entries, cq[5] + _CQE.itemsize * completions), flags=shared)
        entry_map = mmap.mmap(self._fd, _SQE.itemsize * entries, flags=shared, offset=_OFF_SQES)
        self._maps = ring, entry_map
        np.frombuffer(ring, np.uint32, entries, sq[6])[:] = np.arange(entries)  # entry n is always at place n
        self._entries = np.frombuffer(entry_map, _SQE)
        self._completions = np.frombuffer(ring, _CQE, completions, cq[5])
        self._sq_head, self._sq_tail, self._cq_head, self._cq_tail = (
            np.frombuffer(ring, np.uint32, 1, offset) for offset in (sq[0], sq[1], cq[0], cq[1])
        )

    def send(self, rows: TimedRows, first: int, departures_ns: NDArray[np.int64]) -> int:
        """Send groups from row ``first`` on, each at its time in CLOCK_MONOTONIC.

        A row that the system refuses is in `refused` later. Returns how many groups were handed over.
        """
        done, most = 0, len(self._entries) // (1 + rows.width)
        while done < len(departures_ns) and most:
            part = departures_ns[done : done + most]
            begin = first // rows.width + done
            times = rows.times[begin : begin + len(part)]
            np.divmod(part, 1_000_000_000, times[:, 0], times[:, 1])
            taken = self._submit(rows.entries[begin : begin + len(part)].reshape(-1)) // (1 + rows.width)
            done += taken
            if taken < len(part):
                break
        return done

    def _submit(self, entries: NDArray[np.void]) -> int:
        tail = int(self._sq_tail[0])
        place = tail % len(self._entries)
        before_wrap = min(len(entries), len(self._entries) - place)
        self._entries[place : place + before_wrap] = entries[:before_wrap]
        if before_wrap < len(entries):
            self._entries[: len(entries) - before_wrap] = entries[before_wrap:]
        self._sq_tail[0] = (tail + len(entries)) & 0xFFFFFFFF
        # With GETEVENTS, which waits for none here, completions come that had no room before.
        taken: int = _syscall(_ENTER, self._fd, len(entries), 0, _ENTER_GETEVENTS, None, 0)
        if taken != len(entries):
            self.submit_errno = ctypes.get_errno() if taken < 0 else errno.EAGAIN
            self._sq_tail[0] = self._sq_head[0]
        return max(0, taken)

    def refused(self) -> list[tuple[int, int, int]]:
        """Rows that the system refused since the last call: the tag, the row, and errno."""
        head, tail = int(self._cq_head[0]), int(self._cq_tail[0])
        if head == tail:
            return []
        found = self._completions[np.arange(head, head + ((tail - head) & 0xFFFFFFFF)) % len(self._completions)]
        failed = [(data, result) for data, result, _ in found.tolist() if data and result < 0]
        self._cq_head[0] = tail
        return [(data >> 32, (data & 0xFFFFFFFF) - 1, -result) for data, result in failed]

    def close(self) -> None:
        """End; what has not left is not sent. The ring is not used again."""
        del self._entries, self._completions, self._sq_head, self._sq_tail, self._cq_head, self._cq_tail
        for each in self._maps:  # they hold the ring, as its descriptor does
            each.close()
        os.close(self._fd)


def _call(number: int, *arguments: object) -> int:
    result: int = _syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
