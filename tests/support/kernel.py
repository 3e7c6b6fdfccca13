"""``kernel run`` as its user calls it, and what its report says about how well the machine kept up."""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .machine import watched_machine
from .process import Running, running

KERNEL = (sys.executable, "-m", "phasegraph")
EXAMPLE = Path(__file__).parents[2] / "examples" / "loopback.toml"
LIMIT_S = 60.0
"""Longest that a run of about a second may take before it counts as hanging."""

ATTEMPTS = 4
STALLED_S = 0.1
"""How much later than it wanted a thread that only sleeps runs, in all, where the machine is to blame for a run."""
_HICCUPS = (
    "packets_late",
    "packets_lost",
    "packets_early",
    "frames_concealed",
    "socket_dropped",
    "sender_resyncs",
    "send_errors",
    "underrun_frames",
    "overruns",
)


class Outcome(msgspec.Struct):
    """A run that has ended."""

    code: int
    stdout: str
    stderr: str
    report: dict[str, Any]

    def metrics(self, node: str) -> dict[str, Any]:
        """The figures of one node."""
        metrics: dict[str, Any] = self.report["nodes"][node]["metrics"]
        return metrics

    @property
    def hiccups(self) -> str:
        """What the report says was late, lost or not there, in words; empty if nothing."""
        return ", ".join(
            f"{id}: {name} = {node['metrics'][name]}"
            for id, node in self.report["nodes"].items()
            for name in _HICCUPS
            if node["metrics"].get(name)
        )


class MachineHiccup(UserWarning):
    """The machine kept a run waiting for longer than its link offset; the run was repeated."""


@contextmanager
def kernel_running(arguments: Sequence[str | Path], folder: Path) -> Iterator[Running]:
    """``kernel ARGUMENTS`` with ``folder`` as current directory, killed when the block ends."""
    with running([*KERNEL, *arguments], folder, name="kernel") as process:
        yield process


def run_kernel(graph: Path, folder: Path, *arguments: str | Path) -> Outcome:
    """``kernel run GRAPH ARGUMENTS`` to its own end, with a report."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    with kernel_running(["run", graph, *arguments, "--report", report], folder) as process:
        code = process.wait(LIMIT_S)
        return outcome(code, process, report)


def outcome(code: int, process: Running, report: Path) -> Outcome:
    """What an ended process left."""
    assert report.exists(), f"no report, exit code {code}\n{process.told()}"
    return Outcome(code, process.stdout, process.stderr, json.loads(report.read_text()))


def overrides(options: Mapping[str, object]) -> list[str]:
    """``--set`` for every option."""
    return [word for path, value in options.items() for word in ("--set", f"{path}={value}")]


def exact(run: Callable[[], Outcome], compare: Callable[[Outcome], str]) -> Outcome:
    """Run, and hold what came back against what was sent: ``compare`` says what differs, or nothing.

    A run that differs, and whose own report says that frames were late or lost, is repeated, with a warning that says
    so. A second one like it is our failure, unless a witness beside it was kept waiting too. Where the machine does
    that every time, the test is skipped. A difference that the report does not admit is a failure at once.
    """
    lost_s = []
    while len(lost_s) < ATTEMPTS:
        with watched_machine() as machine:
            result = run()
        differs = _told(result, compare)
        if not differs:
            return result
        lost_s.append(machine.lost_s)
        if not result.hiccups or (len(lost_s) > 1 and machine.lost_s < STALLED_S):
            raise AssertionError(f"{differs}\n{result.stdout}\n{result.stderr}")
        hiccup(differs)
    pytest.skip(f"the machine kept {ATTEMPTS} runs waiting, for {max(lost_s):.2f} s at most: {differs}")


def where_the_machine_runs(test: Callable[[Path], None]) -> Callable[[Path], None]:
    """A test of what sounds within a link offset, which is repeated where a witness beside it was kept waiting.

    It gets a folder of its own each time. Where the machine stalls every time, it is skipped. A failure beside a
    witness that was not kept waiting for `STALLED_S` counts at once.
    """

    @functools.wraps(test)
    def repeated(tmp_path: Path) -> None:
        failure, longest_s = AssertionError(), 0.0
        for attempt in range(ATTEMPTS):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            with watched_machine() as machine:
                try:
                    test(folder)
                except AssertionError as error:
                    failure = error
                else:
                    return
            longest_s = machine.longest_s
            if longest_s < STALLED_S:
                raise failure
            hiccup(f"The machine kept this waiting for {longest_s:.2f} s: {failure}")
        pytest.skip(f"the machine kept {ATTEMPTS} attempts waiting, for {longest_s:.2f} s at last: {failure}")

    return repeated


def _told(result: Outcome, compare: Callable[[Outcome], str]) -> str:
    assert "Traceback" not in result.stderr, result.stderr
    differs = compare(result)
    return differs and f"{differs}; the report says: {result.hiccups or 'nothing was late or lost'}"


def hiccup(told: str) -> None:
    """Say, in the tests' summary, that a run is repeated and why."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", MachineHiccup)
        warnings.warn(f"{told}. Trying once more.", MachineHiccup, stacklevel=3)
