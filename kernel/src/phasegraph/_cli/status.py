"""The status of a running graph: live on a terminal, a line every 10 s elsewhere. Trouble comes first."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple

from .._core.terminal import printable
from .._run.logging import StandardError
from .._run.summary import edge_phrases, node_phrases, severity

if TYPE_CHECKING:
    from rich.live import Live

    from .._run.session import Session

PLAIN_INTERVAL_S = 10.0
_MARKS = ("  ", "! ", "! ", "X ")
_STYLES = ("", "yellow", "yellow", "bold red")
_SHOWN = 3
"""Phrases of a node that are shown; the summary at the end has all of them."""


class NodeLine(NamedTuple):
    """One node or crossing."""

    severity: int
    """See `phasegraph._run.summary.severity`."""
    name: str
    text: str


class Status:
    """Shows a session's state on standard error whenever it is called."""

    def __init__(self, form: Literal["live", "plain", "json"]) -> None:
        """``live`` redraws a terminal; ``plain`` and ``json`` write a line every 10 s."""
        self._form = form
        self._live: Live | None = None
        self._next_s = PLAIN_INTERVAL_S

    def __enter__(self) -> Status:
        if self._form == "live":
            from rich.console import Console
            from rich.live import Live

            # Drawn when the session calls, not by a thread of rich's own beside the engine's.
            console = Console(file=getattr(sys.stderr, "unfiltered", sys.stderr))
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with suppress(OSError):  # the terminal may be gone
                self._live.stop()

    def __call__(self, session: Session) -> None:
        """Show the present state."""
        if self._live is not None:
            from rich.text import Text

            text = Text(printable(headline(session, lines := status_lines(session))), no_wrap=True, overflow="ellipsis")
            for line in lines:
                text.append(f"\n{_MARKS[line.severity]}{line.name}: {printable(line.text)}", _STYLES[line.severity])
            with suppress(OSError):
                self._live.update(text, refresh=True)
        elif session.meter.duration_s >= self._next_s:
            self._next_s += PLAIN_INTERVAL_S
            lines = status_lines(session)
            if self._form == "json":
                fields = {line.name: {"severity": line.severity, "text": line.text} for line in lines}
                shown = json.dumps(
                    {"event": "status", "duration_s": round(session.meter.duration_s, 1), "nodes": fields}
                )
            else:
                shown = " | ".join([headline(session, lines), *(f"{line.name}: {line.text}" for line in lines)])
            print(shown, file=StandardError(), flush=True)


def status_form(log_format: str) -> Literal["live", "plain", "json"]:
    """The form of the status beside a log of a format: live where standard error is a terminal."""
    if log_format == "json":
        return "json"
    return "live" if sys.stderr.isatty() else "plain"


def headline(session: Session, lines: list[NodeLine]) -> str:
    """How long the run has lasted, and how many of its nodes are in trouble."""
    troubled = sum(line.severity > 0 for line in lines)
    trouble = f", {troubled} in trouble" if troubled else ""
    return f"running for {session.meter.duration_s:.0f} s{trouble} (Ctrl-C ends it)"


def status_lines(session: Session) -> list[NodeLine]:
    """A line for each node and each crossing, the most urgent first."""
    lines = []
    for built in session.built.nodes.values():
        node = session.meter.node(built, session.supervisor)
        lines.append(NodeLine(severity(node), built.id, "; ".join(node_phrases(node)[:_SHOWN])))
    for name, edge in session.meter.edges().items():
        if edge["crossing"]:
            urgent = edge["metrics"]["state"] != "locked"
            lines.append(NodeLine(int(urgent), name, "; ".join(edge_phrases(edge))))
    return sorted(lines, key=lambda line: -line.severity)
