"""Which tests run in real time, and which examples Hypothesis draws, for the whole tree.

A test without the marker `realtime` runs beside others, on a machine of any speed. So it opens no socket of a network,
and no assertion of it depends on how long something took. Tests in the folders below are marked here; others mark
themselves (`pytestmark = pytest.mark.realtime`).
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from phasegraph import ClockState

# The same examples in every run, however busy the machine is, so that a change passes or fails by itself.
# `--hypothesis-profile=default` draws others.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

FEWER_EXAMPLES = int(os.environ.get("PHASEGRAPH_FEWER_EXAMPLES", "1"))
"""By what the number of Hypothesis's examples is divided: `tools/dev.py test` tries a sixth, and --slow all of them."""
LEAST_EXAMPLES = 10
REALTIME_FOLDERS = ("tests/system", "tests/peers")
UNDISTURBED = (
    "tests/peers/test_jack.py",
    "tests/system/test_console_page.py",
    "tests/system/test_foreign_senders.py",
    "tests/system/test_latency.py",
    "tests/system/test_nmos_control.py",
    "tests/system/test_nmos_switching.py",
)
"""They count packets and frames, or have to see something within a second or two."""
_OF_FORMATS = ((1, 48000), (2, 44100), (8, 96000))
QUICK_CASES: dict[str, list[dict[str, object]]] = {
    "test_settles": [{"card_ppm": 200.0}],
    "test_survives_gaps": [{"state": ClockState.UNLOCKED}],
    "test_takes_any_format": [{"channels": channels, "rate": rate} for channels, rate in _OF_FORMATS],
}
"""Of the kernel's suites, which run for each kind: the other cases of these tests are slow ones."""
SLOW_OF_PLUGINS = {
    "test_hostile_packets_are_counted_and_dropped",
    "test_import_does_nothing",
    "test_steps_are_counted",
    "test_survives_a_new_grandmaster",
}
"""Of the kernel's suites, once for each plugin: slow ones, apart from those of the kernel's own kinds."""
LANES = os.environ.get("PHASEGRAPH_LANES")
"""A file, where the tests run beside others in real time (`tools/dev.py test --realtime`): gets those that failed."""
_NETWORK_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_QUICK = "not realtime and not slow"
_CLONE_NEWNS, _CLONE_NEWNET = 0x0002_0000, 0x4000_0000
_running: pytest.Item | None = None
_left_out = 0


def pytest_configure(config: pytest.Config) -> None:
    """Give each lane a machine of its own."""
    if LANES and hasattr(config, "workerinput"):
        _take_own_machine()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what failed beside others, which is then run alone."""
    if LANES and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(LANES, "a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\tpeers\n" if "peers" in report.keywords else f"{report.nodeid}\n")


def _take_own_machine() -> None:
    """Leave the network and the shared memory of the others: ports, groups and names are this lane's alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no namespaces can be made here: unset PHASEGRAPH_LANES")
    for command in (
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "tmpfs", "/dev/shm"),
        # Control sockets: a console finds all runs of a machine.
        ("mkdir", "-p", "/run/phasegraph"),
        ("mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", "/run/phasegraph"),
        ("ip", "link", "set", "lo", "up"),
        # Other vendors' programs that are told no interface join groups where a route leads, and fail where none does.
        ("ip", "route", "add", "224.0.0.0/4", "dev", "lo"),
    ):
        subprocess.run(command, check=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of the folders, files and suites above; one of them that is marked `slow` needs no real time."""
    place = item.path.relative_to(Path(__file__).parent).as_posix()
    in_folder = place.startswith(tuple(f"{folder}/" for folder in REALTIME_FOLDERS))
    if in_folder and item.get_closest_marker("slow") is None:
        item.add_marker(pytest.mark.realtime)
    if place in UNDISTURBED:
        item.add_marker(pytest.mark.undisturbed)
    function = getattr(item, "function", None)
    if getattr(function, "__module__", "").startswith("phasegraph.testing.suites") and isinstance(
        item, pytest.Function
    ):
        quick = QUICK_CASES.get(item.originalname)
        of_plugin = item.originalname in SLOW_OF_PLUGINS and place.startswith("plugins/")
        if of_plugin or (quick is not None and item.callspec.params not in quick):
            item.add_marker(pytest.mark.slow)
    if FEWER_EXAMPLES > 1:
        _divide_examples(function)


def _divide_examples(function: Any) -> None:
    """Have Hypothesis try fewer examples with a test, once, if it is one of Hypothesis's."""
    wanted = getattr(function, "_hypothesis_internal_use_settings", None)
    if wanted is not None and not hasattr(function, "all_examples"):
        function.all_examples = wanted.max_examples
        fewer = max(LEAST_EXAMPLES, wanted.max_examples // FEWER_EXAMPLES)
        function._hypothesis_internal_use_settings = settings(wanted, max_examples=min(fewer, wanted.max_examples))


def _refuse_sockets(event: str, arguments: tuple[object, ...]) -> None:
    """Fail a test that binds or connects a socket of a network without being marked."""
    if event not in ("socket.bind", "socket.connect") or _running is None:
        return
    used = arguments[0]
    if isinstance(used, socket.socket) and used.family in _NETWORK_FAMILIES:
        raise AssertionError(f"{_running.nodeid} uses a real socket ({arguments[1]!r}): mark it `realtime`")


sys.addaudithook(_refuse_sockets)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> object:
    """Know which test runs."""
    global _running
    _running = None if item.get_closest_marker("realtime") else item
    try:
        return (yield)
    finally:
        _running = None


def pytest_collection() -> None:
    """Collecting makes hundreds of thousands of objects that live until the end, and no garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was collected out of the garbage collections of the tests, and have fewer of these."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what was not selected because it is slow or runs in real time."""
    global _left_out
    markers = ("realtime", "slow")
    _left_out += sum(any(map(item.get_closest_marker, markers)) for item in items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and how to run it."""
    if config.option.markexpr == _QUICK:
        counted = f"{_left_out} " if _left_out else ""
        terminalreporter.write_line(
            f"{counted}slow and real-time tests were left out: tools/dev.py test --all runs them"
        )
