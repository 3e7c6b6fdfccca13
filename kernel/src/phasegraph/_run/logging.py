"""Logging through structlog: readable lines on a terminal, JSON for machines, always on standard error."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

from .._core.deferred_import import defer_import, imported_without

with imported_without("rich"):  # only for tracebacks of a kind that is not used here, at 60 ms of CPU time
    defer_import("asyncio")  # only for loggers of its event loop, at 12 ms
    import structlog

from .._core.terminal import PrintableStream, printable

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


WINDOW_S = 10.0
LINES_OF_EVENT = 10
"""Lines of one event of one node within the window: strangers cause events, and must not fill a disk."""
LINES_OF_NODE = 50
"""The same over all events of a node."""
_MOST_KEYS = 1000


class StandardError(io.TextIOBase):
    """Standard error. Its reader (a pipe, a terminal) may go away: the output is then lost, and the run goes on."""

    def __init__(self, *, own_colours: bool = False) -> None:
        """``own_colours``: the text has colours of our own; all other control characters are escaped."""
        self._own_colours = own_colours

    def write(self, text: str) -> int:
        """Write, if it can be written."""
        with suppress(OSError, ValueError):
            stream = sys.stderr  # of a live status, while there is one, which draws itself again below the line
            if self._own_colours:
                stream = stream.unfiltered if isinstance(stream, PrintableStream) else stream
                text = printable(text, keep_colours=True)
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if it can be flushed."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _escape_fields(logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names and texts of strangers (sessions, devices, peers) do not control the terminal."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}


class RateLimit:
    """A structlog processor that drops lines beyond a rate, and has the next line count them (``not_logged``).

    Every log line of a run passes here, on the control plane.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._windows: dict[tuple[object, ...], tuple[float, int, int]] = {}
        """When the window of a key began, lines within it, and lines that were dropped since the last one."""

    def __call__(self, logger: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Pass a line on, or raise DropEvent."""
        node = fields.get("node", "")
        event = node, str(fields.get("event", ""))[:80]
        dropped = self._count(event, LINES_OF_EVENT)
        if dropped is None or self._count((node,), LINES_OF_NODE) is None:
            raise structlog.DropEvent
        if dropped:
            fields["not_logged"] = dropped
        return fields

    def _count(self, key: tuple[object, ...], most: int) -> int | None:
        # Lines that were dropped before this one; None where this one is dropped too.
        now_s = self._now_s()
        began_s, lines, dropped = self._windows.pop(key, (now_s, 0, 0))
        if now_s - began_s >= WINDOW_S:
            began_s, lines = now_s, 0
        passes = lines < most
        self._windows[key] = (began_s, lines + passes, 0 if passes else dropped + 1)
        if len(self._windows) > _MOST_KEYS:
            del self._windows[next(iter(self._windows))]
        return dropped if passes else None


def make_log(format: Format = "text", level: Level = "info") -> Any:
    """A logger for messages of at least this level, limited in lines per node and event."""
    renderer: Any
    if format == "json":
        processors: list[Any] = [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
        ]
        renderer = structlog.processors.JSONRenderer()
    else:
        processors = [_escape_fields, structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False)]
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.wrap_logger(
        structlog.PrintLogger(file=cast(TextIO, StandardError(own_colours=True))),
        processors=[RateLimit(), structlog.processors.add_log_level, *processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
