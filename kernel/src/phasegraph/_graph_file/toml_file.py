"""Reading a TOML file that may be anything: the result is a document or one clear problem."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from .._core.errors import GraphError, Problem

LARGEST = 1 << 20
"""Bytes that a graph file may have."""
_DEEPEST = 32
# tomllib takes time with the square of a dotted key's parts: a megabyte of `a.a.a...` would take hours.
# The pattern can match only where a part begins, so that the search itself stays linear.
# Only a line with that many dots is searched, since to compile the pattern takes 5 ms.
_LONG_KEY = (
    r"""(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
    rf"""(?:[ \t]*+\.[ \t]*+(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')){{{_DEEPEST},{_DEEPEST}}}"""
)


def read_text(path: Path, what: str = "graph") -> str:
    """The text of a graph file, or of another TOML file that is called ``what``. Raises GraphError."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise _failed(f"{path} is a folder, not a {what} file")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device could block for ever
            raise _failed(f"{path} is not a regular file")
        if status.st_size > LARGEST:
            raise _failed(
                f"{path} has {status.st_size} bytes, a graph file has at most {LARGEST}", "is this the graph?"
            )
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise _failed(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # a null character in the name
        raise _failed(f"cannot read {str(path)!r}: {error}") from None
    if len(data) > LARGEST:
        raise _failed(f"{path} has more than {LARGEST} bytes, a graph file has at most that")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _failed(
            f"not valid TOML: {path} is not UTF-8 text (byte 0x{data[error.start]:02x} in line {line})"
        ) from None


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a graph's text. Raises GraphError with the line and column of what is wrong."""
    long = None
    if any(line.count(".") >= _DEEPEST for line in text.split("\n")):
        long = re.search(_LONG_KEY, text)
    if long is not None:
        line = text.count("\n", 0, long.start()) + 1
        raise _failed(f"a dotted key has more than {_DEEPEST} parts (at line {line})")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _failed("not valid TOML: tables or lists are nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise _failed(f"not valid TOML: {error}") from None
    except ValueError:  # from int()
        raise _failed("not valid TOML: a number has thousands of digits") from None


def _failed(message: str, hint: str = "") -> GraphError:
    return GraphError([Problem("", message, hint)])
