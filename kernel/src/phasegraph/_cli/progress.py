"""How far a simulation has come, on standard error."""

from __future__ import annotations

import time

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
            rest_s = (self._whole_s - done_s) / done_s * (now - self._began)
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
