"""Tokens of event messages that wait for their transmit stamp, in bounded memory."""

from __future__ import annotations

from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")
"""What waits for the stamp: a callback, a sequence number, a peer ..."""


class TransmitTokens(Generic[Waiting]):
    """Numbers what waits for a transmit stamp. Where more than ``most`` wait, the oldest is given up."""

    def __init__(self, most: int = 1024) -> None:
        self._most = most
        self._waiting: dict[int, Waiting] = {}
        self._last = 0
        self.lost = 0
        """Given up, since no stamp came."""

    def __len__(self) -> int:
        return len(self._waiting)

    def issue(self, waiting: Waiting) -> int:
        """A new token for what waits."""
        self._last += 1
        self._waiting[self._last] = waiting
        if len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
        return self._last

    def redeem(self, token: int | None) -> Waiting | None:
        """What waits under a token, once; None for one that is unknown, or was given up."""
        return None if token is None else self._waiting.pop(token, None)

    def clear(self) -> None:
        """No stamp that is still to come is of use."""
        self._waiting.clear()
