"""Programs beside a run: started with their options, watched, started again, and ended with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from msgspec import Struct

from phasegraph import ControlProcessKind
from phasegraph._control.control_processes import STEADY_S, ControlProcesses, RestartPauses, WatchedProcess
from phasegraph._control.run_monitor import RunMonitor
from phasegraph._graph_file.graph import ControlProcess
from phasegraph.testing import make_session

LIMIT_S = 60


def test_pauses_double_up_to_a_minute_and_begin_again_after_a_steady_time() -> None:
    pauses = RestartPauses()
    assert [pauses.pause_s(0.1) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [pauses.pause_s(ran_s) for ran_s in (STEADY_S, 1)] == [1, 2]


class Watch:
    """A program, given as Python, and what is known of it."""

    def __init__(self, program: str, **options: Any) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.log = structlog.testing.CapturingLogger()
        command = [sys.executable, "-S", "-c", program]
        self.process = WatchedProcess(
            command, options, lambda name, fields: self.events.append((name, fields)), self.log
        )

    async def until(self, what: str, so: Any) -> None:
        with trio.fail_after(LIMIT_S):
            while not so():
                await trio.sleep(0.01)

    @property
    def lines(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [(call.method_name, call.args[0], call.kwargs) for call in self.log.calls]


@pytest.mark.realtime
async def test_a_program_gets_its_options_and_its_lines_are_logged() -> None:
    watch = Watch(
        "import sys, json; options = json.loads(sys.stdin.readline());"
        "print('port', options['port']); print(json.dumps({'level': 'warning', 'event': 'full', 'most': 3}));"
        "print('x' * 99999); sys.exit(7)",
        port=3212,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.process.run)
        await watch.until("ended", lambda: watch.events)
        nursery.cancel_scope.cancel()
    assert watch.lines[:2] == [("info", "port 3212", {}), ("warning", "full", {"most": 3})]
    assert max(len(line) for _, line, _ in watch.lines) <= 4096
    [(name, fields)] = watch.events
    assert (name, fields["pause_s"]) == ("control_process_ended", 1)
    assert fields["reason"].startswith("it ended with code 7; xxx")


@pytest.mark.realtime
async def test_a_program_that_ends_is_started_again_and_its_trouble_is_known() -> None:
    watch = Watch("import sys; print('the port is in use'); sys.exit(1)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.process.run)
        await watch.until("waiting", lambda: watch.process.status.state == "waiting")
        assert watch.process.status.trouble == (
            "it ended with code 1; the port is in use; it is started again after 1 s"
        )
        await watch.until("a second start", lambda: len(watch.events) == 2)
        assert watch.process.status.restarts == 2
        nursery.cancel_scope.cancel()


@pytest.mark.realtime
@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_program_ends_with_the_run(stubborn: bool) -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if stubborn else ""
    watch = Watch(f"import signal, time; {ignore} print('there', flush=True); time.sleep(600)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.process.run)
        await watch.until("there", lambda: watch.lines)
        pid = watch.process.status.pid
        assert pid is not None
        os.kill(pid, 0)
        nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert watch.events == []


@pytest.mark.realtime
async def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    events: list[str] = []
    log = structlog.testing.CapturingLogger()
    process = WatchedProcess([str(tmp_path / "no")], {}, lambda name, fields: events.append(name), log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run)
        with trio.fail_after(LIMIT_S):
            while not events:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert process.status.trouble.startswith("it cannot be started: No such file or directory")


async def test_the_status_of_a_run_has_the_trouble_of_its_programs() -> None:
    session = make_session('schema = 1\n[clocks.house]\nkind = "system"\n')
    panel = ControlProcess(kind=ControlProcessKind(kind="panel", summary="", config=Struct), config=Struct())
    monitor = RunMonitor(session, "run", ControlProcesses([panel], None, session.services.event, None))
    [trouble] = monitor.status().trouble
    assert trouble.startswith("control.panel: the run has no control socket: leave out --no-control")
    assert monitor.status().control["panel"].state == "waiting"
