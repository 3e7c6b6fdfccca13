"""A poor network in user space: frames between two interfaces are delayed and lost as asked, from a seed.

It runs on the host in the middle of a `netns.network("relay")`. A frame leaves at the kernel's stamp of its arrival
plus its delay, so how soon this process wakes does not count as long as that is sooner than the delay. Frames never
overtake each other, as in a queue.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_SO_TIMESTAMPNS = 35
_PR_SET_TIMERSLACK = 29
_SPIN_NS = 100_000  # what sleeping may be late by
_LARGEST = 65_600


@dataclass(frozen=True)
class Impairment:
    """What happens to frames of one direction."""

    delay_ns: int = 0
    jitter: str = "none"
    """``none``, ``gaussian``, ``uniform`` or ``exponential``."""
    jitter_ns: int = 0
    """Standard deviation, half of the width, or mean."""
    loss: float = 0.0

    def delay(self, random: Random) -> int | None:
        """Nanoseconds that the next frame takes, never negative; None if it is lost."""
        lost = random.random() < self.loss
        more = _JITTER[self.jitter](random, self.jitter_ns)  # drawn for lost frames too: the same for any loss
        return None if lost else max(0, self.delay_ns + round(more))


_JITTER: dict[str, Callable[[Random, int], float]] = {
    "none": lambda random, size: 0.0,
    "gaussian": lambda random, size: random.gauss(0.0, size),
    "uniform": lambda random, size: random.uniform(-size, size),
    "exponential": lambda random, size: random.expovariate(1.0) * size,
}


def command(one: str, other: str, there: Impairment, back: Impairment, *, seed: int) -> list[str]:
    """The command line of a relay between two interfaces; ``there`` is from ``one`` to ``other``."""
    wish = {"there": dataclasses.asdict(there), "back": dataclasses.asdict(back), "seed": seed}
    return [sys.executable, __file__, one, other, json.dumps(wish)]


@dataclass
class _Way:
    """One direction: takes frames from one interface, and puts them on the other when they are due."""

    source: socket.socket
    target: socket.socket
    impairment: Impairment
    random: Random
    queue: deque[tuple[int, bytes]] = field(default_factory=deque)

    @property
    def due_ns(self) -> int | None:
        return self.queue[0][0] if self.queue else None

    def take(self) -> None:
        with suppress(BlockingIOError):
            while True:
                frame, ancillary, _, address = self.source.recvmsg(_LARGEST, 64)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                seconds, ns = struct.unpack("@qq", ancillary[0][2])
                delay = self.impairment.delay(self.random)
                if delay is not None:
                    last = self.queue[-1][0] if self.queue else 0
                    self.queue.append((max(last, seconds * 1_000_000_000 + ns + delay), frame))

    def pass_on(self, now_ns: int) -> None:
        while self.queue and self.queue[0][0] <= now_ns:
            with suppress(OSError):  # no room, or the other end is down: lost, as on any network
                self.target.send(self.queue.popleft()[1])


def _leg(interface: str) -> socket.socket:
    leg = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    # Checksums that the sending host left to its interface travel as such, in a header before the frame.
    leg.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    leg.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    leg.bind((interface, _ETH_P_ALL))
    leg.setblocking(False)
    return leg


def relay(one: socket.socket, other: socket.socket, there: Impairment, back: Impairment, seed: int) -> None:
    """Pass frames on until killed."""
    ways = (_Way(one, other, there, Random(f"{seed} there")), _Way(other, one, back, Random(f"{seed} back")))
    while True:
        due = min((way.due_ns for way in ways if way.due_ns is not None), default=None)
        sleep = None if due is None else max(0.0, (due - time.time_ns() - _SPIN_NS) / 1e9)
        select.select((one, other), (), (), sleep)
        for way in ways:
            way.take()
            way.pass_on(time.time_ns())


def main(one: str, other: str, wish: str) -> None:
    """Run between two interfaces of this host."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    asked = json.loads(wish)
    print("relaying", flush=True)
    relay(_leg(one), _leg(other), Impairment(**asked["there"]), Impairment(**asked["back"]), asked["seed"])


if __name__ == "__main__":
    main(*sys.argv[1:])
