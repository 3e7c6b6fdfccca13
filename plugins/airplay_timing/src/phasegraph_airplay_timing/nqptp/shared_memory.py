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

from .nqptp_record import FIRST, SECOND, SIZE, MemoryNotServed, NqptpRecord, encode_version, read

if sys.platform != "win32":
    import fcntl

DIRECTORY = "/dev/shm"
KEPT_NS = 10_000_000_000
"""A restart takes less time than this. Two clocks part by 1 ms in it at 100 ppm, which a receiver does not hear."""


class MemoryWriter:
    """A shared memory that this process alone writes.

    Readers map it once, so an existing file is used again and never replaced. At the end the file stays, and so does
    its record: readers go on with it while the next writer starts, and see by its age that it is not renewed.
    """

    def __init__(self, name: str, directory: str = DIRECTORY, *, now_ns: int) -> None:
        """``now_ns`` is local time: a record that is older than `KEPT_NS` then, or younger than it, is cleared.

        Raises NodeError where the file cannot be had.
        """
        self.path = Path(directory) / name.removeprefix("/")
        self._barrier = threading.Lock()
        if not self.path.parent.is_dir():
            hint = "Linux keeps shared memory there; in a container, mount the host's"
            raise NodeError(f"there is no directory {self.path.parent}", hint)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.ExitStack() as undo:
            try:
                self._file = os.open(self.path, flags, 0o644)
                undo.callback(os.close, self._file)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _check(self.path, os.fstat(self._file))
                os.ftruncate(self._file, SIZE)
                with contextlib.suppress(PermissionError):  # root's, whose mode was good enough
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
        self.kept = self._recent(now_ns)
        """The record of the last writer, where it is still of use; all zero where not."""
        self.write(self.kept)
        self._memory[: len(encode_version())] = encode_version()

    def write(self, record: NqptpRecord) -> None:
        """Write a record; no reader sees a part of it."""
        data = record.encode()
        with self._barrier:  # nothing before it is seen after what follows
            self._memory[FIRST] = data
        with self._barrier:
            self._memory[SECOND] = data

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        self._memory.close()
        os.close(self._file)

    def _recent(self, now_ns: int) -> NqptpRecord:
        try:
            record = read(lambda: bytes(self._memory))
        except MemoryNotServed:
            return NqptpRecord()
        return record if record is not None and 0 <= now_ns - record.local_ns <= KEPT_NS else NqptpRecord()


class MemoryReader:
    """A shared memory of another process. It is read and not mapped: its owner may truncate it."""

    def __init__(self, name: str, directory: str = DIRECTORY) -> None:
        self.path = Path(directory) / name.removeprefix("/")

    def read(self) -> NqptpRecord | None:
        """The record now; None if the writer was in the way. Raises MemoryNotServed."""
        if not self.path.parent.is_dir():
            raise MemoryNotServed(f"there is no directory {self.path.parent}")
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return read(lambda: os.pread(file, SIZE + 1, 0))
            finally:
                os.close(file)
        except OSError as error:
            raise MemoryNotServed(f"cannot read {self.path}: {error.strerror}") from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NodeError(f"{path} is no file")
    if status.st_uid not in (0, os.geteuid()):
        # Its owner could cut it off while it is mapped, which ends the process.
        raise NodeError(f"{path} belongs to user {status.st_uid}", "remove it, and start its readers again")
    if status.st_size not in (0, SIZE):
        raise NodeError(
            f"{path} has {status.st_size} octets instead of {SIZE}",
            "an older nqptp or another program left it: remove it, and start its readers again",
        )
