"""recvmmsg and sendmmsg on arrays: one system call for many packets, kernel arrival stamps included.

The message headers lie in numpy arrays that are laid out as the system's structures, filled once with the
addresses of the packet rows, so that a call needs no work per packet. ctypes is enough for that: the arguments are a
few integers (a call costs 0.7 us more than cffi's, a few hundred times a second).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import socket
import struct
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..._core.localtime import LocalClock, bracketed_offset
from ..interfaces import Interface
from ..stamped.foreign_clock import ForeignClock
from .packets import PacketBatch, SendBuffer
from .plain_sockets import SOCKET_BUFFER_BYTES, PlainReceiver, PlainSender
from .qdisc import read_qdiscs, why_not_scheduled
from .timed_ring import TimedRing, TimedRows

_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_setsockopt = _libc.setsockopt
_setsockopt.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

# struct mmsghdr, struct iovec and struct sockaddr_in on 64-bit Linux.
_MMSGHDR = np.dtype(
    {
        "names": ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags", "len"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
_IOVEC = np.dtype([("base", "u8"), ("len", "u8")])
_SOCKADDR_IN = np.dtype([("family", "u2"), ("port", ">u2"), ("address", ">u4"), ("zero", "u8")])
# The control messages, in the order in which udp_recvmsg writes them: first the socket's stamp, then IP's.
_CONTROL = np.dtype(
    {
        "names": ["stamp_level", "stamp_type", "s", "ns", "info_level", "info_type", "ifindex", "destination"],
        "formats": ["i4", "i4", "i8", "i8", "i4", "i4", "i4", ">u4"],
        "offsets": [8, 12, 16, 24, 40, 44, 48, 56],
        "itemsize": 64,
    }
)
_DEPARTURE = np.dtype([("len", "u8"), ("level", "i4"), ("type", "i4"), ("ns", "u8")])
"""The control message with the departure time of a packet."""
_SO_SNDBUFFORCE = 32
_SO_TIMESTAMPNS = 35
_SO_TXTIME = _SCM_TXTIME = 61
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8
_STAMP_LATENESS_LIMIT_NS = 10_000_000_000
_buffer_tags = itertools.count(1)


class LinuxReceiver(PlainReceiver):
    """Drains the socket with recvmmsg; arrival is the kernel's stamp, brought into local time."""

    def __init__(self, local: LocalClock, port: int, address: str, batch: int, packet_bytes: int) -> None:
        super().__init__(local, port, address, batch, packet_bytes)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._fd = self.socket.fileno()
        self._realtime = ForeignClock(local, local.realtime_offset_ns)
        data = self._batch.data
        self._iov = np.zeros(batch, _IOVEC)
        self._iov["base"] = data.ctypes.data + np.arange(batch, dtype=np.uint64) * packet_bytes
        self._iov["len"] = packet_bytes
        self._names = np.zeros(batch, _SOCKADDR_IN)
        self._control = np.zeros(batch, _CONTROL)
        self._headers = np.zeros(batch, _MMSGHDR)
        rows = np.arange(batch, dtype=np.uint64)
        self._headers["name"] = self._names.ctypes.data + rows * _SOCKADDR_IN.itemsize
        self._headers["iov"] = self._iov.ctypes.data + rows * _IOVEC.itemsize
        self._headers["iovlen"] = 1
        self._headers["control"] = self._control.ctypes.data + rows * _CONTROL.itemsize
        self._reset(batch)

    def _set_membership(self, option: int, request: bytes) -> None:
        # The call waits for whatever else changes interfaces now. Python's own setsockopt would keep the interpreter
        # from the engine meanwhile; a call by ctypes gives it up.
        if _setsockopt(self._fd, socket.IPPROTO_IP, option, request, len(request)) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def _reset(self, count: int) -> None:
        # The system writes the used size into each header: the full size must be set again.
        self._headers["namelen"][:count] = _SOCKADDR_IN.itemsize
        self._headers["controllen"][:count] = _CONTROL.itemsize

    def receive(self) -> PacketBatch:
        """See `Receiver.receive`."""
        batch = self._batch
        count = _recvmmsg(self._fd, self._headers.ctypes.data, batch.capacity, socket.MSG_DONTWAIT, None)
        if count <= 0:
            batch.count = 0
            if count < 0 and (code := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
                raise OSError(code, f"receiving failed: {os.strerror(code)}")
            return batch
        batch.count = count
        headers = self._headers[:count]
        control = self._control[:count]
        batch.length[:count] = headers["len"]
        batch.length[:count][headers["flags"] & socket.MSG_TRUNC != 0] = -1
        batch.source[:count] = self._names["address"][:count]
        batch.source_port[:count] = self._names["port"][:count]
        batch.destination[:count] = control["destination"]
        batch.interface[:count] = control["ifindex"]
        batch.arrival_ns[:count] = self._arrivals(control)
        self._reset(count)
        return batch

    def _arrivals(self, control: NDArray[np.void]) -> NDArray[np.int64]:
        # The stamps are CLOCK_REALTIME. If that was set meanwhile, or a stamp is not between a moment ago and now, the
        # time of the read is used.
        now = self._local.now_ns()
        offset = self._realtime.offset_ns()
        if offset is None:
            return np.full(len(control), now)
        stamps: NDArray[np.int64] = control["s"] * 1_000_000_000 + control["ns"] - offset
        age = now - stamps
        if age.min() < -1_000_000 or age.max() > _STAMP_LATENESS_LIMIT_NS:
            stamps[(age < -1_000_000) | (age > _STAMP_LATENESS_LIMIT_NS)] = now
        return stamps

    def dropped(self) -> int:
        """See `Receiver.dropped`."""
        info = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        drops: int = struct.unpack("9I", info)[_MEMINFO_DROPS]
        return drops


class LinuxSendBuffer(SendBuffer):
    """Rows with the message headers that send them."""

    def __init__(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> None:
        super().__init__(rows, packet_bytes, destinations)
        self.iov = np.zeros(rows, _IOVEC)
        index = np.arange(rows, dtype=np.uint64)
        self.iov["base"] = self.data.ctypes.data + index * packet_bytes
        self.names = np.zeros(rows, _SOCKADDR_IN)
        self.names["family"] = socket.AF_INET
        self.names["port"] = [port for _, port in destinations]
        self.names["address"] = [struct.unpack("!I", socket.inet_aton(address))[0] for address, _ in destinations]
        self.headers = np.zeros(rows, _MMSGHDR)
        self.headers["name"] = self.names.ctypes.data + index * _SOCKADDR_IN.itemsize
        self.headers["namelen"] = _SOCKADDR_IN.itemsize
        self.headers["iov"] = self.iov.ctypes.data + index * _IOVEC.itemsize
        self.headers["iovlen"] = 1
        # The lengths that are sent and the lengths that are set are one array.
        self.length = self.iov["len"].view(np.int64)
        self.control = np.zeros(rows, _DEPARTURE)
        self.control["len"] = _DEPARTURE.itemsize
        self.control["level"] = socket.SOL_SOCKET
        self.control["type"] = _SCM_TXTIME
        self.headers["control"] = self.control.ctypes.data + index * _DEPARTURE.itemsize
        self.headers_at: int = self.headers.ctypes.data
        self.tag = next(_buffer_tags)
        self._timed_rows: dict[int, TimedRows] = {}
        self.refused: list[tuple[int, int]] = []
        """Rows that a ring was to send, were refused, and are not reported yet; and errno."""

    def timed_rows(self, width: int) -> TimedRows:
        """The rows for a ring, ``width`` of which leave together."""
        if width not in self._timed_rows:
            self._timed_rows[width] = TimedRows(self.headers_at, _MMSGHDR.itemsize, self.rows, width, self.tag)
        return self._timed_rows[width]


class LinuxSender(PlainSender):
    """Sends rows with sendmmsg."""

    def __init__(self, local: LocalClock, interface: Interface, ttl: int, dscp: int) -> None:
        super().__init__(interface, ttl, dscp)
        self._fd = self.socket.fileno()
        self._local = local
        self._interface = interface
        self._scheduled = False
        """Whether packets carry their departure times (SO_TXTIME)."""
        self._ring: TimedRing | None = None
        """What sends each packet at its departure time, where that is not the interface's queue."""
        self._ring_buffers: dict[int, LinuxSendBuffer] = {}
        """Those that it sends from, by tag: they live at least until none of their rows is on its way."""

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> LinuxSendBuffer:
        """See `Sender.buffer`."""
        return LinuxSendBuffer(rows, packet_bytes, destinations)

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """See `Sender.send`. A row that the system refuses is skipped, so that the others still go in time."""
        assert isinstance(buffer, LinuxSendBuffer)
        if self._ring is not None:
            return self._send_in_time(self._ring, buffer, first, count)
        if self._scheduled:
            self._write_departures(buffer, slice(first, first + count))
        done = _sendmmsg(self._fd, buffer.headers_at + first * _MMSGHDR.itemsize, count, 0)
        if done == count:
            return ()
        refused = []
        stop = first + count
        row = first + max(done, 0)
        while row < stop:
            done = _sendmmsg(self._fd, buffer.headers_at + row * _MMSGHDR.itemsize, stop - row, 0)
            if done < 0:
                self.refusal_errno = ctypes.get_errno()
                refused.append(row)
                done = 1
            row += done
        return refused

    def _send_in_time(self, ring: TimedRing, buffer: LinuxSendBuffer, first: int, count: int) -> Sequence[int]:
        if (tag := buffer.tag) not in self._ring_buffers:
            now_ns = self._local.now_ns()
            self._ring_buffers = {
                key: one for key, one in self._ring_buffers.items() if int(one.departure_ns.max()) >= now_ns
            }
            self._ring_buffers[tag] = buffer
        if count:
            offset_ns = bracketed_offset(self._local.now_ns, time.monotonic_ns)
            departures_ns = buffer.departure_ns[first : first + count]
            width = int(np.argmax(departures_ns != departures_ns[0])) or count
            done = width * ring.send(buffer.timed_rows(width), first, departures_ns[::width] + offset_ns)
            if done < count:
                buffer.refused += [(row, ring.submit_errno) for row in range(first + done, first + count)]
        self._note_refused(ring)
        if not buffer.refused:
            return ()
        refused = [row for row, _ in buffer.refused]
        self.refusal_errno = buffer.refused[-1][1]
        buffer.refused.clear()
        return refused

    def _note_refused(self, ring: TimedRing) -> None:
        for key, row, code in ring.refused():
            if key in self._ring_buffers:
                self._ring_buffers[key].refused.append((row, code))

    def schedule(self, *, by_ring: bool = False) -> str:
        """See `Sender.schedule`: SO_TXTIME, for the interface's queue ``fq``; or io_uring."""
        if by_ring:
            try:
                if self._ring is None:
                    self._ring = TimedRing(self._fd)
                    self._enlarge_buffer()
            except OSError as error:
                needs = "Linux 5.18, kernel.io_uring_disabled = 0, and a container that allows it"
                return f"the system permits no io_uring here ({error.strerror or error}): it needs {needs}"
            return ""
        interface = self._interface
        if not interface.index:
            return f"it is not known which interface has {interface.address}: name it"
        try:
            reason = why_not_scheduled(read_qdiscs(), interface.index, interface.name)
            if not reason and not self._scheduled:
                self._enable_launch_times()
        except OSError as error:
            return f"the system does not hold packets: {error.strerror or error}"
        return reason

    def close(self) -> None:
        """See `Sender.close`."""
        if self._ring is not None:
            self._note_refused(self._ring)  # another sender may have the buffers
            self._ring.close()
            self._ring = None
        super().close()

    def _enable_launch_times(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TXTIME, struct.pack("=iI", time.CLOCK_MONOTONIC, 0))
        self._enlarge_buffer()
        self._scheduled = True

    def _enlarge_buffer(self) -> None:
        for option in (_SO_SNDBUFFORCE, socket.SO_SNDBUF):  # the first needs CAP_NET_ADMIN
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
                break

    def _write_departures(self, buffer: LinuxSendBuffer, rows: slice) -> None:
        # The queue counts CLOCK_MONOTONIC, which NTP slews: the relation is measured for every call.
        offset_ns = bracketed_offset(self._local.now_ns, time.monotonic_ns)
        buffer.control["ns"][rows] = buffer.departure_ns[rows] + offset_ns
        buffer.headers["controllen"][rows] = _DEPARTURE.itemsize
