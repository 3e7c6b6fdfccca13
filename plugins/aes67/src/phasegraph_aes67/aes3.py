"""The flags of AES3 subframes (SMPTE ST 2110-31; AES3-1, AES3-2), sans-IO: whether what they carry is audio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 0x20
"""First frame of a channel status block of 192."""
STATUS = 0x04
"""The frame's bit of the channel status, of which the second says that the samples are no linear PCM."""


class Aes3Flags:
    """Reads the channel status of a stream as far as it matters to who plays it."""

    def __init__(self, channels: int) -> None:
        self.audio = True
        """Whether the newest block was linear PCM on every channel."""
        self._channels = channels
        self._begun: NDArray[np.bool_] = np.zeros(channels, np.bool_)
        # Of which channels the last frame that was seen began a block.

    def look(self, payload: NDArray[np.uint8]) -> bool:
        """Take in frames that follow those before: AM824, big-endian. Returns `audio`."""
        flags = payload.reshape(-1, self._channels, 4)[..., 0]
        begun = np.concatenate([self._begun[None], flags & BLOCK != 0])
        begun[:, 1::2] |= begun[:, : self._channels - 1 : 2]  # the first subframe of two says it for both
        second, channel = np.nonzero(begun[:-1])
        self._begun = begun[-1]
        if len(second):
            self.audio = not (flags[second, channel] & STATUS).any()
        return self.audio
