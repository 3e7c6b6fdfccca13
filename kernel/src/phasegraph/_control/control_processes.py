"""The programs beside a run (``[control.KIND]``): child processes that are started, watched, and ended with the run.

starting -> running -> waiting (it has ended: the pauses double) -> starting ...
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from .._core.node import Metric
from .._core.privileges import child_process_options
from .._graph_file.graph import ControlProcess
from .._graph_file.graph_tables import options_table
from .control_protocol import ControlProcessStatus

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0
"""A program that has run for this time begins with the first pause again."""
END_S = 3.0
"""How long a program may take to end, before it is killed."""
LONGEST_LINE = 4096
_OWN_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Of the environment: the service manager's words with this process."""
_LEVELS = ("debug", "info", "warning", "error")


class RestartPauses:
    """The pauses before a program is started again."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def pause_s(self, ran_s: float) -> float:
        """The pause after a program that has run for ``ran_s``."""
        if ran_s >= STEADY_S:
            self._next_s = FIRST_PAUSE_S
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s


class WatchedProcess:
    """One program beside a run. All of it is on the control plane."""

    def __init__(
        self,
        command: Sequence[str],
        options: Mapping[str, Any],
        report: Callable[[str, dict[str, Metric]], None],
        log: Any,
    ):
        """``report`` is called with the name of an event and its fields."""
        self._command = command
        self._options = json.dumps(options).encode() + b"\n"
        self._report = report
        self._log = log
        self._last_line = ""
        self.status = ControlProcessStatus(state="starting")

    async def run(self) -> None:
        """Start it, and start it again whenever it ends, until cancelled; then it is ended."""
        pauses, restarts = RestartPauses(), 0
        while True:
            began_s = trio.current_time()
            self._last_line = ""
            reason = await self._run_once(restarts)
            pause_s = pauses.pause_s(trio.current_time() - began_s)
            trouble = f"{reason}; it is started again after {pause_s:g} s"
            self._report("control_process_ended", {"reason": reason, "pause_s": pause_s})
            restarts += 1
            self.status = ControlProcessStatus(state="waiting", restarts=restarts, trouble=trouble)
            await trio.sleep(pause_s)

    async def _run_once(self, restarts: int) -> str:
        # Returns why it has ended.
        try:
            process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES},
                start_new_session=True,  # a terminal's signals are for the run, which ends its programs
                **child_process_options(),
            )
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        with suppress(OSError, AttributeError):  # not every system has priorities
            os.setpriority(os.PRIO_PROCESS, process.pid, 0)  # it inherits the run's, which is for the sake of audio
        try:
            self.status = ControlProcessStatus(state="running", pid=process.pid, restarts=restarts)
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(trio.BrokenResourceError):  # it has ended already
                await process.stdin.send_all(self._options)
            async with aclosing(_lines(process.stdout)) as lines:
                async for line in lines:
                    self._log_line(line)
            code = await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                await _end_process(process)
        return "; ".join(filter(None, [_ending(code), self._last_line]))

    def _log_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if not text:
            return
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
            fields = {"event": text}
        level, event = fields.pop("level", "info"), fields.pop("event")
        self._last_line = " ".join([event, *(f"{name}={value}" for name, value in fields.items())])[:LONGEST_LINE]
        known = {str(name): value for name, value in fields.items() if isinstance(value, str | int | float)}
        log = getattr(self._log, level if level in _LEVELS else "info")
        log(event, **{name: value for name, value in known.items() if name != "node"})


class ControlProcesses:
    """All programs beside a run."""

    def __init__(
        self,
        processes: Sequence[ControlProcess],
        socket: Path | None,
        report: Callable[[str, str, dict[str, Metric]], None],
        log: Any,
    ) -> None:
        """``socket`` is the run's control socket, None where it has none. ``report`` is called with a name
        ``control.KIND``, an event and its fields."""
        self._unreachable = [each.kind.kind for each in processes] if socket is None else []
        self._watched: dict[str, WatchedProcess] = {}
        for each in processes if socket is not None else ():
            kind = each.kind.kind
            command = [sys.executable, "-m", "phasegraph", kind, str(socket and socket.absolute()), "--child"]
            place = f"control.{kind}"
            self._watched[kind] = WatchedProcess(
                command, options_table(each.config), partial(report, place), log.bind(node=place)
            )

    @property
    def status(self) -> dict[str, ControlProcessStatus]:
        """By kind."""
        trouble = "the run has no control socket: leave out --no-control, and see its log"
        without = {kind: ControlProcessStatus(state="waiting", trouble=trouble) for kind in self._unreachable}
        return {**without, **{kind: watched.status for kind, watched in self._watched.items()}}

    async def run(self) -> None:
        """Watch them until cancelled; then all have ended."""
        async with trio.open_nursery() as nursery:
            for watched in self._watched.values():
                nursery.start_soon(watched.run)


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes, None]:
    kept = b""
    async for chunk in stream:
        *lines, kept = (kept + chunk).split(b"\n")
        for line in lines:
            yield line[:LONGEST_LINE]
        kept = kept[:LONGEST_LINE]
    yield kept


async def _end_process(process: trio.Process) -> None:
    # Its standard input ends first: that ends it too, should this process be killed meanwhile.
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    with suppress(OSError):
        process.terminate()
    with trio.move_on_after(END_S):
        await process.wait()
    if process.returncode is None:
        with suppress(OSError):
            process.kill()
        await process.wait()
    await process.stdout.aclose()


def _ending(code: int) -> str:
    if code >= 0:
        return f"it ended with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
