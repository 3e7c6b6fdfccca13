"""AES3 subframes as AM824 words (ST 2110-31): the label that comes with 24 bits of audio. Sans-IO."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 192
"""Frames of a channel status block (AES3-2, 5)."""
_B, _F, _P, _C = (np.uint32(1 << bit) for bit in (29, 28, 27, 26))
"""Block start, frame start (the first subframe of two), even parity, channel status; below them user data and validity,
which stay zero: valid."""
_RATES = {48_000: 0x80, 44_100: 0x40, 32_000: 0xC0}


def label(words: NDArray[np.uint32], frame: int, rate: int) -> None:
    """Write the labels of big-endian words (frames, channels), of which the first frame has index ``frame``.

    Blocks begin at whole blocks since the clock's epoch, so that two senders of one stream agree on them.
    """
    place = (frame + np.arange(len(words))) % BLOCK
    labels = channel_status(rate)[place, None] * _C | np.where(np.arange(words.shape[1]) % 2, np.uint32(0), _F)
    labels[place == 0, ::2] |= _B
    native = words.astype(np.uint32) | labels
    # Even parity over the audio and the label's bits but the preamble's.
    folded = native & np.uint32(0x07FFFFFF)
    for shift in (16, 8, 4, 2, 1):
        folded ^= folded >> np.uint32(shift)
    words[:] = native | (folded & np.uint32(1)) * _P


@cache
def channel_status(rate: int) -> NDArray[np.uint32]:
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
