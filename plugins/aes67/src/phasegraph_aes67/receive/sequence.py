"""Sequence numbers of one sender, sans-IO: which are new, doubled, out of order or missing (RFC 3550, A.1)."""

from __future__ import annotations

import enum

from ..rtp import wrapped

WINDOW = 3000
"""How far before or behind the next packet a number belongs to the same count; a greater jump is a new count, not a
loss (RFC 3550, A.1: MAX_DROPOUT)."""


class Verdict(enum.Enum):
    """What a sequence number means."""

    NEXT = 0
    AHEAD = 1
    """Newer than the next: the packets between are missing, for now."""
    REORDERED = 2
    DUPLICATE = 3
    JUMP = 4
    """Outside the window. The count goes on from there if the next packet confirms it."""
    RESTART = 5
    """A jump that was confirmed: a new count begins with this packet."""


class SequenceTracker:
    """Extends the 16-bit sequence numbers of one stream, and counts those that are missing.

    A missing packet counts as lost until it comes; one that comes within the window was only out of order.
    """

    def __init__(self) -> None:
        self.expected: int | None = None
        """The next number, extended beyond 16 bits; None before the first packet."""
        self._first = 0
        self._missing: dict[int, None] = {}
        # In the order in which they were missed, so that the oldest are found without a search.
        self._lost_before = 0
        # Packets that are too old to be in ``_missing``.
        self._newest_missing = 0
        self._confirms: int | None = None
        # The number that would confirm the last jump.

    @property
    def lost(self) -> int:
        """Packets that were sent and have not come."""
        return self._lost_before + len(self._missing)

    def accept(self, sequence: int, *, trusted: bool = False) -> Verdict:
        """Count the number of a packet. ``trusted``: a jump needs no second packet to confirm it."""
        if self.expected is None:
            self.begin(sequence)
            assert self.expected is not None
        ahead = wrapped(sequence - self.expected, 16)
        if ahead == 0:
            self.expected += 1
            self._confirms = None
            return Verdict.NEXT
        if abs(ahead) > WINDOW:
            if not trusted and sequence != self._confirms:
                self._confirms = (sequence + 1) & 0xFFFF
                return Verdict.JUMP
            self.begin(sequence)
            self.expected += 1
            return Verdict.RESTART
        number = self.expected + ahead
        if ahead > 0:
            self._missing.update(dict.fromkeys(range(self.expected, number)))
            self._newest_missing = number - 1
            self.expected = number + 1
            self._forget()
            return Verdict.AHEAD
        if number in self._missing:
            del self._missing[number]
            return Verdict.REORDERED
        if number < self._first and self._first - number < WINDOW:
            # The first packet that came was not the first that was sent.
            self._missing.update(dict.fromkeys(range(number + 1, self._first)))
            self._newest_missing = max(self._newest_missing, self._first - 1)
            self._first = number
            return Verdict.REORDERED
        return Verdict.DUPLICATE

    def fill(self, sequence: int) -> bool:
        """Count a number only if it is the next, or missing. Returns whether it was."""
        if self.expected is None:
            return False
        number = self.expected + wrapped(sequence - self.expected, 16)
        counts = number == self.expected or number in self._missing
        if counts:
            self.accept(sequence)
        return counts

    def precedes(self, sequence: int) -> bool:
        """Whether this is a number from before the first packet that came."""
        if self.expected is None:
            return False
        ahead = wrapped(sequence - self.expected, 16)
        return -WINDOW <= ahead < self._first - self.expected

    def count_expected(self, count: int) -> None:
        """Count ``count`` packets that were exactly the next ones."""
        assert self.expected is not None
        self.expected += count
        self._confirms = None
        if self._missing:
            self._forget()

    def merge(self, sequence: int, count: int) -> int:
        """Count ``count`` packets that follow each other, each of which may have come before on another leg.

        Returns how many had not.
        """
        if self.expected is not None:
            ahead = wrapped(sequence - self.expected, 16)
            begin = self.expected + ahead
            whole = self._first <= begin and (not self._missing or begin > self._newest_missing)
            if -WINDOW <= ahead <= 0 and whole:
                fresh = max(0, ahead + count)
                self.count_expected(fresh)
                return fresh
        verdicts = [self.accept(number & 0xFFFF, trusted=True) for number in range(sequence, sequence + count)]
        return count - verdicts.count(Verdict.DUPLICATE)

    def begin(self, sequence: int) -> None:
        """Begin a new count: a packet with this number is the next. What was missing is lost."""
        self._lost_before += len(self._missing)
        self._missing.clear()
        # Extended numbers begin high enough for packets from before the first to stay positive.
        self._first = self.expected = sequence + (1 << 16)
        self._confirms = None

    def _forget(self) -> None:
        assert self.expected is not None
        oldest = self.expected - WINDOW
        while self._missing and (number := next(iter(self._missing))) < oldest:
            del self._missing[number]
            self._lost_before += 1
