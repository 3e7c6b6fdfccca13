"""The load of receive.py: a process that sends N RTP streams, evenly paced, one sendmmsg per packet time.

Started by receive.py; by hand: python _load.py STREAMS CHANNELS FRAMES PREFIX PORT COUNTER_FILE
Every fourth stream has a second leg.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import sys
import time
from pathlib import Path

import _wire
import numpy as np

_COUNTER = struct.Struct("=QQ")  # packets sent, packet times that were skipped because we ran late


class Counter:
    """The load's packet counters in a shared file, so that reading them costs the load nothing."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_COUNTER.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _COUNTER.size)

    def read(self) -> tuple[int, int]:
        """Packets sent and packet times skipped."""
        sent, skipped = _COUNTER.unpack_from(self._map)
        return int(sent), int(skipped)

    def write(self, sent: int, skipped: int) -> None:
        """Publish new counts."""
        _COUNTER.pack_into(self._map, 0, sent, skipped)


def send_forever(form: _wire.Format, streams: _wire.Streams, counter: Counter) -> None:
    """Send until killed: packet k of each stream leaves when its last frame would have been sampled."""
    _wire.sharp_timers()
    # A receiver that takes all of the machine shall lose packets, not slow the load down. Niceness does not
    # reach across sessions (autogroup), so ask for real-time priority; without the right it stays normal.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    n = streams.flows
    packets = np.random.default_rng(1).integers(0, 256, (n, form.size), dtype=np.uint8)
    packets[:, 0], packets[:, 1] = 0x80, _wire.PAYLOAD_TYPE
    packets[:, 8:12] = np.arange(1, n + 1, dtype=">u4").view(np.uint8).reshape(n, 4)  # SSRC
    for stream, second in streams.second_legs.items():
        packets[second] = packets[stream]
    messages, keep = _wire.message_vector(n, packets.ctypes.data, form.size, form.size)
    names = [ctypes.create_string_buffer(_wire.sockaddr(g, streams.port), 16) for g in streams.groups()]
    for message, name in zip(messages, names, strict=True):
        message.name, message.namelen = ctypes.addressof(name), 16
    sock = _wire.sending_socket()
    fd, sendmmsg, vector = sock.fileno(), _wire.libc.sendmmsg, ctypes.addressof(messages)
    sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    header = packets.data.cast("B")
    sequence, timestamp = packets[:, 2:4], packets[:, 4:8]
    sent = skipped = 0
    packet = _wire.media_now(form.rate) // form.frames + 1
    while True:
        frame = packet * form.frames
        wait = _wire.frame_time(frame + form.frames, form.rate) - time.time_ns()
        if wait > 0:
            time.sleep(wait / 1e9)
        elif wait < -100_000_000:  # the machine stood still: go on from now, as a real sender would
            now = _wire.media_now(form.rate) // form.frames
            skipped += (now - packet) * n
            packet = now
            continue
        struct.pack_into("!HI", header, 2, packet & 0xFFFF, frame & 0xFFFFFFFF)
        if n > 1:  # all streams carry the same sequence number and timestamp
            sequence[1:], timestamp[1:] = sequence[0], timestamp[0]
        done = sendmmsg(fd, vector, n, 0)
        sent += max(done, 0)
        counter.write(sent, skipped)
        packet += 1
    del keep


if __name__ == "__main__":
    count, channels, frames, prefix, port, path = sys.argv[1:]
    send_forever(
        _wire.Format(int(channels), int(frames)),
        _wire.Streams(int(count), prefix, int(port), redundant=True),
        Counter(Path(path)),
    )
