"""A trial of ptp_accuracy.py: followers side by side, each on a path of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import _measure
import _proc
import _ptp_paths
from _ptp_figures import Trial, converged_after, settled
from _ptp_paths import CONDITIONS
from _ptp_peers import PERIOD_S, Errors, Follower
from _ptp_plot import Curve, curve
from tests.support.truth import Truth

_GRANDMASTER_S = 20.0
END_S = 8.0
"""How long a follower may take to end."""


@dataclass(frozen=True)
class Timing:
    """Of a trial."""

    warm_up: float  # seconds from the start of the programs to that of the window
    seconds: float  # of the window


@dataclass(frozen=True)
class Record:
    """What followers showed side by side, by key."""

    start_ns: int  # CLOCK_REALTIME
    truth: Truth
    followers: dict[str, Follower]
    errors: dict[str, Errors | None]  # None where a program failed


class _Running(NamedTuple):
    """Programs that run beside each other."""

    followers: list[Follower]
    children: list[_proc.Child]
    truth: Truth
    start_ns: int  # CLOCK_REALTIME


@contextlib.contextmanager
def _running(kinds: Sequence[type[Follower]], name: str, seed: int, shop: _proc.Workshop) -> Iterator[_Running]:
    """The programs, all at the same time, until the block ends. Raises RuntimeError if a grandmaster does not start."""
    condition = CONDITIONS[name]
    with contextlib.ExitStack() as stack:
        followers = []
        for kind in kinds:
            folder = shop.folder / kind.key
            folder.mkdir()
            followers.append(kind(stack.enter_context(_ptp_paths.path(condition, shop, seed)), folder))
        for follower in followers:
            serve(follower, shop)
        _ptp_paths.start_traffic(condition, [each.network for each in followers], shop, seed)
        truth, start_ns = Truth(), time.time_ns()
        children = [shop.start(follower.command(), follower.key) for follower in followers]
        yield _Running(followers, children, truth, start_ns)
        for follower, child in zip(followers, children, strict=True):
            child.stop(patience=END_S)
            follower.close()
        truth.sample()


def side_by_side(
    kinds: Sequence[type[Follower]], name: str, timing: Timing, seed: int, shop: _proc.Workshop
) -> list[tuple[Trial, Curve | None]]:
    """One trial of each program, all at the same time. Raises RuntimeError if a grandmaster does not start."""
    with _running(kinds, name, seed, shop) as (followers, children, truth, start):
        _watch(timing.warm_up, followers, truth)
        before = [_measure.snapshot(child.pid) for child in children]
        machine = _measure.snapshot(0)
        _watch(timing.seconds, followers, truth)
        whole = _measure.between(machine, _measure.snapshot(0))
        after = [_measure.snapshot(child.pid) for child in children]
        used = list(map(_measure.between, before, after))
        alive = [child.alive() for child in children]
    outcomes: list[tuple[Trial, Curve | None]] = []
    for follower, child, window, lived in zip(followers, children, used, alive, strict=True):
        trial = Trial(name, follower.key, seed, steal=whole.steal, busy=whole.others)
        try:
            if not lived:
                raise RuntimeError("ended early")
            errors = follower.errors(child.text(), truth)
            figures = settled(errors, start + round(timing.warm_up * 1e9))
        except (RuntimeError, OSError) as error:
            outcomes.append((replace(trial, note=f"{error}; it said: {child.last_words()}"), None))
            continue
        converged = None if follower.starts_right else converged_after(errors, start, CONDITIONS[name].converged_ns)
        told = (int(errors.at_ns[0]) - start) / 1e9
        trial = replace(trial, **figures, told_s=told, converged_s=converged, cpu=window.cpu_seconds / window.seconds)
        outcomes.append((trial, curve(name, follower.key, errors, start)))
    return outcomes


def errors_side_by_side(
    kinds: Sequence[type[Follower]], name: str, seconds: float, seed: int, shop: _proc.Workshop
) -> Record:
    """One run of each program, all at the same time. Raises RuntimeError if a grandmaster does not start."""
    with _running(kinds, name, seed, shop) as (followers, children, truth, start_ns):
        _watch(seconds, followers, truth)
    errors: dict[str, Errors | None] = {}
    for follower, child in zip(followers, children, strict=True):
        try:
            errors[follower.key] = follower.errors(child.text(), truth)
        except (RuntimeError, OSError) as error:
            _proc.log(f"{follower.label}: {error}; it said: {child.last_words()}")
            errors[follower.key] = None
    return Record(start_ns, truth, {each.key: each for each in followers}, errors)


def serve(follower: Follower, shop: _proc.Workshop) -> None:
    """Start its grandmaster. Raises RuntimeError if that does not serve."""
    child = shop.start(follower.grandmaster(), f"{follower.key}-grandmaster")
    deadline = time.monotonic() + _GRANDMASTER_S
    while not follower.serving(child.text()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no grandmaster for {follower.key}: {child.last_words()}")
        _proc.wait_until(time.monotonic() + PERIOD_S, child)


def _watch(seconds: float, followers: Sequence[Follower], truth: Truth) -> None:
    """Let time pass, and look at it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        truth.sample()
        for follower in followers:
            follower.poll()
        time.sleep(PERIOD_S)
