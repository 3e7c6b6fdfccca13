"""Our PTP clock on hosts of `netns`: its runs, and its errors against CLOCK_REALTIME."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .graphs import table
from .kernel import KERNEL, Outcome, outcome
from .netns import INTERFACE, Host
from .process import POLL_S, Running, running
from .truth import Truth

CLOCK = "house"
TAI_NS = 37_000_000_000
"""TAI less UTC."""
LIMIT_S = 60.0
"""Longest that any run may take."""
LOCK_S = 20.0
"""Longest that a clock may take to lock, on a machine that has more to do."""


class Estimate(msgspec.Struct, frozen=True):
    """A clock's record in the trace."""

    local_ns: int
    reference_ns: int
    rate_ppb: float
    sigma_ns: float | None
    bound_ns: float | None
    state: str


@contextmanager
def clock(
    host: Host,
    folder: Path,
    name: str,
    *,
    seconds: float = LIMIT_S,
    interface: str | list[str] = INTERFACE,
    **options: object,
) -> Iterator[Running]:
    """``kernel run`` of a graph of one PTP clock; an underscore in an option's name is a hyphen.

    It leaves NAME.json and NAME.jsonl when it ends by itself or by a signal.
    """
    graph = folder / f"{name}.toml"
    chosen = {"kind": "ptp", "interface": interface, **{key.replace("_", "-"): value for key, value in options.items()}}
    graph.write_text("schema = 1\n" + table("clocks", CLOCK, **chosen))
    files = ("--report", f"{name}.json", "--trace", f"{name}.jsonl")
    run = host.command(*KERNEL, "run", graph.name, "--for", f"{seconds:g}s", *files)
    with running(run, folder, name=name) as process:
        yield process


def ended(process: Running, folder: Path, *, now: bool = False) -> Outcome:
    """What a clock has left that ends by itself, or that is to end now."""
    if now:
        process.signal(signal.SIGTERM)
    code = process.wait(LIMIT_S)
    assert code == 0, process.told()
    assert "Traceback" not in process.stderr, process.told()
    return outcome(code, process, folder / f"{process.name}.json")


def watch_lock(process: Running, truth: Truth, seconds: float) -> None:
    """Wait until a clock says that it is locked, and then for a while, and know what time it truly was meanwhile.

    It does not lock for ever: after `LOCK_S` this returns as well.
    """
    deadline, locked = time.monotonic() + LOCK_S, False
    while process.process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
        truth.sample()
        if not locked and re.search(r"\] locked\b", process.stderr):
            locked, deadline = True, time.monotonic() + seconds


def estimates(trace: Path) -> list[Estimate]:
    """What our clock said, as its trace has it."""
    records = (json.loads(line) for line in trace.read_text().splitlines())
    return [msgspec.convert(each, Estimate) for each in records if (each["t"], each["node"]) == ("clock", CLOCK)]


def errors(said: Sequence[Estimate], truth: Truth, timescale: str) -> list[int]:
    """How far off each estimate was: the PTP timescale is TAI, the arbitrary one of ptp4l is CLOCK_REALTIME."""
    ahead_ns = {"ptp": TAI_NS, "arb": 0}[timescale]
    return [each.reference_ns - truth.at(each.local_ns) - ahead_ns for each in said]


def identity(text: str) -> str:
    """A clock identity however it is written: its 16 hexadecimal digits."""
    digits = re.sub("[^0-9a-f]", "", text.lower())
    assert len(digits) == 16, text
    return digits
