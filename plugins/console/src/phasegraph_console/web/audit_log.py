"""One line for each change that was asked for: when, from where, as whom, what, and whether it was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from .followed_run import iso_time

MOST_TEXT = 2000


class AuditLog:
    """Writes lines of JSON."""

    def __init__(self, write_line: Callable[[str], object]) -> None:
        self._write_line = write_line

    def record_change(self, *, address: str, role: str, action: str, run: str, request: str, result: str) -> None:
        """A change: ``request`` is the body as it was sent, shortened, ``result`` is "done" or a sentence."""
        line = {
            "audit": action,
            "at": iso_time(datetime.now(UTC)),
            "from": address,
            "role": role,
            "run": run,
            "request": request[:MOST_TEXT],
            "result": result[:MOST_TEXT],
        }
        self._write_line(json.dumps(line))
