"""Reads audio files: the header, and blocks of frames. Blocking: called from a thread."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from phasegraph import Frames, NodeError, StreamFormat

from .. import pcm
from .header_sizes import AudioRegion, RegionFile, mismatched_region
from .libsndfile import read_forward, reason, soundfile

_UNKNOWN_LENGTH = 1 << 62
"""libsndfile returns 2**63 - 1 for a file whose header has no length, such as a FLAC file of a crashed process."""
_ESTIMATED = ("MP3", "OGG")
"""Containers whose length is an estimate from bit rates, or off by an encoder's padding."""


class AudioHeader(msgspec.Struct, frozen=True):
    """The header of an audio file."""

    path: str
    format: StreamFormat
    integer: bool
    """Samples are integers."""
    frames: int | None
    """Length; None where the header does not give it exactly."""
    wrong_frames: int | None = None
    """The header's length where it is wrong, and ``frames`` is by the length of the file."""


def read_header(path: str) -> AudioHeader:
    """Open a file and read its header.

    Raises NodeError (option ``path``) for a file that is missing, unreadable or not audio.
    """
    with contextlib.closing(_OpenFile(path)) as opened:
        file = opened.file
        exact = file.frames < _UNKNOWN_LENGTH and file.format not in _ESTIMATED
        region = opened.region
        return AudioHeader(
            path,
            StreamFormat(file.samplerate, file.channels, pcm.encoding_of(file.subtype)),
            pcm.is_integer(file.subtype),
            file.frames if exact else None,
            None if region is None else region.header_frames,
        )


class FileSection:
    """Frames ``start`` to ``start + length`` of a file, read in sequence, again from the start if it loops."""

    def __init__(self, header: AudioHeader, *, start: int = 0, length: int | None = None, loop: bool = False) -> None:
        """``length`` None: to the end of the file."""
        self._header = header
        self._start = start
        self._loop = loop
        self._length = length
        if header.frames is not None:
            rest = max(0, header.frames - start)
            self._length = rest if length is None else min(length, rest)
        self._opened: _OpenFile | None = None
        self._file: Any = None
        self._at = 0

    def open_at(self, position: int) -> None:
        """Open the file for reading from ``position``, in frames of those that `read_frames` returns.

        Raises NodeError where the file is missing or is another one now.
        """
        self.close()
        if read_header(self._header.path).format != self._header.format:
            raise NodeError(f"{self._header.path} has become another file since the run began", option="path")
        self._opened = _OpenFile(self._header.path)
        self._file = self._opened.file
        self._at = position % self._length if self._loop and self._length else position
        if self._start + self._at:
            self._seek(self._start + self._at)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._opened is not None:
            self._opened.close()
            self._opened = self._file = None

    def read_frames(self, count: int) -> Frames:
        """The next ``count`` frames, fewer at the end; none after it.

        Raises NodeError where the file cannot be read, or ends before its header says so.
        """
        parts: list[Frames] = []
        left = count
        while left:
            wanted = left if self._length is None else min(left, self._length - self._at)
            part = self._read_block(wanted) if wanted > 0 else None
            if part is not None and len(part):
                parts.append(part)
                left -= len(part)
                self._at += len(part)
                continue
            if not self._reached_end() or not self._loop:
                break
            self._seek(self._start)
            self._at = 0
        return _joined(parts, self._header.format.channels)

    def _reached_end(self) -> bool:
        # Whether there were frames, so that a loop can go back to the start. Notes a length that was unknown.
        if self._header.frames is not None and self._length is not None and self._at < self._length:
            raise self._failed(f"ends there, {self._length - self._at} frames before its header says")
        self._length = self._at
        return self._at > 0

    def _read_block(self, count: int) -> Frames:
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
            "the file or its disk is damaged: copy it again or use another file",
            option="path",
        )


def _joined(parts: Iterable[Frames], channels: int) -> Frames:
    blocks = list(parts)
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([np.empty((0, channels), np.float32), *blocks])


class _OpenFile:
    # A file that libsndfile has opened; ``region`` where its header gave a wrong length and it was opened without it.

    def __init__(self, path: str) -> None:
        _check_readable(path)
        self.region = mismatched_region(path)
        self._samples = None if self.region is None else RegionFile(path, self.region)
        try:
            self.file = _open_sound_file(path, self.region, self._samples)
        except BaseException:
            self._close_samples()
            raise

    def close(self) -> None:
        self.file.close()
        self._close_samples()

    def _close_samples(self) -> None:
        if self._samples is not None:
            self._samples.close()


def _open_sound_file(path: str, region: AudioRegion | None, samples: RegionFile | None) -> Any:
    try:
        if region is None or samples is None:
            return soundfile().SoundFile(path)
        return soundfile().SoundFile(
            samples,
            samplerate=region.rate,
            channels=region.channels,
            format="RAW",
            subtype=region.subtype,
            endian="BIG" if region.big_endian else "LITTLE",
        )
    except (RuntimeError, OSError, TypeError) as error:  # TypeError: a format without a header, by its suffix
        raise NodeError(
            f"{path} cannot be read as audio: {reason(error)}",
            "give a WAV, RF64, W64, FLAC, AIFF, CAF, Ogg or MP3 file",
            option="path",
        ) from error


def _check_readable(path: str) -> None:
    # libsndfile reports all of these as "System error", and opening a pipe would wait for its other end.
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
