"""Audio to send, which no fault could make up by chance, and the comparison of what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

Words = NDArray[np.int32]
"""Samples of shape (frames, channels), left-justified in 32 bits whatever their width."""

BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 24}
"""Bits that the material uses, by the file's subtype: float32 holds 24-bit samples exactly."""


def noise(frames: int, channels: int, *, bits: int = 24, seed: int = 1) -> Words:
    """Noise that uses every bit, with both extremes in it; no two runs of a few frames are alike."""
    random = np.random.default_rng([seed, frames, channels, bits])
    half = 1 << (bits - 1)
    words = random.integers(-half, half, (frames, channels), np.int32)
    extremes = np.array([-half, half - 1, -1, 1, 0], np.int32)[:frames]
    words[: len(extremes)] = extremes[:, np.newaxis]
    return words << (32 - bits)


def write(path: Path, words: Words, rate: int = 48_000, subtype: str = "PCM_24") -> Path:
    """Write words to an audio file, exactly; the suffix says which container."""
    data: NDArray[Any] = words
    if subtype == "FLOAT":
        data = (words / 2.0**31).astype(np.float32)
    soundfile.write(path, data, rate, subtype=subtype)
    return path


def make(
    path: Path, frames: int = 24_000, channels: int = 2, *, rate: int = 48_000, subtype: str = "PCM_24", seed: int = 1
) -> Words:
    """Write noise to an audio file; returns it."""
    words = noise(frames, channels, bits=BITS[subtype], seed=seed)
    write(path, words, rate, subtype)
    return words


def read(path: Path) -> Words:
    """All frames of an audio file as words; those of float files must be exact in 24 bits."""
    with soundfile.SoundFile(path) as file:
        if file.subtype != "FLOAT":
            return np.asarray(file.read(dtype="int32", always_2d=True))
        exact = file.read(dtype="float64", always_2d=True) * 2.0**23
    whole = np.rint(exact)
    assert np.array_equal(whole, exact), f"{path} has samples between the steps of 24 bits"
    words: Words = whole.astype(np.int32) << 8
    return words


def from_bytes(packed: bytes, channels: int, bits: int, *, order: Literal["big", "little"]) -> Words:
    """Interleaved samples of 16 or 24 bits as words."""
    size = bits // 8
    octets = np.frombuffer(packed, np.uint8).reshape(-1, channels, size)
    if order == "little":
        octets = octets[:, :, ::-1]
    wide = np.zeros((*octets.shape[:2], 4), np.uint8)
    wide[:, :, :size] = octets
    words: Words = wide.view(">i4")[:, :, 0].astype(np.int32)
    return words


def difference(expected: Words, got: Words) -> str:
    """Where two recordings differ, in words; empty if nowhere."""
    if expected.shape[1] != got.shape[1]:
        return f"{got.shape[1]} channels instead of {expected.shape[1]}"
    common = min(len(expected), len(got))
    rows = np.flatnonzero((expected[:common] != got[:common]).any(axis=1))
    if len(rows):
        return f"{len(rows)} of {common} frames differ, the first is frame {rows[0]} ({len(got)}, not {len(expected)})"
    return "" if len(expected) == len(got) else f"{len(got)} frames instead of {len(expected)}"


def excerpt(material: Words, got: Words) -> str:
    """Whether a recording is a piece of material that is played over and over; empty if every sample of it is.

    A receiver joins late and leaves early, so the piece may begin and end anywhere. Silence in front of it, from before
    the first packet, is left out.
    """
    sounding = np.flatnonzero(got.any(axis=1))
    if not len(sounding):
        return f"{len(got)} frames of silence"
    piece = got[sounding[0] :]
    begins = np.flatnonzero((material == piece[0]).all(axis=1))
    for begin in begins.tolist():
        expected = np.resize(np.roll(material, -begin, axis=0), piece.shape)
        if np.array_equal(expected, piece):
            return ""
    if not len(begins):
        return f"frame {sounding[0]} of the recording is nowhere in the material"
    expected = np.resize(np.roll(material, -int(begins[0]), axis=0), piece.shape)
    return difference(expected, piece)


class Recording(msgspec.Struct):
    """A recording, compared with the material that was played over and over."""

    frames: int
    silent: int
    """Frames of silence."""
    wrong: int
    """Frames that are not in the material."""
    places: list[int]
    """Differences of place in the recording and in the material, modulo its length: one for each life of the sender."""


def compare(sent: Words, got: Words) -> Recording:
    """Find every frame of a recording in the material, all of whose frames differ."""
    keys, wanted = (words.astype(np.int64) @ np.array([1 << 32, 1]) for words in (sent, got))
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    silent = ~got.any(axis=1)
    found = (keys[at] == wanted) & ~silent
    rows = np.flatnonzero(found)
    apart: NDArray[np.int64] = (rows - at[rows]) % len(sent)
    changes = np.flatnonzero(np.diff(apart, prepend=-1))
    wrong = int(np.count_nonzero(~found & ~silent))
    return Recording(len(got), int(np.count_nonzero(silent)), wrong, apart[changes].tolist())


def noise_without_silence(frames: int, *, seed: int = 1) -> Words:
    """Material whose frames all differ, none of them silent."""
    words = noise(frames, 2, seed=seed)
    words[~words.any(axis=1)] = 512
    return words
