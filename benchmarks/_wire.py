"""The packets of a benchmark (RTP over loopback multicast) and the batch system calls that carry them."""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
PAYLOAD_TYPE = 96
RTP_HEADER = 12
# The kernel allows 20 memberships a socket by default (net.ipv4.igmp_max_memberships).
GROUPS_PER_SOCKET = 16
# RTP timestamps count frames since the PTP epoch, and TAI is 37 s ahead of UTC. The `system` clock of the
# kernel takes the same reference, so a receiver with absolute time places these packets properly.
TAI_MINUS_UTC_NS = 37_000_000_000

_IP_MULTICAST_ALL = 49
_PR_SET_TIMERSLACK = 29
libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Format:
    """What every stream of a run looks like: L24 at 48 kHz."""

    channels: int
    frames: int  # per packet
    rate: int = 48_000

    @property
    def packet_ns(self) -> int:
        """Duration of a packet."""
        return self.frames * 1_000_000_000 // self.rate

    @property
    def packet_time(self) -> str:
        """Duration of a packet as graph.toml writes it."""
        ns = self.packet_ns
        return f"{ns // 1_000_000}ms" if ns % 1_000_000 == 0 else f"{ns // 1000}us"

    @property
    def size(self) -> int:
        """Bytes of a packet, RTP header included."""
        return RTP_HEADER + self.frames * self.channels * 3

    def rate_of_packets(self, streams: int) -> float:
        """Packets a second of that many streams."""
        return streams * self.rate / self.frames


@dataclass(frozen=True)
class Streams:
    """Where the streams of a run go: a group each, and one more for each second leg, all on one port."""

    count: int
    prefix: str  # first three octets
    port: int
    redundant: bool = False  # every fourth stream has a second leg (SMPTE ST 2022-7)

    @property
    def flows(self) -> int:
        """Streams and second legs."""
        return self.count + len(self.second_legs)

    @property
    def second_legs(self) -> dict[int, int]:
        """Flow of the second leg, by the stream that has one; streams are the flows before them."""
        return {4 * i: self.count + i for i in range(self.count // 4)} if self.redundant else {}

    def group(self, index: int) -> str:
        """Multicast group of a flow; its last octet is index + 1."""
        return f"{self.prefix}.{index + 1}"

    def groups(self) -> list[str]:
        """All groups in order."""
        return [self.group(i) for i in range(self.flows)]


def media_now(rate: int) -> int:
    """The absolute frame index at this moment: floor of (CLOCK_REALTIME + 37 s) times the rate."""
    return (time.time_ns() + TAI_MINUS_UTC_NS) * rate // 1_000_000_000


def frame_time(frame: int, rate: int) -> int:
    """CLOCK_REALTIME in ns at which a frame is due (rounded up, so that `media_now` then says `frame`)."""
    return -(-frame * 1_000_000_000 // rate) - TAI_MINUS_UTC_NS


class Iovec(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Mmsghdr(ctypes.Structure):
    """struct mmsghdr, with its msghdr spelled out."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),  # msghdr ends on a multiple of its alignment
        ("length", ctypes.c_uint32),
    ]


def message_vector(count: int, base: int, stride: int, length: int) -> tuple[ctypes.Array[Mmsghdr], object]:
    """Headers for messages of `length` bytes at `base`, `stride` apart; keep the second value alive."""
    iovecs = (Iovec * count)()
    messages = (Mmsghdr * count)()
    for i in range(count):
        iovecs[i] = Iovec(base + i * stride, length)
        messages[i].iov = ctypes.addressof(iovecs) + i * ctypes.sizeof(Iovec)
        messages[i].iovlen = 1
    return messages, iovecs


def sockaddr(group: str, port: int) -> bytes:
    """struct sockaddr_in."""
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(group))


def sending_socket() -> socket.socket:
    """A UDP socket whose multicast leaves (and comes back) on the loopback interface, without any route."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    return sock


def receiving_socket(groups: list[str], port: int) -> socket.socket:
    """A non-blocking UDP socket that gets these groups only, with kernel stamps and packet-info."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS (generic Linux value)
    sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    # Without this a socket also gets the groups that other sockets of the machine joined on the same port.
    sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    sock.bind(("", port))
    for group in groups:
        member = socket.inet_aton(group) + socket.inet_aton(LOOPBACK)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    sock.setblocking(False)
    return sock


def sharp_timers() -> None:
    """Set this thread's timer slack to 1 ns; the default of 50 us would show in the spacing of packets."""
    libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
