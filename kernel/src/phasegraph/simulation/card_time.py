"""The true time of a sound card: its own oscillator's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S
from .oscillator import Oscillator


class CardTime:
    """A sound card's own time: it shows the frames since it began, as nanoseconds at its nominal rate."""

    def __init__(self, oscillator: Oscillator) -> None:
        self.oscillator = oscillator
        self.elapsed_before = 0
        """Its oscillator's count when it began."""

    def begin(self, true_ns: int) -> None:
        """Start the card: its frame 0 is played (or captured) at this true time."""
        self.elapsed_before = self.oscillator.elapsed(true_ns)

    def at(self, true_ns: int) -> int:
        """See `TimeBase.at`."""
        return self.oscillator.elapsed(true_ns) - self.elapsed_before

    def true_at(self, shown_ns: NDArray[np.float64]) -> NDArray[np.int64]:
        """True times at which it shows the given times."""
        true_ns = self.oscillator.true_after_array(shown_ns + self.elapsed_before)
        return np.rint(true_ns).astype(np.int64)

    def times_of(self, first: int, count: int, every: int, rate: int) -> NDArray[np.int64]:
        """True times of ``count`` of its frames: ``first``, ``first + every``, ..."""
        return self.true_at((first + every * np.arange(count, dtype=np.float64)) * (NS_PER_S / rate))

    def rate_ppb(self, true_ns: int) -> float:
        """See `TimeBase.rate_ppb`."""
        return self.oscillator.rate_ppb(true_ns)

    def rates_ppb(self, true_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `TimeBase.rates_ppb`."""
        return self.oscillator.rates_ppb(true_ns)

    def silent(self, true_ns: int) -> bool:
        """See `TimeBase.silent`: a driver always gives stamps."""
        return False

    def identity(self, true_ns: int) -> str:
        """See `TimeBase.identity`."""
        return "card"
