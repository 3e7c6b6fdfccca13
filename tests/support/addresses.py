"""Groups and ports that nobody else uses, so that several runs of the tests on one machine do not meet."""

from __future__ import annotations

import random
import socket

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
