"""AES3 subframes as AM824 words (ST 2110-31): a label and 24 bits of audio each. Sans-IO."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from phasegraph import Encoded, RawSampleReader

from . import aes3

BLOCK = 192
"""Frames of a channel status block (AES3-2, 5)."""
NO_AUDIO = np.uint32(aes3.NO_AUDIO << 24)
_B, _F, _P, _C, _V = (np.uint32(1 << bit) for bit in (29, 28, 27, 26, 24))
"""Block start, frame start (the first subframe of two), even parity, channel status; validity: zero for audio that may
be played. Between the last two is user data."""
_AUDIO = np.uint32(0xFFFFFF)
_PROTECTED = np.uint32(0x07FFFFFF)
"""What parity is over: all but the preamble's bits and itself."""
_KEPT_IN_GAPS = NO_AUDIO | _B | _F | _C
"""Bits that a gap takes over from the block before."""
_RATES = {48_000: 0x80, 44_100: 0x40, 32_000: 0xC0}

Words = NDArray[np.uint32]


class Subframes:
    """Makes the words of one stream.

    Words that a source received are passed on unchanged with their labels; others get labels. In a gap of a received
    stream, the labels of the block before are repeated.
    """

    def __init__(self, channels: int, rate: int, received: RawSampleReader | None) -> None:
        """``received`` reads the received words, if this stream passes any on."""
        self._received = received
        self._labels = own_labels(channels, rate)
        """Of one block, by frame modulo its length: our own at first, then those of the newest received words."""

    def words(self, frame: int, encoded: Encoded) -> Encoded:
        """The words of ``encoded`` frames without labels, of which the first has index ``frame``."""
        audio = encoded.view(">u4").astype(np.uint32)
        place = (frame + np.arange(len(audio))) % BLOCK
        if self._received is not None:
            return self._pass_on(frame, place, audio, self._received)
        return _encoded(with_parity(audio | self._labels[place]))

    def _pass_on(self, frame: int, place: NDArray[np.int64], audio: Words, received: RawSampleReader) -> Encoded:
        octets = np.zeros((*audio.shape, 4), np.uint8)
        there = received(frame, octets)
        arrived = octets.view(">u4")[..., 0].astype(np.uint32)
        whole = there.all()
        if whole:
            self._labels[place] = arrived
        else:
            rows, channels = np.nonzero(there)
            self._labels[place[rows], channels] = arrived[rows, channels]
        # The usual case: every word was received, is audio, and has not been changed.
        if whole and not ((arrived ^ audio) & (_AUDIO | NO_AUDIO)).any():
            return octets.reshape(len(audio), -1)
        # Audio that the graph has changed is faded in after a gap; words that are not audio are never changed.
        unchanged = there & ((arrived & NO_AUDIO != 0) | (arrived & _AUDIO == audio))
        labels = np.where(there, arrived & ~_AUDIO, self._labels[place] & _KEPT_IN_GAPS)
        made = np.where(labels & NO_AUDIO, labels & ~NO_AUDIO | _V, labels | audio)
        return _encoded(np.where(unchanged, arrived & ~NO_AUDIO, with_parity(made)))


def _encoded(words: Words) -> Encoded:
    return words.astype(">u4").view(np.uint8)


def own_labels(channels: int, rate: int) -> Words:
    """The labels of a block, without parity, for audio that has none.

    Blocks begin at whole blocks since the clock's epoch, so that two senders of one stream agree on them.
    """
    labels = channel_status(rate)[:, None] * _C | np.where(np.arange(channels) % 2, np.uint32(0), _F)
    labels[0, ::2] |= _B
    return labels


def with_parity(words: Words) -> Words:
    """The words, with the bit that makes their parity even."""
    words = words & ~_P
    folded = words & _PROTECTED
    for shift in (16, 8, 4, 2, 1):
        folded ^= folded >> np.uint32(shift)
    return words | (folded & np.uint32(1)) * _P


@cache
def channel_status(rate: int) -> Words:
    """The 192 bits of a block: professional use, linear PCM of 24 bits without emphasis, the rate, and their CRC."""
    octets = bytearray(24)
    octets[0] = 0x05 | _RATES.get(rate, 0)
    octets[2] = 0x2C
    octets[23] = crc(bytes(octets[:23]))
    return np.unpackbits(np.frombuffer(octets, np.uint8), bitorder="little").astype(np.uint32)


def crc(octets: bytes) -> int:
    """CRCC of channel status (EBU Tech 3250): x^8 + x^4 + x^3 + x^2 + 1, all ones at the start, low bit first."""
    register = 0xFF
    for octet in octets:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0xB8 if register & 1 else 0)
    return register
