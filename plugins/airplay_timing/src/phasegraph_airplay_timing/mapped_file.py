"""A file of a fixed size that is POSIX shared memory: /nqptp is /dev/shm/nqptp on Linux."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import sys
import threading
from pathlib import Path

from phasegraph import NodeError

if sys.platform != "win32":
    import fcntl

DIRECTORY = "/dev/shm"


class MappedFile:
    """A shared memory that this process alone writes. A file of the name is used again, since readers map it once."""

    def __init__(self, name: str, directory: str, size: int, *, reopened: bool = False) -> None:
        """With ``reopened``, readers look for the file each time, so that one of another size or user is replaced.

        Raises NodeError where the file cannot be opened, or another process serves it.
        """
        self.path = Path(directory) / name.removeprefix("/")
        self._barrier = threading.Lock()
        if not self.path.parent.is_dir():
            hint = "Linux keeps shared memory there; in a container, mount the host's"
            raise NodeError(f"there is no directory {self.path.parent}", hint)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        if reopened:
            _remove_unusable(self.path, size)
        with contextlib.ExitStack() as undo:
            try:
                self._file = os.open(self.path, flags, 0o644)
                undo.callback(os.close, self._file)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _check(self.path, os.fstat(self._file), size)
                os.ftruncate(self._file, size)
                with contextlib.suppress(PermissionError):  # root's file, whose mode was good enough
                    os.fchmod(self._file, 0o644)
                self.memory = mmap.mmap(self._file, size)
                """The octets; their number never changes."""
            except BlockingIOError:
                raise NodeError(
                    f"{self.path} is served by another process", "stop it, or choose another name"
                ) from None
            except OSError as error:
                hint = "if a program of another user left it, remove it, and start its readers again"
                raise NodeError(f"cannot open {self.path}: {error.strerror}", hint) from error
            undo.pop_all()

    def write_twice(self, data: bytes, first: slice, second: slice) -> None:
        """Write octets at two places in order: a reader that finds them equal in reverse order has them whole."""
        with self._barrier:  # a reader sees nothing before it after what follows it
            self.memory[first] = data
        with self._barrier:
            self.memory[second] = data

    def write_ordered(self, where: slice, data: bytes) -> None:
        """Write octets: a reader sees them after what was written before."""
        with self._barrier:
            self.memory[where] = data

    def close(self, *, remove: bool = False) -> None:
        """Let go of the file. It stays as it is, unless ``remove``."""
        self.memory.close()
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def _remove_unusable(path: Path, size: int) -> None:
    # A file that another program left. Of one that still runs the file is locked or the ports are taken.
    with contextlib.suppress(OSError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != size or status.st_uid not in (0, os.geteuid()):
            path.unlink()


def _check(path: Path, status: os.stat_result, size: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NodeError(f"{path} is no file")
    if status.st_uid not in (0, os.geteuid()):
        # Its owner could cut it off while it is mapped, which ends the process.
        raise NodeError(f"{path} belongs to user {status.st_uid}", "remove it, and start its readers again")
    if status.st_size not in (0, size):
        raise NodeError(
            f"{path} has {status.st_size} octets instead of {size}",
            "an older or another program left it: remove it, and start its readers again",
        )
