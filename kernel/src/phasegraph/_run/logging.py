"""Logging through structlog: readable lines on a terminal, JSON for machines, always on standard error."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import structlog

from .._core.terminal import printable

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


class StandardError(io.TextIOBase):
    """Standard error. Its reader (a pipe, a terminal) may go away: the output is then lost, and the run goes on."""

    def __init__(self, *, own_colours: bool = False) -> None:
        """``own_colours``: the text has colours of our own; all other control characters are escaped."""
        self._own_colours = own_colours

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError, ValueError):
            if self._own_colours:
                getattr(sys.stderr, "unfiltered", sys.stderr).write(printable(text, keep_colours=True))
            else:
                sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _escape_fields(logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names and texts of strangers (sessions, devices, peers) do not control the terminal."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}


def make_log(format: Format = "text", level: Level = "info") -> Any:
    """A logger that writes what is at least as important as ``level``."""
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
        processors=[structlog.processors.add_log_level, *processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
