"""Reading audio files: what a header says, and blocks of frames. Blocking: called from a thread."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from phasegraph import Frames, NodeError, StreamFormat

from .. import pcm
from .libsndfile import read_forward, reason, soundfile

_UNKNOWN_LENGTH = 1 << 62
"""libsndfile gives 2**63 - 1 for a file whose header has no length, such as a FLAC file of a process that crashed."""
_ESTIMATED = ("MP3", "OGG")
"""Containers whose length is estimated from bit rates or can be off by an encoder's padding."""


class Header(msgspec.Struct, frozen=True):
    """What the header of an audio file says."""

    path: str
    format: StreamFormat
    integer: bool
    """Samples are integers."""
    frames: int | None
    """Length; None where the header does not say it exactly."""


def read_header(path: str) -> Header:
    """Open a file and look at its header.

    Raises NodeError (option ``path``) for a file that is missing, unreadable or not audio.
    """
    with _open(path) as file:
        exact = file.frames < _UNKNOWN_LENGTH and file.format not in _ESTIMATED
        return Header(
            path,
            StreamFormat(file.samplerate, file.channels, pcm.encoding_of(file.subtype)),
            pcm.is_integer(file.subtype),
            file.frames if exact else None,
        )


class Section:
    """Frames ``start`` to ``start + length`` of a file, read in sequence, again from the start if it loops."""

    def __init__(self, header: Header, *, start: int = 0, length: int | None = None, loop: bool = False) -> None:
        """``length`` None: to the end of the file."""
        self._header = header
        self._start = start
        self._loop = loop
        self._length = length
        if header.frames is not None:
            rest = max(0, header.frames - start)
            self._length = rest if length is None else min(length, rest)
        self._file: Any = None
        self._at = 0

    def open(self, position: int) -> None:
        """Open the file for reading from ``position``, counted in frames that `read` has given since the first.

        Raises NodeError where the file went away or became another one.
        """
        self.close()
        if read_header(self._header.path).format != self._header.format:
            raise NodeError(f"{self._header.path} has become another file since the run began", option="path")
        self._file = _open(self._header.path)
        self._at = position % self._length if self._loop and self._length else position
        if self._start + self._at:
            self._seek(self._start + self._at)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, count: int) -> Frames:
        """The next ``count`` frames, fewer at the end; none after it.

        Raises NodeError where the file cannot be read, or ends before its header says so.
        """
        parts: list[Frames] = []
        left = count
        while left:
            wanted = left if self._length is None else min(left, self._length - self._at)
            part = self._read(wanted) if wanted > 0 else None
            if part is not None and len(part):
                parts.append(part)
                left -= len(part)
                self._at += len(part)
                continue
            if not self._ended() or not self._loop:
                break
            self._seek(self._start)
            self._at = 0
        return _joined(parts, self._header.format.channels)

    def _ended(self) -> bool:
        # Whether there was anything, so that going back to the start leads on. Learns a length that was unknown.
        if self._header.frames is not None and self._length is not None and self._at < self._length:
            raise self._failed(f"ends there, {self._length - self._at} frames before its header says")
        self._length = self._at
        return self._at > 0

    def _read(self, count: int) -> Frames:
        try:
            dtype = np.int32 if self._header.integer else np.float32
            if self._header.frames is None:
                out: Any = np.empty((count, self._header.format.channels), dtype)
                samples = out[: read_forward(self._file, out)]
            else:
                samples = self._file.read(count, dtype=dtype.__name__, always_2d=True)
        except (RuntimeError, OSError) as error:
            raise self._failed(f"cannot be read there: {reason(error)}") from error
        frames: Frames = pcm.from_words(samples) if self._header.integer else samples
        return frames

    def _seek(self, frame: int) -> None:
        try:
            self._file.seek(frame)
        except (RuntimeError, OSError) as error:
            raise self._failed(f"cannot be read from frame {frame}: {reason(error)}") from error

    def _failed(self, what: str) -> NodeError:
        at = self._start + self._at
        seconds = at / self._header.format.rate
        return NodeError(
            f"{self._header.path}, frame {at} ({seconds:.3f} s): the file {what}",
            "the file is damaged or its disk is: copy it again or take another one",
            option="path",
        )


def _joined(parts: Iterable[Frames], channels: int) -> Frames:
    blocks = list(parts)
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([np.empty((0, channels), np.float32), *blocks])


def _open(path: str) -> Any:
    _check_readable(path)
    try:
        return soundfile().SoundFile(path)
    except (RuntimeError, OSError, TypeError) as error:  # TypeError: a headerless format, known by its suffix
        raise NodeError(
            f"{path} cannot be read as audio: {reason(error)}",
            "give a WAV, RF64, W64, FLAC, AIFF, CAF, Ogg or MP3 file",
            option="path",
        ) from error


def _check_readable(path: str) -> None:
    # libsndfile says "System error" of all of these, and opening a pipe would wait for its other end.
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with open(path, "rb"):
                return
    except FileNotFoundError as error:
        raise NodeError(
            f"there is no file {path}", "paths in a graph are relative to the graph's folder", option="path"
        ) from error
    except (OSError, ValueError) as error:
        hint = "let the user of this process read it" if isinstance(error, PermissionError) else ""
        raise NodeError(f"{path} cannot be opened: {reason(error)}", hint, option="path") from error
    what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
    raise NodeError(f"{path} is {what}", "give the path of an audio file", option="path")
