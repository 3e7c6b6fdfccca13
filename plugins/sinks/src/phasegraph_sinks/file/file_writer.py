"""One audio file that is being written. Blocking: called from a thread, by one caller at a time."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from phasegraph import Frames, NodeError

from .. import pcm
from . import wav_headers
from .libsndfile import reason, set_flag, soundfile
from .recording_format import BITS, MAX_32_BIT_SIZE, Recipe

_RF64_AUTO_DOWNGRADE = 0x1210
_SET_UPDATE_HEADER_AUTO = 0x1061


class Recording:
    """An open file. Its header is kept up to date, so that what was written survives a crash of the process."""

    def __init__(self, path: str, recipe: Recipe) -> None:
        """Creates the file, and the folders on its way.

        Raises NodeError (option ``path``) where that is not possible.
        """
        self.path = path
        self.recipe = recipe
        self.frames = 0
        """Frames written so far."""
        self.peak = 0.0
        """Largest magnitude so far, full scale 1.0."""
        self._bits = BITS.get(recipe.subtype)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise self._failed(f"its folder cannot be made: {reason(error)}") from error
        self.max_bytes = recipe.container.max_bytes
        self._file = self._create(recipe.container.library_name)
        if recipe.name == "wav" and not set_flag(self._file, _RF64_AUTO_DOWNGRADE):
            # Without the switch every file would be RF64, which not every reader takes: the plain format it is,
            # in parts where one file cannot hold the recording.
            self._file.close()
            self._file = self._create("WAV")
            self.max_bytes = MAX_32_BIT_SIZE
        set_flag(self._file, _SET_UPDATE_HEADER_AUTO)

    def fits(self, count: int) -> bool:
        """Whether so many more frames can be written to this file."""
        return self.max_bytes is None or (self.frames + count) * self.recipe.frame_bytes <= self.max_bytes

    def write(self, frames: Frames) -> None:
        """Append frames. Raises NodeError where the disk refuses."""
        self.peak = max(self.peak, pcm.peak(frames))
        data = np.ascontiguousarray(frames) if self._bits is None else pcm.to_words(frames, self._bits)
        try:
            self._file.write(data)
        except (RuntimeError, OSError, AssertionError) as error:  # the last: written in part, says the module
            raise self._failed(reason(error, self._file)) from error
        self.frames += len(frames)

    def close(self) -> None:
        """Finish the file; may be called twice. Raises NodeError where the disk refuses."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
            if self.recipe.name == "wav":
                wav_headers.make_plain_wav(self.path)
            elif self.recipe.name == "flac" and self.frames == 0 and self._bits is not None:
                wav_headers.write_empty_flac(
                    self.path, rate=self.recipe.rate, channels=self.recipe.channels, bits=self._bits
                )
        except (RuntimeError, OSError) as error:
            raise self._failed(f"the file cannot be finished: {reason(error)}") from error

    def _create(self, library_name: str) -> Any:
        module = soundfile()
        recipe = self.recipe
        try:
            with open(self.path, "ab"):  # says why it cannot be written, where libsndfile says "System error"
                pass
            return module.SoundFile(
                self.path,
                "w",
                samplerate=recipe.rate,
                channels=recipe.channels,
                subtype=recipe.subtype,
                format=library_name,
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise self._failed(reason(error)) from error

    def _failed(self, what: str) -> NodeError:
        return NodeError(
            f"cannot write {self.path}: {what}",
            "check that its folder may be written and its disk has room, or set another path",
            option="path",
        )
