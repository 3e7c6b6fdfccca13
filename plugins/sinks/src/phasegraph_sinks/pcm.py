"""Exact conversions between the graph's float32 and the integers that libsndfile reads and writes.

libsndfile's own float path scales by 2**n - 1 in places and truncates, so integers go through it as left-justified
32-bit words, which it only shifts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasegraph import Encoding, Frames

Words = NDArray[np.int32]
"""PCM samples left-justified in 32 bits: full scale is 2**31, whatever the number of bits."""

_LEAST = {
    Encoding.L16: ("PCM_S8", "PCM_U8", "PCM_16", "ULAW", "ALAW", "ALAC_16"),
    Encoding.L24: ("PCM_24", "ALAC_20", "ALAC_24"),
}
_INTEGER = frozenset(("PCM_32", "ALAC_32", *_LEAST[Encoding.L16], *_LEAST[Encoding.L24]))


def encoding_of(subtype: str) -> Encoding:
    """The least encoding that holds a file's samples, by libsndfile's name of its subtype."""
    for encoding, subtypes in _LEAST.items():
        if subtype in subtypes:
            return encoding
    return Encoding.FLOAT32


def is_integer(subtype: str) -> bool:
    """Whether a subtype's samples are integers, to be read as `Words`."""
    return subtype in _INTEGER


def from_words(words: Words) -> Frames:
    """Words -> float32 in [-1, 1]. Exact up to 24 bits; wider samples are rounded to float32's 24."""
    frames = words.astype(np.float32)
    frames *= np.float32(2.0**-31)
    return frames


def to_words(frames: Frames, bits: int) -> Words:
    """Float32 -> words of ``bits`` bits (2 to 32): rounded to nearest, clipped at full scale, NaN as silence."""
    # float32 cannot hold 2**31 - 1, the largest 32-bit sample; up to 24 bits it holds every one. Clipping comes
    # first, since the largest floats would not survive the scaling.
    scaled: NDArray[np.floating] = frames.astype(np.float64 if bits > 24 else np.float32)
    np.clip(scaled, -1.0, 1.0 - 2.0 ** (1 - bits), out=scaled)
    scaled *= 2.0 ** (bits - 1)
    np.rint(scaled, out=scaled)
    strange = np.isnan(scaled)
    if strange.any():
        scaled[strange] = 0.0
    words: Words = scaled.astype(np.int32)
    words <<= 32 - bits
    return words
