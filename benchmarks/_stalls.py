"""How long the machine itself kept a core from running anything, as long as a benchmark lasts.

A process pinned to each core sleeps for a millisecond, over and over, with a real-time priority above all that is
measured. What it wakes late by, no program of this machine can help: the hypervisor ran another guest, or the system
was in an interrupt. By hand: python _stalls.py CORE SECONDS
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import _proc

_PRIORITY = 50
_SLEEP_NS = 1_000_000
LEAST_NS = 5_000_000
"""What counts as a stall."""


def watch(core: int, seconds: float) -> dict[str, float]:
    """Stalls of one core: how many, and the longest in ms."""
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    end = time.monotonic_ns() + round(seconds * 1e9)
    count, longest, now = 0, 0, time.monotonic_ns()
    while now < end:
        time.sleep(_SLEEP_NS / 1e9)
        now, before = time.monotonic_ns(), now
        late = now - before - _SLEEP_NS
        count += late > LEAST_NS
        longest = max(longest, late)
    return {"count": count, "longest_ms": round(longest / 1e6, 1)}


class StallWatch:
    """Watches every core for a time, beside what is measured."""

    def __init__(self, shop: _proc.Workshop, seconds: float) -> None:
        command = [sys.executable, str(Path(__file__))]
        self._children = [
            shop.start([*command, str(core), str(seconds)], f"stalls-{core}")
            for core in sorted(os.sched_getaffinity(0))
        ]

    def result(self) -> dict[str, float]:
        """Stalls of all cores together, after the time is over."""
        for child in self._children:
            child.process.wait(10)
        each = [json.loads(child.text()) for child in self._children]
        return {
            "count": sum(one["count"] for one in each),
            "longest_ms": max(one["longest_ms"] for one in each),
        }


if __name__ == "__main__":
    print(json.dumps(watch(int(sys.argv[1]), float(sys.argv[2]))))
