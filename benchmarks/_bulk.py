"""Bulk traffic of ptp_accuracy.py: bursts of full packets, of random length and at random times, without a receiver.

By hand: python _bulk.py LOCAL_ADDRESS MBIT SEED. The packets go to a group without members, so that they are
forwarded and then dropped without an answer. A burst is one system call: the kernel cuts it into packets.
"""

from __future__ import annotations

import random
import socket
import sys
import time

_GROUP = ("239.69.255.1", 9)
_UDP_SEGMENT = 103
_PAYLOAD = 1472
_WIRE_BITS = (_PAYLOAD + 42) * 8
_MEAN, _MOST = 8, 40  # packets of a burst


def send_forever(address: str, mbit: float, seed: str) -> None:
    """Send that much on average, until killed."""
    dice = random.Random(seed)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD)
    due = time.monotonic()
    while True:
        packets = min(_MOST, 1 + int(dice.expovariate(1 / _MEAN)))
        sock.sendto(bytes(packets * _PAYLOAD), _GROUP)
        due += dice.expovariate(1.0) * packets * _WIRE_BITS / (mbit * 1e6)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    send_forever(sys.argv[1], float(sys.argv[2]), sys.argv[3])
