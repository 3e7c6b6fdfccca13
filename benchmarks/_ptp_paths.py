"""The paths of ptp_accuracy.py: two hosts for each program, and what is between them in each condition."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import _proc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support import netns, relay
from tests.support.netns import Middle, Network
from tests.support.relay import Impairment

LINK_MBIT, BULK_MBIT = 100, 50
"""Of the bottleneck, and of the bulk traffic through it."""
_NONE = Impairment()
_BULK = Path(__file__).with_name("_bulk.py")


@dataclass(frozen=True)
class Condition:
    """What a path does to packets, and what else the machine does."""

    about: str
    converged_ns: int
    """Within which a clock counts as converged: a few times what a good one reaches."""
    middle: Middle = "wire"
    there: Impairment = _NONE
    back: Impairment = _NONE
    bulk: bool = False
    load: bool = False


def _alike(way: Impairment, about: str, *, load: bool = False) -> Condition:
    return Condition(about, 150_000, "relay", way, way, load=load)


_JITTER = Impairment(delay_ns=1_000_000, jitter="gaussian", jitter_ns=200_000)
_QUEUES = Impairment(delay_ns=500_000, jitter="exponential", jitter_ns=250_000, loss=0.01)
_BULKY = f"{BULK_MBIT} Mbit/s in bursts through a queue of {LINK_MBIT} Mbit/s, towards the follower only"
CONDITIONS = {
    "quiet": Condition("a wire (veth), nothing else", 20_000),
    "jitter": _alike(_JITTER, "1 ms each way, with a standard deviation of 200 us"),
    "exponential": _alike(_QUEUES, "0.5 ms each way and exponential with a mean of 250 us; 1 % of all packets lost"),
    "asymmetric": Condition(
        "1.5 ms to the follower and 0.5 ms back; 500 us of error that cannot be measured",
        550_000,
        "relay",
        Impairment(delay_ns=1_500_000),
        Impairment(delay_ns=500_000),
    ),
    "load": Condition("a wire; every processor busy with other work", 20_000, load=True),
    "bulk": Condition(_BULKY, 50_000, "bridge", bulk=True),
    "jitter-load": _alike(_JITTER, "as jitter, and every processor busy with other work", load=True),
    "bulk-load": Condition(f"{_BULKY}; every processor busy with other work", 50_000, "bridge", bulk=True, load=True),
}
"""All conditions by name."""


@contextmanager
def path(condition: Condition, shop: _proc.Workshop, seed: int) -> Iterator[Network]:
    """Two hosts, and between them what the condition says; the bulk traffic is not there yet."""
    with netns.network(condition.middle) as network:
        if condition.middle == "relay":
            assert network.middle is not None
            words = relay.command(netns.TO_NEAR, netns.TO_FAR, condition.there, condition.back, seed=seed)
            child = shop.start(network.middle.command(*words), "relay")
            deadline = time.monotonic() + 20
            while "relaying" not in child.text():
                _proc.wait_until(min(time.monotonic() + 0.05, deadline), child)
        if condition.bulk:
            network.throttle(mbit=LINK_MBIT)
        yield network


def start_traffic(condition: Condition, networks: list[Network], shop: _proc.Workshop, seed: int) -> None:
    """Start the bulk traffic and the load of a condition."""
    if condition.bulk:
        for number, network in enumerate(networks):
            words = (sys.executable, _BULK, netns.NEAR, BULK_MBIT, f"{seed} {number}")
            shop.start(network.near.command(*words), "bulk")
    if condition.load:
        for _ in range(os.cpu_count() or 1):
            shop.start([sys.executable, "-c", "while True: pass"], "load")
