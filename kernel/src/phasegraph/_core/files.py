"""Files that people name, opened so that nothing can block: a pipe or a device in the place of a file is an error."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def file_problem(path: str | Path, *, to_write: bool = False) -> str:
    """Why a path is no regular file that can be opened; empty if it is one. Does not open it.

    A file to write need not exist. The null device may be written.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if to_write and isinstance(error, FileNotFoundError):
            return ""
        return f"cannot {'write' if to_write else 'read'} {path}: {error.strerror or error}"
    if stat.S_ISDIR(mode):
        return f"expected a file, {path} is a folder"
    if not stat.S_ISREG(mode) and not (to_write and os.fspath(path) == os.devnull):
        return f"expected a regular file, {path} is {_TYPES.get(stat.S_IFMT(mode), 'none')}"
    if not to_write and not os.access(path, os.R_OK):
        return f"cannot read {path}: permission denied"
    return ""


_TYPES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_file(path: str | Path, limit: int) -> bytes:
    """The first ``limit`` bytes of a regular file. Raises OSError, also for a pipe or a device."""
    with open(_open(path, os.O_RDONLY), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(limit)


def create_file(path: Path) -> BinaryIO:
    """A file, emptied and open to write. Raises OSError, also for a pipe without a reader, which would block."""
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def _open(path: str | Path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
