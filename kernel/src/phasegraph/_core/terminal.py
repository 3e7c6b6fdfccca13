"""Text on its way to the terminal: control characters of foreign text are written as escapes, without effect.

Names of sessions and devices, reasons of peers and files come from strangers. A terminal obeys control characters in
them (cursor, title, clipboard, answers typed as input). All output of all commands, those of plugins included, passes
through here, so that no command has to think of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

# C0 without tab and newline, DEL, C1; line and paragraph separators; and what changes the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")


def printable(text: str, *, keep_colours: bool = False) -> str:
    r"""The text with control characters as escapes: ``\x1b[31m``. Tabs and newlines stay.

    ``keep_colours`` lets sequences that set colours pass: for output that has colours of our own.
    """
    if keep_colours:
        parts = _COLOUR.split(text)
        return "".join(part if odd % 2 else printable(part) for odd, part in enumerate(parts))
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class PrintableStream:
    """A text stream that writes `printable` text. ``unfiltered`` is the stream below, for our own colours."""

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream

    def write(self, text: str) -> int:
        """Write the text with its control characters as escapes."""
        return self.unfiltered.write(printable(text))

    def writelines(self, lines: Any) -> None:
        """Write every line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # what is written there would not pass the filter
            raise AttributeError(name)
        return getattr(self.unfiltered, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """Filters standard output and standard error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, PrintableStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
