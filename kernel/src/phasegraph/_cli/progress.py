"""How far simulations have come, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from .._core.units import format_duration
from .._run.logging import StandardError
from .._run.session import Session

_INTERVAL_S = 5.0


class Progress:
    """Prints the progress of one simulation now and then."""

    def __init__(self, duration_ns: int, title: str = "") -> None:
        """``duration_ns`` is the virtual time that will be simulated; ``title`` precedes each line."""
        self._whole_s = duration_ns / 1e9
        self._title = f"{title}: " if title else ""
        self._began = self._printed = time.monotonic()

    def __call__(self, session: Session) -> None:
        """Called twice a virtual second."""
        now = time.monotonic()
        if now - self._printed >= _INTERVAL_S:
            self._printed = now
            done_s = session.meter.duration_s
            rest_s = max(1.0, (self._whole_s - done_s) / done_s * (now - self._began))
            done, whole = format_duration(done_s * 1e9), format_duration(self._whole_s * 1e9)
            speed = done_s / (now - self._began)
            self._print(f"{done} of {whole} simulated, {speed:.0f}x real time, {format_duration(rest_s * 1e9)} left")

    def close(self, done_s: float) -> None:
        """Print how long it took."""
        took_s = time.monotonic() - self._began
        done, took = format_duration(done_s * 1e9), format_duration(took_s * 1e9)
        self._print(f"{done} simulated in {took}: {done_s / took_s:.0f}x real time")

    def _print(self, line: str) -> None:
        print(self._title + line, file=StandardError(), flush=True)


class JobProgress:
    """A bar on a terminal, and a line now and then elsewhere."""

    def __init__(self, what: str, count: int) -> None:
        """``what`` there are ``count`` of, in the plural."""
        self._what, self._count = what, count
        self._began = self._printed = time.monotonic()
        self._at_start: int | None = None
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(what, total=count)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int) -> None:
        """``done`` of them have ended."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            return
        now = time.monotonic()
        if self._at_start is None:
            self._at_start = done
        if done == self._count or now - self._printed >= _INTERVAL_S:
            self._printed = now
            rest_ns = (self._count - done) * (now - self._began) * 1e9 / max(1, done - self._at_start)
            self.warn(f"{done} of {self._count} {self._what}, {format_duration(rest_ns)} left")

    def warn(self, line: str) -> None:
        """Print a line."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=StandardError(), flush=True)
