"""What lies between two nodes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Link:
    """One direction. Packets overtake each other wherever their delays say so."""

    delay_ns: int = 20_000
    """What every packet takes."""
    jitter_ns: int = 0
    """On top, at most, evenly spread; with ``exponential`` the mean of it."""
    exponential: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    """How many packets come a second time, a jitter of their own later."""
    late: float = 0.0
    """How many packets take ``late_ns`` more: enough to be overtaken by many others."""
    late_ns: int = 300_000_000

    def arrivals(self, random: Random) -> list[int]:
        """How long each copy of one packet takes."""
        if self.loss and random.random() < self.loss:
            return []
        copies = 2 if self.duplicate and random.random() < self.duplicate else 1
        return [self._delay(random) for _ in range(copies)]

    def _delay(self, random: Random) -> int:
        delay = self.delay_ns
        if self.jitter_ns:
            delay += (
                round(random.expovariate(1 / self.jitter_ns)) if self.exponential else random.randrange(self.jitter_ns)
            )
        if self.late and random.random() < self.late:
            delay += self.late_ns
        return delay
