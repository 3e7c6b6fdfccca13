"""The flags of AES3 subframes (SMPTE ST 2110-31; AES3-1, AES3-2), sans-IO: whether their samples are audio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 0x20
"""First frame of a channel status block of 192."""
STATUS = 0x04
"""The frame's bit of the channel status, of which the second says that the samples are no linear PCM."""
NO_AUDIO = 0x80
"""Zero on the wire; within the graph it marks words that are no linear PCM: see `phasegraph.Encoding.AM824`."""


class Aes3Flags:
    """Reads from the channel status of a stream whether its samples are linear PCM."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._partners = np.arange(channels // 2 * 2) ^ 1
        self._pcm: NDArray[np.bool_] = np.ones(channels, np.bool_)
        # Of which channels the newest block was linear PCM.
        self._begun: NDArray[np.bool_] = np.zeros(channels, np.bool_)
        # Of which channels the last frame that was seen began a block.

    @property
    def audio(self) -> bool:
        """Whether the newest block was linear PCM on every channel."""
        return bool(self._pcm.all())

    def marked(self, payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The next AM824 frames as received, with words that are no audio marked.

        Each word is marked by its own block; both words of a pair are marked where one of them is no audio.
        """
        octets = payload.reshape(-1, self._channels, 4)
        flags = octets[..., 0]
        if self.audio and not self._begun.any() and not (flags & (BLOCK | NO_AUDIO)).any():
            return payload  # audio as before, and no block begins that could change that
        octets = octets.copy()
        flags = octets[..., 0]
        data = ~self._linear_pcm(flags)
        data[..., : 2 * (self._channels // 2)] |= data[..., self._partners]
        flags &= ~np.uint8(NO_AUDIO)
        flags |= data * np.uint8(NO_AUDIO)
        return octets.reshape(payload.shape)

    def _linear_pcm(self, flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
        # Which words are linear PCM: by frame and channel, or by channel where no frame differs from the others.
        begun = np.concatenate([self._begun[None], flags & BLOCK != 0])
        begun[:, 1::2] |= begun[:, : self._channels - 1 : 2]  # the first subframe of two says it for both
        second = begun[:-1]
        self._begun = begun[-1]
        says = flags & STATUS == 0
        if not (second & (says != self._pcm)).any():
            return self._pcm
        # From each frame that says it on, until the next one that does.
        newest = np.where(second, np.arange(len(flags))[:, None], -1)
        np.maximum.accumulate(newest, axis=0, out=newest)
        pcm = np.where(newest < 0, self._pcm, np.take_along_axis(says, np.maximum(newest, 0), axis=0))
        self._pcm = pcm[-1].copy()
        pcm[:-1] = pcm[1:]  # the second frame of a block speaks for the first, where that is still at hand
        return pcm
