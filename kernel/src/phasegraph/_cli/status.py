"""What is seen while a graph runs: a live status on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from .._run.logging import StandardError
from .._run.words import phrases

if TYPE_CHECKING:
    from rich.live import Live

    from .._run.session import Session

PLAIN_INTERVAL_S = 10.0


class Status:
    """Shows a session's state, when called, on standard error."""

    def __init__(self, *, live: bool | None = None) -> None:
        """``live`` False gives plain lines; None looks whether standard error is a terminal."""
        self._live: Live | None = None
        self._wants_live = sys.stderr.isatty() if live is None else live
        self._next_s = PLAIN_INTERVAL_S

    def __enter__(self) -> Status:
        if self._wants_live:
            from rich.console import Console
            from rich.live import Live

            # Drawn when the session says so, not by a thread of rich's own beside the engine's.
            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with suppress(OSError):  # the terminal may be gone
                self._live.stop()

    def __call__(self, session: Session) -> None:
        """Show how things are now."""
        if self._live is not None:
            from rich.text import Text

            with suppress(OSError):
                self._live.update(Text("\n".join(lines(session)), no_wrap=True, overflow="ellipsis"), refresh=True)
        elif session.meter.duration_s >= self._next_s:
            self._next_s += PLAIN_INTERVAL_S
            print(" | ".join(lines(session)), file=StandardError(), flush=True)


def lines(session: Session) -> list[str]:
    """One line for the run, and one for each node."""
    shown = [f"running for {session.meter.duration_s:.0f} s (Ctrl-C ends it)"]
    for node in session.built.nodes.values():
        state = session.supervisor.states[node.id].value
        said = phrases(session.meter.metrics(node))[:3]
        shown.append(f"{node.id}: {'; '.join([state, *said] if state != 'running' else said or [state])}")
    return shown
