"""What serves one opened card: common to playing and recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from phasegraph import LocalClock

from .callback_stamps import CallbackStamps
from .card_memory import CaptureRing, PlayRing

CAPACITY_NS = 1_000_000_000
"""Length of a ring: more than any cycle of a card."""

R = TypeVar("R", bound=PlayRing | CaptureRing)


class CardSide(ABC, Generic[R]):
    """Serves an opened card through its ring. Data plane only, but for the figures that others read."""

    def __init__(self, ring: R, rate: int, local: LocalClock, before: Self | None, *, capture: bool = False) -> None:
        """``before`` served the same card before it was lost: this one continues its timeline and its counts."""
        timeline = None if before is None else before.stamps.timeline
        self.ring: R = ring
        self.stamps: CallbackStamps = CallbackStamps(ring, rate, local, capture=capture, before=timeline)
        self.frames: int = 0 if before is None else before.frames
        """Frames of the stream that went to the card, or came from it."""
        self._losses_before: int = 0 if before is None else before.losses
        self._lost_before: int = 0 if before is None else before.lost_frames

    @property
    def losses(self) -> int:
        """Times that frames were missing in the middle, or were lost: the ring ran dry or over, the driver had xruns or
        lost cycles."""
        ring = self.ring
        return self._losses_before + ring.underruns + ring.overruns + ring.lost_cycles + self.stamps.xruns

    @property
    def lost_frames(self) -> int:
        """Frames that the card did not ask for or did not give: their time passed without them."""
        return self._lost_before + self.ring.lost_frames + self.stamps.lost_frames

    @abstractmethod
    def step(self, local_ns: int) -> int:
        """For the data plane while the card is open: read stamps, and move frames. Returns when to be called again."""

    @abstractmethod
    def step_without_card(self, local_ns: int) -> int:
        """For the data plane while the card is away."""
