"""What ``kernel simulate`` gives a kind of clock that brings its own simulation."""

from __future__ import annotations

from typing import Protocol


class SimulatedReference(Protocol):
    """The truth that a simulated clock is to find out: its grandmaster, and the way there.

    Nothing here may leak into an estimate but through messages that take their time: ask `shows_ns` for the time that
    a message carries, wait for `way_here_ns` or `way_there_ns`, and stamp it by the local clock.
    """

    @property
    def grandmaster(self) -> str:
        """Identity of the grandmaster now, as IEEE 1588 writes one: ``02-00-00-FF-FE-00-00-00``."""

    @property
    def silent(self) -> bool:
        """Whether nothing of it is heard now."""

    def shows_ns(self) -> int:
        """What the grandmaster shows now, in nanoseconds of its timescale (``ptp``)."""

    def way_here_ns(self) -> int | None:
        """How long a message from the grandmaster takes that is sent now; None if it gets lost."""

    def way_there_ns(self) -> int | None:
        """The same of a message to the grandmaster."""
