"""The receiver of send.py: joins all groups and keeps the kernel stamp and number of each packet.

Started by send.py; by hand: python _spy.py STREAMS PREFIX PORT OUT_FILE.npy   (SIGTERM ends it)
"""

from __future__ import annotations

import ctypes
import errno
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import _wire
import numpy as np
import numpy.typing as npt

_BATCH = 512
_HEAD = 16  # bytes kept of a packet: the kernel copies no more than that, the rest is not looked at
_CONTROL = 64  # one SCM_TIMESTAMPNS (32 bytes with its header) and one IP_PKTINFO (28, padded to 32)
_TICK = 0.01
RECORD = np.dtype([("stamp", "i8"), ("stream", "i4"), ("sequence", "i4")])


class _Batch:
    """Buffers of one recvmmsg call, and the arrays that look into them."""

    def __init__(self) -> None:
        self.head = np.zeros((_BATCH, _HEAD), np.uint8)
        self.control = np.zeros((_BATCH, _CONTROL), np.uint8)
        self.messages, self._keep = _wire.message_vector(_BATCH, self.head.ctypes.data, _HEAD, _HEAD)
        size = ctypes.sizeof(_wire.Mmsghdr)
        view = np.frombuffer(memoryview(self.messages).cast("B"), np.uint8).reshape(_BATCH, size)
        offset = _wire.Mmsghdr.controllen.offset
        self.lengths = view[:, offset : offset + 8].view(np.uint64)
        for i, message in enumerate(self.messages):
            message.control = self.control.ctypes.data + i * _CONTROL
        self.address = ctypes.addressof(self.messages)

    def receive(self, fd: int) -> npt.NDArray[np.void] | None:
        """One batch of packets, or None when the socket is empty."""
        self.lengths[:] = _CONTROL  # the kernel overwrites it with what it used
        count = _wire.libc.recvmmsg(fd, ctypes.c_void_p(self.address), _BATCH, 0, None)
        if count <= 0:
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
                raise OSError(ctypes.get_errno(), "recvmmsg")
            return None
        out = np.empty(count, RECORD)
        times = self.control[:count, 16:32].copy().view(np.int64)
        out["stamp"] = times[:, 0] * 1_000_000_000 + times[:, 1]
        out["stream"] = self.control[:count, 59].astype(np.int32) - 1  # last octet of the group
        out["sequence"] = self.head[:count, 2:4].copy().view(">u2")[:, 0]
        return out


def watch(streams: _wire.Streams, out: Path) -> None:
    """Record packets until SIGTERM, then save them."""
    over: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        over.append(number)

    signal.signal(signal.SIGTERM, stop)
    groups = streams.groups()
    step = _wire.GROUPS_PER_SOCKET
    sockets = [_wire.receiving_socket(groups[i : i + step], streams.port) for i in range(0, len(groups), step)]
    batch = _Batch()
    parts: list[npt.NDArray[np.void]] = []
    while not over:
        for sock in sockets:
            while (got := batch.receive(sock.fileno())) is not None:
                parts.append(got)
        time.sleep(_TICK)  # stamps come from the kernel, so reading late costs no precision
    np.save(out, np.concatenate(parts) if parts else np.empty(0, RECORD))


if __name__ == "__main__":
    count, prefix, port, path = sys.argv[1:]
    watch(_wire.Streams(int(count), prefix, int(port)), Path(path))
