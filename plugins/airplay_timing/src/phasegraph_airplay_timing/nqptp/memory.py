"""The files that are the shared memory: POSIX has /nqptp under /dev/shm on Linux."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import sys
import threading
from pathlib import Path

from phasegraph import NodeError

from .record import FIRST, SECOND, SIZE, Record, Unserved, encode_version, read

if sys.platform != "win32":
    import fcntl

DIRECTORY = "/dev/shm"


class MemoryWriter:
    """A shared memory that this process alone writes.

    Readers map it once and for all, so a file that is there is used again and never replaced, and at the end it says
    that nobody's time is known, and stays.
    """

    def __init__(self, name: str, directory: str = DIRECTORY) -> None:
        """Raises NodeError where the file cannot be had."""
        self.path = Path(directory) / name.removeprefix("/")
        self._barrier = threading.Lock()
        if not self.path.parent.is_dir():
            hint = "shared memory is looked for where Linux has it; in a container, mount the host's"
            raise NodeError(f"there is no directory {self.path.parent}", hint)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.ExitStack() as undo:
            try:
                self._file = os.open(self.path, flags, 0o644)
                undo.callback(os.close, self._file)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _check(self.path, os.fstat(self._file))
                os.ftruncate(self._file, SIZE)
                with contextlib.suppress(PermissionError):  # somebody else's, whose mode was good enough
                    os.fchmod(self._file, 0o644)
                self._memory = mmap.mmap(self._file, SIZE)
            except BlockingIOError:
                raise NodeError(
                    f"{self.path} is served by another process", "stop it, or choose another name"
                ) from None
            except OSError as error:
                hint = "if a program of another user left it, remove it, and start its readers again"
                raise NodeError(f"cannot have {self.path}: {error.strerror}", hint) from error
            undo.pop_all()
        self.write(Record())
        self._memory[: len(encode_version())] = encode_version()

    def write(self, record: Record) -> None:
        """Write a record, such that no reader takes a part of it for the whole."""
        data = record.encode()
        with self._barrier:  # nothing before it is seen after what follows
            self._memory[FIRST] = data
        with self._barrier:
            self._memory[SECOND] = data

    def close(self) -> None:
        """Say that nobody's time is known, and let go; the file stays."""
        self.write(Record())
        self._memory.close()
        os.close(self._file)


class MemoryReader:
    """A shared memory that somebody else writes, read only."""

    def __init__(self, name: str, directory: str = DIRECTORY) -> None:
        self.path = Path(directory) / name.removeprefix("/")
        self._memory: mmap.mmap | None = None
        self._file = (0, 0)

    def read(self) -> Record | None:
        """The record now; None if the writer was in the way. Raises Unserved."""
        try:
            status = os.stat(self.path)
            if self._memory is None or self._file != (status.st_dev, status.st_ino):
                self._map()
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            self.close()
            reason = error.strerror if isinstance(error, OSError) else "it is empty"
            raise Unserved(f"cannot read {self.path}: {reason}") from None
        memory = self._memory
        assert memory is not None
        return read(lambda: memory[:])

    def _map(self) -> None:
        self.close()
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
            status = os.fstat(file)
            self._file = status.st_dev, status.st_ino
        finally:
            os.close(file)

    def close(self) -> None:
        """Let go."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NodeError(f"{path} is no file")
    if status.st_size not in (0, SIZE):
        raise NodeError(
            f"{path} has {status.st_size} octets instead of {SIZE}",
            "an older nqptp or another program left it: remove it, and start its readers again",
        )
