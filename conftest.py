"""Which tests run in real time, and which examples Hypothesis draws, for the whole tree.

A test without the marker `realtime` runs beside others, on a machine of any speed. So it opens no socket of a network,
and no assertion of it depends on how long something took. Tests in the folders below are marked here; others mark
themselves (`pytestmark = pytest.mark.realtime`).
"""

from __future__ import annotations

import gc
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a change passes or fails by itself. `--hypothesis-profile=default` draws
# others.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

REALTIME_FOLDERS = ("tests/system", "tests/peers")
_NETWORK_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_QUICK = "not realtime and not slow"
_running: pytest.Item | None = None
_left_out = 0


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of the folders above."""
    place = item.path.relative_to(Path(__file__).parent).as_posix()
    if place.startswith(tuple(f"{folder}/" for folder in REALTIME_FOLDERS)):
        item.add_marker(pytest.mark.realtime)


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
    """Leave what was collected out of the garbage collections of the tests."""
    gc.freeze()
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
