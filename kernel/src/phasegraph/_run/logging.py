"""Logging through structlog: readable lines on a terminal, JSON for machines, always on standard error."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import structlog

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


class StandardError(io.TextIOBase):
    """Standard error, whose reader (a pipe, a terminal) may go away: what is said then is lost, and nothing ends."""

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


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
        processors = [structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False)]
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.wrap_logger(
        structlog.PrintLogger(file=cast(TextIO, StandardError())),
        processors=[structlog.processors.add_log_level, *processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
