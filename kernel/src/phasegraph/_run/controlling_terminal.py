"""Whether the terminal that a run was started on is still there: SIGHUP without a closed terminal asks for a reload."""

from __future__ import annotations

import os
from contextlib import suppress

STANDARD_STREAMS = (0, 1, 2)


class ControllingTerminal:
    """The terminal of standard input, output and error, if any of them is one."""

    def __init__(self) -> None:
        self._terminals = [stream for stream in STANDARD_STREAMS if _is_terminal(stream)]

    def is_closed(self) -> bool:
        """Whether there was a terminal, and it is gone."""
        return bool(self._terminals) and not any(map(_is_terminal, self._terminals))


def _is_terminal(stream: int) -> bool:
    with suppress(OSError):
        return os.isatty(stream)
    return False
