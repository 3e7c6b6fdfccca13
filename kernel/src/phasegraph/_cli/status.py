"""Shows the status of a run: `kernel run` on standard error, ``kernel status`` (see `remote`) on standard output."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from .._run.logging import StandardError
from .status_table import COLOURS, TableLine, headline, phrases_of, status_lines, status_rows

if TYPE_CHECKING:
    from rich.live import Live

    from .._control.control_protocol import RunStatus

Form = Literal["live", "plain", "json", "none"]
PLAIN_INTERVAL_S = 10.0
ELSEWHERE_COLUMNS = 120
"""Width of the table where there is no terminal."""


class Status:
    """Shows snapshots of a run on standard error."""

    def __init__(self, form: Form) -> None:
        """``live`` redraws a terminal; ``plain`` and ``json`` write a line every 10 s; ``none`` shows nothing."""
        self._form = form
        self._live: Live | None = None
        self._next_s = PLAIN_INTERVAL_S

    def __enter__(self) -> Status:
        if self._form == "live":
            from rich.console import Console
            from rich.live import Live

            # Drawn when a snapshot is shown, not by a thread of rich's own beside the engine's.
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

    def wants(self, duration_s: float) -> bool:
        """Whether a snapshot is to be shown now."""
        return self._form != "none" and (self._live is not None or duration_s >= self._next_s)

    def show(self, snapshot: RunStatus) -> None:
        """Show a snapshot."""
        if self._live is not None:
            from rich.text import Text

            size, text = self._live.console.size, Text(no_wrap=True, overflow="ellipsis")
            lines = status_lines(snapshot, size.width, size.height - 1, note=" (Ctrl-C ends it)")
            for number, line in enumerate(lines):
                text.append(("\n" if number else "") + line.text, COLOURS[line.severity])
            with suppress(OSError):
                self._live.update(text, refresh=True)
            return
        self._next_s += PLAIN_INTERVAL_S
        shown = json_status(snapshot) if self._form == "json" else plain_status(snapshot)
        print(shown, file=StandardError(), flush=True)


def json_status(snapshot: RunStatus) -> str:
    """A snapshot as a line of JSON, for a log."""
    nodes = {
        id: {"severity": node.severity, "state": node.state, "text": node.text} for id, node in snapshot.nodes.items()
    }
    edges = {
        name: {"severity": edge.severity, "text": edge.text} for name, edge in snapshot.edges.items() if edge.crossing
    }
    line = {"event": "status", "duration_s": round(snapshot.duration_s, 1), "trouble": snapshot.trouble}
    return json.dumps({**line, "nodes": nodes | edges})


def plain_status(snapshot: RunStatus) -> str:
    """A snapshot as one line of text: trouble first, then what each node and crossing does."""
    texts = {id: node.text for id, node in snapshot.nodes.items()}
    texts |= {name: edge.text for name, edge in snapshot.edges.items()}
    texts |= {f"control.{name}": process.trouble or process.state for name, process in snapshot.control.items()}
    rows = [f"{row.name}: {'; '.join(phrases_of(texts[row.name])[:3])}" for row in status_rows(snapshot)]
    return " | ".join([headline(snapshot), *rows])


def status_form(wanted: str | None, log_format: str) -> Form:
    """The form of the status: as it is wanted, else live where standard error is a terminal. JSON beside a JSON log."""
    if wanted == "none":
        return "none"
    if log_format == "json":
        return "json"
    live = sys.stderr.isatty() if wanted is None else wanted == "live"
    return "live" if live else "plain"


def terminal_size() -> tuple[int, int]:
    """Columns and lines of standard output; without an end where it is no terminal."""
    if not sys.stdout.isatty():
        return ELSEWHERE_COLUMNS, 1_000_000
    return shutil.get_terminal_size()


def print_lines(lines: list[TableLine], *, redraw: bool) -> None:
    """Print lines on standard output; ``redraw`` overwrites what a terminal shows."""
    import click

    out = getattr(sys.stdout, "unfiltered", sys.stdout)  # for our own colours: the lines are printable
    end = "\x1b[K\n" if redraw else "\n"
    text = "".join(
        (click.style(line.text, fg=COLOURS[line.severity]) if line.severity else line.text) + end for line in lines
    )
    click.echo(f"\x1b[H{text}\x1b[J" if redraw else text, nl=False, file=out)
