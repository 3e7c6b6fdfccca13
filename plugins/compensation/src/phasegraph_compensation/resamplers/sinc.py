"""The ``sinc`` resampler: linear phase, any ratio near one, exact positions, no event where the ratio passes one.

Within a tile of output frames the fractional position hardly moves, so all of the tile's filters come from one phase
of the bank by one small matrix product. They are laid out as a band matrix, and a second product applies them to all
channels at once, straight from the frames as they lie: the cost of the filters does not grow with the channels, and
nothing is transposed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .polyphase_bank import DRIFT, PHASES, TAPS, TERMS, polyphase_bank

if TYPE_CHECKING:
    from phasegraph import Frames

TILE = 64
"""Most output frames that share one phase. Longer tiles waste work on the zeros beside the band."""
_LARGEST_PRODUCT = 200_000
"""Multiplications in one product: OpenBLAS wakes other threads from 262 144 on, which costs more than it gains."""
_BEFORE = TAPS // 2 - 1


class SincResampler:
    """Implements the kernel's ``Resampler``. Keeps no signal from call to call, only its work space."""

    reach = TAPS // 2 + 1
    """Input frames needed on each side of a position: half the taps, and one because a tile that starts just below
    a whole position and ends above it shares one alignment."""

    def __init__(self) -> None:
        self._bank = polyphase_bank()
        self._index = np.arange(TILE, dtype=np.float64)
        self._powers = np.ones((TILE, TERMS))
        self._filters = np.empty((TILE, TAPS))
        # Row i of the matrix holds the filter of output frame i from column i on; everything else stays zero.
        self._matrix = np.zeros((TILE, TILE + TAPS - 1), np.float32)
        row, column = self._matrix.strides
        self._band = as_strided(self._matrix, (TILE, TAPS), (row + column, column))

    def render(self, frames: Frames, offset: float, ratio: float, out: Frames) -> None:
        """``out[i]`` becomes the input at ``offset + i * ratio``, counted in rows of ``frames``.

        The ratio is meant to be near one; up to 0.1 % off, a block of 48 frames is one tile. Further away tiles get
        shorter, which is slower and no less exact, but there is no low-pass filter for ratios far above one.
        Raises ValueError where ``frames`` does not reach far enough.
        """
        drift = ratio - 1.0
        tile = _tile(abs(drift), len(out), frames.shape[1])
        for start in range(0, len(out), tile):
            part = out[start : start + tile]
            self._render_tile(frames, offset + start * ratio, drift, part)

    def _render_tile(self, frames: Frames, position: float, drift: float, out: Frames) -> None:
        count = len(out)
        # Frame i sits at position + i + drift * i. The middle of the tile chooses the phase.
        middle = position + drift * (0.5 * (count - 1))
        whole = math.floor(middle)
        phase = round((middle - whole) * PHASES)
        first = whole - _BEFORE
        last = first + count + TAPS - 1
        if first < 0 or last > len(frames):
            raise ValueError(f"frames {first} to {last - 1} are needed, and 0 to {len(frames) - 1} are available")
        powers = self._powers[:count]
        distance = powers[:, 1]
        np.multiply(self._index[:count], drift, out=distance)
        distance += position - whole - phase / PHASES
        for power in range(2, TERMS):
            np.multiply(powers[:, power - 1], distance, out=powers[:, power])
        self._band[:count] = np.matmul(powers, self._bank[phase], out=self._filters[:count])
        np.matmul(self._matrix[:count, : count + TAPS - 1], frames[first:last], out=out)


def _tile(drift: float, count: int, channels: int) -> int:
    # The longest tile whose wander the polynomials cover, and whose product stays within one thread.
    tile = max(1, min(count, TILE))
    if drift * tile > DRIFT:
        tile = max(1, int(DRIFT / drift))
    while tile > 8 and tile * (tile + TAPS - 1) * channels > _LARGEST_PRODUCT:
        tile = (tile + 1) // 2
    return tile
