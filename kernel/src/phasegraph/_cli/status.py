"""The status of a run for people: trouble first, in columns, cut at the width of the terminal.

`kernel run` and `kernel status` print it; the command ``status`` itself is in `remote`.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple

from .._core.terminal import printable
from .._run.logging import StandardError

if TYPE_CHECKING:
    from rich.live import Live

    from .._control.control_protocol import RunStatus

Form = Literal["live", "plain", "json", "none"]
PLAIN_INTERVAL_S = 10.0
_MARKS = ("  ", "! ", "! ", "X ")
COLOURS = ("", "yellow", "yellow", "red")
"""Of a line, by its severity."""
_WIDEST_NAME = 20
_PHRASES = 3
"""Phrases of a node that are shown; the summary at the end has all of them."""


class NodeLine(NamedTuple):
    """One node or crossing."""

    severity: int
    """0 fine, 1 in trouble, 2 restarting, 3 failed."""
    name: str
    text: str


def headline(snapshot: RunStatus) -> str:
    """How long the run has lasted, and how many of its nodes are in trouble."""
    troubled = f", {len(snapshot.trouble)} in trouble" if snapshot.trouble else ""
    return f"{'ending' if snapshot.stopping else 'running'} for {snapshot.duration_s:.0f} s{troubled}"


def node_lines(snapshot: RunStatus) -> list[NodeLine]:
    """A line for each node and each crossing, the most urgent first."""
    lines = [
        NodeLine(node.severity, id, "; ".join(node.text.split("; ")[:_PHRASES])) for id, node in snapshot.nodes.items()
    ]
    lines += [
        NodeLine(int(edge.metrics.get("state") != "locked"), name, edge.text)
        for name, edge in snapshot.edges.items()
        if edge.crossing
    ]
    return sorted(lines, key=lambda line: -line.severity)


def columns(lines: list[NodeLine], width: int) -> list[str]:
    """The lines with a mark, the name and the text in columns, cut at a width."""
    names = min(_WIDEST_NAME, max((len(line.name) for line in lines), default=0))
    texts = [f"{_MARKS[line.severity]}{line.name:{names}} {line.text}" for line in lines]
    texts = [printable(text) for text in texts]
    return [text if len(text) <= width else text[: width - 1] + "…" for text in texts]


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
        lines = node_lines(snapshot)
        if self._live is not None:
            from rich.text import Text

            text = Text(f"{headline(snapshot)} (Ctrl-C ends it)", no_wrap=True, overflow="ellipsis")
            for line, shown in zip(lines, columns(lines, self._live.console.width), strict=True):
                text.append(f"\n{shown}", COLOURS[line.severity])
            with suppress(OSError):
                self._live.update(text, refresh=True)
            return
        self._next_s += PLAIN_INTERVAL_S
        if self._form == "json":
            nodes = {line.name: {"severity": line.severity, "text": line.text} for line in lines}
            shown = json.dumps({"event": "status", "duration_s": round(snapshot.duration_s, 1), "nodes": nodes})
        else:
            shown = " | ".join([headline(snapshot), *(f"{line.name}: {line.text}" for line in lines)])
        print(shown, file=StandardError(), flush=True)


def status_form(wanted: str | None, log_format: str) -> Form:
    """The form of the status: as it is wanted, else live where standard error is a terminal. JSON beside a JSON log."""
    if wanted == "none":
        return "none"
    if log_format == "json":
        return "json"
    live = sys.stderr.isatty() if wanted is None else wanted == "live"
    return "live" if live else "plain"


def terminal_width() -> int:
    """Columns of standard output; very many where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
