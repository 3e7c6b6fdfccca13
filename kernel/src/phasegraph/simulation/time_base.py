"""What a clock of a simulation follows: the time of a reference whose truth is known."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TimeBase(Protocol):
    """The true time of a reference that a clock follows."""

    def at(self, true_ns: int) -> int:
        """The time that it shows at a true time, in nanoseconds."""

    def rate_ppb(self, true_ns: int) -> float:
        """Its rate minus that of true time, at a true time."""

    def rates_ppb(self, true_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """`rate_ppb` for an array of times."""

    def silent(self, true_ns: int) -> bool:
        """Whether clocks receive no messages of it at a true time."""

    def identity(self, true_ns: int) -> str:
        """The identity of the clock that shows it."""
