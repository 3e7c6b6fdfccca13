"""Groups and ports that no other program uses, so that several runs of the tests on one machine do not meet."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 10_000, 32_000
"""Below the ports that Linux gives out by itself."""
_random = random.SystemRandom()
_used: set[int] = set()


def free_port() -> int:
    """An even UDP port that is free, and whose successor (for RTCP) is too. Never the same one twice."""
    while True:
        port = _random.randrange(_LOWEST, _HIGHEST, 2)
        if port not in _used and _is_free(port) and _is_free(port + 1):
            _used.add(port)
            return port


def free_group() -> str:
    """A multicast group out of 16 million, from the range for local use."""
    return f"239.{_random.randrange(1, 255)}.{_random.randrange(256)}.{_random.randrange(1, 255)}"


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


@contextmanager
def listener(port: int, *, group: str = "", shared: bool = True) -> Iterator[socket.socket]:
    """A socket on a port, as another program would have it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("", port))
        other.setblocking(False)
        if group:
            request = socket.inet_aton(group) + socket.inet_aton(LOOPBACK)
            other.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        yield other


def has_packet(other: socket.socket) -> bool:
    """Whether something has come to a `listener`; takes it."""
    try:
        return len(other.recv(2048)) > 0
    except BlockingIOError:
        return False
