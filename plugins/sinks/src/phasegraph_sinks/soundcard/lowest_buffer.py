"""Finds the least that a card's ring has to hold, while it plays (``latency = "lowest"``).

A callback takes one cycle of frames out of the ring. The data plane sees that at its next step and fills the ring up
again: its *response* is the time from the callback to the end of that fill. A ring of *k* cycles lasts for a response
of *k* cycles, after which a callback finds too few frames. A part of a cycle buys no time, so the ring holds whole
cycles, and one frame more: a ring that is exactly empty counts as run dry.

    k >= 4 / 3 x response / cycle

The longest response decides, at once: at most twice what there was, since one stall of the machine is no measure, and
no more than the input has ready, since frames that have not arrived would be missing instead. What an earlier run has
found is cut to that too. A callback that found too
few frames for another reason adds one cycle. One cycle is given back after ten minutes whose longest response would
have taken half of what remained.

Frames are numbered by the card, so a ring that holds more or less changes when they are read and never when they sound.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from phasegraph import NS_PER_S, duration_of, format_duration

START_NS = 2_000_000
"""What the ring covers at first: whole cycles of at least this."""
MOST_NS = 250_000_000
SETTLING_NS = 2 * NS_PER_S
"""First fills, which are slower than later ones, and sound seldom: a compensator still measures the card."""
WINDOW_NS = 600 * NS_PER_S
"""How long responses have to be short before the ring holds less."""
ROOM_NS = 10 * NS_PER_S
"""What the input has ready is the least of this time, and of as much before."""


class BufferChange(msgspec.Struct, frozen=True):
    """The ring holds more, or less, or cannot hold what it should; as an event reports it."""

    name: Literal["buffer_raised", "buffer_lowered", "buffer_short"]
    reason: str


class LowestBuffer:
    """How much one card's ring holds. The data plane writes all of it; others read ``worst_ns`` and `depth`."""

    def __init__(self, rate: int, cover_ns: int = START_NS) -> None:
        """``cover_ns`` is what an earlier run has found."""
        self.cover_ns = min(cover_ns, MOST_NS)
        """Responses that the ring should last for; `depth` rounds it up to cycles."""
        self.worst_ns = 0
        """The longest response of this window of `WINDOW_NS`."""
        self._rate = rate
        self._began_ns: int | None = None
        self._window_ns = self._room_ns = 0  # since when
        self._rooms: list[int] = []
        self._settled = self._short = False

    def depth(self, cycle: int) -> int:
        """Frames that the ring holds when full, for a card that takes ``cycle`` frames at a time."""
        return self._cycles(cycle) * cycle + 1

    def note_fill(
        self, local_ns: int, cycle: int, response_ns: int, room: int, *, underrun: bool
    ) -> BufferChange | None:
        """The ring was filled. ``room``: frames that the input had ready beyond those that were read.

        ``underrun``: since the last fill a callback has found too few frames, and the card had lost none.
        """
        self._note_room(local_ns, room)
        if self._began_ns is None:
            self._began_ns = self._window_ns = local_ns
        if local_ns - self._began_ns < SETTLING_NS:
            return None
        if not self._settled:
            self._settled = True
            if (change := self._fit_into_input(cycle)) is not None:
                return change
        self.worst_ns = max(self.worst_ns, response_ns)
        cycles, cycle_ns = self._cycles(cycle), duration_of(cycle, self._rate)
        needed = max(-(-4 * response_ns // (3 * cycle_ns)), cycles + underrun)
        wanted = min(needed, 2 * cycles, MOST_NS // cycle_ns)
        if wanted > cycles:
            return self._raise(
                cycles, wanted, cycle, f"{_why(underrun)} {format_duration(response_ns)} after a callback"
            )
        if local_ns - self._window_ns >= WINDOW_NS:
            return self._end_window(local_ns, cycles, cycle)
        return None

    def _fit_into_input(self, cycle: int) -> BufferChange | None:
        cycles, lacking = self._cycles(cycle), -min(self._rooms)
        if lacking <= 0 or cycles == 1:
            return None
        self._set_cycles(max(1, cycles - -(-lacking // cycle)), cycles, cycle)
        return BufferChange("buffer_lowered", "the input has less ready than an earlier run found to be needed")

    def _raise(self, cycles: int, wanted: int, cycle: int, why: str) -> BufferChange | None:
        room = max(0, min(self._rooms)) // cycle
        if room:
            self._set_cycles(min(wanted, cycles + room), cycles, cycle)
            self._short = False
            return BufferChange("buffer_raised", why)
        if self._short:
            return None
        self._short = True
        short = format_duration(duration_of((wanted - cycles) * cycle, self._rate))
        return BufferChange(
            "buffer_short", f"{why}; the input has no more ready: lengthen the source's link-offset by at least {short}"
        )

    def _end_window(self, local_ns: int, cycles: int, cycle: int) -> BufferChange | None:
        worst_ns, self.worst_ns, self._window_ns, self._short = self.worst_ns, 0, local_ns, False
        if cycles == 1 or 2 * worst_ns > self._covered_ns(cycles - 1, cycle):
            return None
        self._set_cycles(cycles - 1, cycles, cycle)
        window, worst = format_duration(WINDOW_NS), format_duration(worst_ns)
        return BufferChange("buffer_lowered", f"for {window} frames were ready {worst} after a callback at the latest")

    def _set_cycles(self, cycles: int, before: int, cycle: int) -> None:
        self.cover_ns = self._covered_ns(cycles, cycle)
        self._rooms = [room - (cycles - before) * cycle for room in self._rooms]

    def _note_room(self, local_ns: int, room: int) -> None:
        # The least of this span of `ROOM_NS`, and of the one before.
        if not self._rooms or local_ns - self._room_ns >= ROOM_NS:
            self._rooms = [*self._rooms[-1:], room]
            self._room_ns = local_ns
        self._rooms[-1] = min(self._rooms[-1], room)

    def _covered_ns(self, cycles: int, cycle: int) -> int:
        return cycles * cycle * NS_PER_S // self._rate

    def _cycles(self, cycle: int) -> int:
        return max(1, -(-self.cover_ns * self._rate // (cycle * NS_PER_S)))


def _why(underrun: bool) -> str:
    return "the card found too few frames, which were ready" if underrun else "frames were ready"
