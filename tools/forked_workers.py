"""Runs tests in forked workers: `pytest -p tools.forked_workers --workers 6`.

pytest collects once. Each worker is a copy of that process, so it starts in a moment and imports nothing. The workers
take tests from one pipe, a few at a time, and return reports by a pipe of their own. A test during which a worker ends
has failed, and others run what that worker had left.

Warnings that a test permits are not shown. Needs fork, so tools/dev.py uses it on Linux.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, NoReturn

import pytest

MOST_AT_ONCE = 32
"""Tests that a worker takes at a time: more of one file share its fixtures, fewer keep all workers busy to the end."""
END_S = 10.0
"""How long workers have to end their fixtures when the run ends early, before they are killed."""
_RANGE = struct.Struct("=II")
_LENGTH = struct.Struct("=I")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--workers``."""
    parser.addoption("--workers", type=int, default=1, metavar="N", help="run the tests in N forked workers")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the collected tests in workers, where these are asked for and nothing else runs them."""
    option = session.config.option
    if option.workers < 2 or option.collectonly or option.usepdb or session.testsfailed:
        return None
    if getattr(option, "numprocesses", None) or hasattr(session.config, "workerinput"):  # pytest-xdist runs them
        return None
    if (terminal := session.config.pluginmanager.getplugin("terminalreporter")) is not None:
        terminal.showfspath = False  # the tests of several files are reported by turns
    left = list(session.items)
    while left:
        reported = _Round(session, left).run(option.workers)
        left = [item for item in left if item.nodeid not in reported]
    return True


class _Worker:
    """A worker as its parent sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.received = bytearray()
        self.running: int | None = None
        """The test that it has begun and not yet reported."""

    def messages(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete with ``data``."""
        self.received += data
        while len(self.received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self.received)
            end = _LENGTH.size + length
            if len(self.received) < end:
                return
            yield pickle.loads(self.received[_LENGTH.size : end])
            del self.received[:end]


class _Round:
    """Runs some tests; those that a worker had taken when it ended are left for another round."""

    def __init__(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        self.session, self.config, self.items = session, session.config, items
        self.reported: set[str] = set()

    def run(self, workers: int) -> set[str]:
        """The node ids of the tests that have been reported."""
        ranges, fill = os.pipe()
        os.write(fill, b"".join(_RANGE.pack(*each) for each in ranges_of(len(self.items), workers)))
        os.close(fill)
        with selectors.DefaultSelector() as selector:
            try:
                for number in range(min(workers, len(self.items))):
                    self._fork(number, ranges, selector)
                while selector.get_map():
                    for key, _ in selector.select():
                        self._receive(selector, key.fd, key.data)
            finally:
                os.close(ranges)
                _end({key.fd: key.data.pid for key in selector.get_map().values()})
        return self.reported

    def _fork(self, number: int, ranges: int, selector: selectors.BaseSelector) -> None:
        output, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        if (pid := os.fork()) == 0:
            os.close(output)
            _work(self.config, number, self.items, ranges, write)
        os.close(write)
        selector.register(output, selectors.EVENT_READ, _Worker(pid))

    def _receive(self, selector: selectors.BaseSelector, output: int, worker: _Worker) -> None:
        data = os.read(output, 1 << 20)
        if not data:
            selector.unregister(output)
            os.close(output)
            self._ended(worker, os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1]))
        for message in worker.messages(data):
            if isinstance(message, int):
                worker.running = message
            elif worker.running is not None:
                item, worker.running = self.items[worker.running], None
                load = self.config.hook.pytest_report_from_serializable
                self._report(item, [load(config=self.config, data=each) for each in message])

    def _ended(self, worker: _Worker, code: int) -> None:
        if worker.running is not None:
            item = self.items[worker.running]
            words = f"a worker ended (exit code {code}) while it ran this test"
            self._report(item, [pytest.TestReport(item.nodeid, item.location, {}, "failed", words, "call")])
        elif code:
            raise self.session.Failed(f"a worker ended (exit code {code}) between two tests")

    def _report(self, item: pytest.Item, reports: Iterable[pytest.TestReport]) -> None:
        self.reported.add(item.nodeid)
        for report in reports:
            self.config.hook.pytest_runtest_logreport(report=report)
        self.config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if self.session.shouldfail:
            raise self.session.Failed(self.session.shouldfail)
        if self.session.shouldstop:
            raise self.session.Interrupted(self.session.shouldstop)


def _end(workers: dict[int, int]) -> None:
    # Ends workers, by the pipes of their reports: one that is told in the middle of a report finds its pipe closed.
    for output, pid in workers.items():
        os.close(output)
        os.kill(pid, signal.SIGTERM)
    killed_s = time.monotonic() + END_S
    for pid in workers.values():
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > killed_s:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def ranges_of(items: int, workers: int) -> Iterator[tuple[int, int]]:
    """Ranges of items, first and end, in the order in which workers take them: towards the end they get shorter."""
    start = 0
    while start < items:
        stop = start + min(MOST_AT_ONCE, max(1, (items - start) // (4 * workers)))
        yield start, stop
        start = stop


class _Reporter:
    """Collects what a worker's test reports."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.reports: list[Any] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one report."""
        self.reports.append(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))


def _work(config: pytest.Config, number: int, items: Sequence[pytest.Item], ranges: int, write: int) -> NoReturn:
    """What a worker does, which ends this process."""
    code = 1
    # What tests have started in sessions of their own outlives this process, unless their fixtures end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        manager = config.pluginmanager
        manager.unregister(name="terminalreporter")
        capture: Any = manager.getplugin("capturemanager")
        capture.stop_global_capturing()  # its files are those of all workers
        capture.start_global_capturing()
        capture.suspend_global_capture(in_=True)
        base = config._tmp_path_factory.getbasetemp() / f"worker{number}"  # type: ignore[attr-defined]
        base.mkdir(exist_ok=True)
        config._tmp_path_factory._basetemp = base  # type: ignore[attr-defined]
        reporter = _Reporter(config)
        manager.register(reporter)
        for index, following in pairwise(chain(_taken(ranges), (None,))):
            assert index is not None
            _send(write, index)
            nextitem = None if following is None else items[following]
            items[index].config.hook.pytest_runtest_protocol(item=items[index], nextitem=nextitem)
            _send(write, reporter.reports)
            reporter.reports.clear()
        code = 0
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *received: None)
        try:
            items[0].session._setupstate.teardown_exact(None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(code)


def _taken(ranges: int) -> Iterator[int]:
    """The tests that this worker takes, until none is left."""
    while data := os.read(ranges, _RANGE.size):
        yield from range(*_RANGE.unpack(data))


def _send(write: int, message: object) -> None:
    content = pickle.dumps(message)
    left = memoryview(_LENGTH.pack(len(content)) + content)
    while left:
        left = left[os.write(write, left) :]
