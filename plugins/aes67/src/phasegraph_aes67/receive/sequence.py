"""Sequence numbers of one sender: what is new, doubled, out of order, and what never came."""

from __future__ import annotations

import enum

from ..rtp import wrapped

WINDOW = 3000
"""How far before or behind the next packet one belongs to the same count; a greater jump is a new count, not a loss
(RFC 3550, A.1: MAX_DROPOUT)."""


class Verdict(enum.Enum):
    """What a sequence number means."""

    NEXT = 0
    AHEAD = 1
    """Newer than the next: those between are missing, for now."""
    REORDERED = 2
    DUPLICATE = 3
    RESTART = 4


class SequenceTracker:
    """Follows the 16-bit sequence numbers of one stream.

    A missing packet counts as lost until it comes; one that comes within the window was only out of order.
    """

    def __init__(self, lost: int = 0) -> None:
        """``lost`` is how many were lost before."""
        self.expected: int | None = None
        """The next number, extended beyond 16 bits; None before the first packet."""
        self._first = 0
        self._missing: dict[int, None] = {}
        # In the order in which they were missed, so that the oldest are found without a search.
        self._lost_for_good = lost
        self._missed = 0
        """None that is newer than this is missing."""

    @property
    def lost(self) -> int:
        """Packets that were sent and have not come."""
        return self._lost_for_good + len(self._missing)

    def accept(self, sequence: int) -> Verdict:
        """Take in the number of a packet."""
        if self.expected is None:
            self.restart(sequence)
            return Verdict.NEXT
        ahead = wrapped(sequence - self.expected, 16)
        if ahead == 0:
            self.expected += 1
            return Verdict.NEXT
        if abs(ahead) > WINDOW:
            self.restart(sequence)
            return Verdict.RESTART
        number = self.expected + ahead
        if ahead > 0:
            self._missing.update(dict.fromkeys(range(self.expected, number)))
            self._missed = number - 1
            self.expected = number + 1
            self._forget()
            return Verdict.AHEAD
        if number in self._missing:
            del self._missing[number]
            return Verdict.REORDERED
        if number < self._first and self._first - number < WINDOW:
            # The first packet that came was not the first that was sent.
            self._missing.update(dict.fromkeys(range(number + 1, self._first)))
            self._missed = max(self._missed, self._first - 1)
            self._first = number
            return Verdict.REORDERED
        return Verdict.DUPLICATE

    def precedes(self, sequence: int) -> bool:
        """Whether it is a number from before the first packet that came."""
        if self.expected is None:
            return False
        ahead = wrapped(sequence - self.expected, 16)
        return -WINDOW <= ahead < self._first - self.expected

    def advance(self, count: int) -> None:
        """Take in ``count`` packets that were exactly the next ones."""
        assert self.expected is not None
        self.expected += count
        if self._missing:
            self._forget()

    def merge(self, sequence: int, count: int) -> int:
        """Take in ``count`` packets that follow each other, each of which may have come before on another leg.

        Returns how many had not.
        """
        if self.expected is not None:
            ahead = wrapped(sequence - self.expected, 16)
            begin = self.expected + ahead
            whole = self._first <= begin and (not self._missing or begin > self._missed)
            if -WINDOW <= ahead <= 0 and whole:
                fresh = max(0, ahead + count)
                self.advance(fresh)
                return fresh
        verdicts = [self.accept(number & 0xFFFF) for number in range(sequence, sequence + count)]
        return count - verdicts.count(Verdict.DUPLICATE)

    def restart(self, sequence: int) -> None:
        """Begin anew behind a packet with this number; what was missing is lost."""
        self._lost_for_good += len(self._missing)
        self._missing.clear()
        # Extended numbers begin high enough for packets from before the first to stay positive.
        self._first = sequence + (1 << 16)
        self.expected = self._first + 1

    def _forget(self) -> None:
        assert self.expected is not None
        oldest = self.expected - WINDOW
        while self._missing and (number := next(iter(self._missing))) < oldest:
            del self._missing[number]
            self._lost_for_good += 1
