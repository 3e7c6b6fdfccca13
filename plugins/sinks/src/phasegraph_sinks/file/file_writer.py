"""One audio file that is being written. Blocking: called from a thread, by one caller at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from typing import Any

import numpy as np

from phasegraph import Frames, NodeError

from .. import pcm
from ..peak_level import peak_of
from . import wav_headers
from .libsndfile import error_number, reason, set_flag, set_struct, soundfile
from .recording_format import BITS, MAX_32_BIT_SIZE, RecordingFormat

_RF64_AUTO_DOWNGRADE = 0x1210
_SET_UPDATE_HEADER_AUTO = 0x1061
_SET_BROADCAST_INFO = 0x10F1
_REMEDIES = {
    errno.ENOSPC: "free space on the disk, or set a path on another disk",
    errno.EDQUOT: "free space within the user's quota, or set another path",
    errno.EFBIG: "this file system or a limit of the process (ulimit -f) allows no larger file: set another path",
    errno.EROFS: "the file system is read-only: set a path on another one",
    errno.EACCES: "let this process's user write to the folder, or set another path",
    errno.EPERM: "let this process's user write to the folder, or set another path",
}
_PROBE_BYTES = 4096
"""Bytes written to a new file to find out whether the disk has room: more than any header."""
_REMEDY = "check that its folder may be written and its disk has room, or set another path"


def check_recordable(path: str, *, overwrite: bool) -> None:
    """Check, without touching a file, that a recording may go to ``path``.

    Raises NodeError (option ``path`` or ``overwrite``) for an existing file unless ``overwrite``, and for whatever is
    no regular file: opening a named pipe waits for its reader without limit.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        if os.path.islink(path) and not overwrite:
            raise _exists(path) from None
        return
    if stat.S_ISDIR(mode):
        raise NodeError(f"{path} is a folder", "give the path of a file", option="path")
    if not stat.S_ISREG(mode):
        kind = "a named pipe" if stat.S_ISFIFO(mode) else "a device" if _is_device(mode) else "no regular file"
        raise NodeError(
            f"{path} is {kind}", "record to a regular file: the header is rewritten while it grows", option="path"
        )
    if not overwrite:
        raise _exists(path)


def why_not_writable(path: str) -> str:
    """Why this user could not make a file at ``path`` now, or the folders before it; empty if nothing is in the way."""
    folder = os.path.dirname(path)
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return f"{path} cannot be written: {folder} is no folder"
    if os.access(folder, os.W_OK | os.X_OK):
        return ""
    return f"{path} cannot be written by this user: {folder} may not be written; {_REMEDIES[errno.EACCES]}"


def check_folder(path: str) -> None:
    """Make the folder of a recording, and check that a file can be made in it. Raises NodeError (option ``path``)."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, f"its folder cannot be made: {reason(error)}", error.errno) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
        raise _cannot_write(path, os.strerror(number), number)


class RecordingFile:
    """An open recording. Its header is kept up to date, so that the audio survives a crash of the process.

    The file is locked while it is open: two processes do not write one file.
    """

    def __init__(
        self, path: str, format: RecordingFormat, *, overwrite: bool, broadcast_info: bytes | None = None
    ) -> None:
        """Makes the file, with a ``bext`` chunk (see ``broadcast_extension``) where one is given and the format has it.

        Raises NodeError (option ``path`` or ``overwrite``) where that is not possible, and leaves no file then.
        """
        self.path = path
        self.format = format
        self.frames = 0
        """Frames written so far."""
        self.peak = 0.0
        """Largest magnitude so far, full scale 1.0."""
        self._bits = BITS.get(format.subtype)
        self.max_bytes = format.container.max_bytes
        self._lock = _make_and_lock(path, overwrite=overwrite)
        try:
            self._file = self._open_file(format.container.library_name)
            if format.name == "wav" and not set_flag(self._file, _RF64_AUTO_DOWNGRADE):
                # Without the switch every file would be RF64, which many readers refuse. Plain WAV files then, and
                # several of them where one cannot hold the recording.
                self._file.close()
                self._file = self._open_file("WAV")
                self.max_bytes = MAX_32_BIT_SIZE
        except BaseException:
            self._remove()
            raise
        if broadcast_info is not None and format.name in ("wav", "rf64"):
            set_struct(self._file, _SET_BROADCAST_INFO, broadcast_info)
        set_flag(self._file, _SET_UPDATE_HEADER_AUTO)

    def fits(self, count: int) -> bool:
        """Whether ``count`` more frames fit into this file."""
        return self.max_bytes is None or (self.frames + count) * self.format.frame_bytes <= self.max_bytes

    def append(self, frames: Frames) -> None:
        """Append frames. Raises NodeError where the disk refuses."""
        self.peak = max(self.peak, peak_of(frames))
        data = np.ascontiguousarray(frames) if self._bits is None else pcm.to_words(frames, self._bits)
        try:
            self._file.write(data)
        except (RuntimeError, OSError, AssertionError) as error:  # AssertionError: the module wrote a part only
            words = reason(error, self._file)
            raise _cannot_write(self.path, words, error_number(error, words)) from error
        self.frames += len(frames)

    def close(self) -> None:
        """Finish the file, or remove it if it holds no frame; may be called twice.

        Raises NodeError where the disk refuses.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
            if self.frames and self.format.name == "wav":
                wav_headers.make_plain_wav(self.path)
        except (RuntimeError, OSError) as error:
            words = reason(error)
            number = error_number(error, words)
            raise _cannot_write(self.path, f"the file cannot be finished: {words}", number) from error
        finally:
            if self.frames:
                os.close(self._lock)
            else:
                self._remove()

    def _open_file(self, library_name: str) -> Any:
        format = self.format
        try:
            return soundfile().SoundFile(
                self.path,
                "w",
                samplerate=format.rate,
                channels=format.channels,
                subtype=format.subtype,
                format=library_name,
            )
        except (RuntimeError, OSError, ValueError) as error:
            words = reason(error)
            raise _cannot_write(self.path, words, error_number(error, words)) from error

    def _remove(self) -> None:
        os.close(self._lock)
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def _make_and_lock(path: str, *, overwrite: bool) -> int:
    # A descriptor of the file that holds its lock. Opening says why it fails, where libsndfile says "System error".
    check_recordable(path, overwrite=overwrite)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | (0 if overwrite else os.O_EXCL)
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileExistsError as error:
        raise _exists(path) from error
    except (OSError, ValueError) as error:
        raise _cannot_write(path, reason(error), getattr(error, "errno", None)) from error
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise NodeError(
                f"{path} is being recorded by another process", "give the sink another path", option="path"
            ) from error
        except OSError:
            pass  # a file system without locks
    try:  # libsndfile says "System error" where there is no room for the header
        os.truncate(descriptor, 0)
        left = _PROBE_BYTES
        while left:  # a part may find room, and then the next call says why the rest does not
            left -= os.write(descriptor, bytes(left))
        os.truncate(descriptor, 0)
    except OSError as error:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise _cannot_write(path, reason(error), error.errno) from error
    return descriptor


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _exists(path: str) -> NodeError:
    return NodeError(
        f"{path} exists already, and a recording is not overwritten",
        "give another path, move the file away, or set overwrite = true to replace it",
        option="path",
    )


def _cannot_write(path: str, words: str, number: int | None) -> NodeError:
    name = f" ({errno.errorcode[number]})" if number is not None and number in errno.errorcode else ""
    return NodeError(f"cannot write {path}: {words}{name}", _REMEDIES.get(number or 0, _REMEDY), option="path")
