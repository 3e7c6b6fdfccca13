"""An engine at work: it hears, it speaks through sockets, and a clock is made of what it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from phasegraph import ClockEstimate
from phasegraph.net import Arrival, Departure

from .engine import Engine, Followed, Measured, Send, Tracker
from .sockets import Sockets

_TOKEN_BITS = 40


class Tell(Protocol):
    """Somebody who wants to know what happens, as `NodeContext.event`."""

    def __call__(self, name: str, **fields: int | float | str) -> None:
        """Something happened."""


class Participant:
    """Several of them may share sockets, if each has a ``number`` of its own."""

    def __init__(self, engine: Engine, tracker: Tracker, sockets: Sockets, tell: Tell, number: int = 0) -> None:
        self.engine = engine
        self.tracker = tracker
        self.unsent = 0
        """Datagrams that the system refused."""
        self._sockets = sockets
        self._tell = tell
        self._number = number

    def hear(self, item: Arrival | Departure, now: Callable[[], int]) -> None:
        """What a socket has to tell; departures of others are passed over."""
        if isinstance(item, Arrival):
            self.engine.receive(item.data, item.source, item.local_ns, now())
        elif item.token >> _TOKEN_BITS == self._number:
            self.engine.departed(item.token & (1 << _TOKEN_BITS) - 1, item.local_ns)
        self._act()

    def work(self, now_ns: int) -> ClockEstimate:
        """Do what is due; returns the clock."""
        if self.engine.deadline_ns <= now_ns:
            self.engine.tick(now_ns)
        self._act()
        return self.tracker.update(now_ns)

    def _act(self) -> None:
        for action in self.engine.actions():
            match action:
                case Send():
                    self._send(action)
                case Measured(sample):
                    self.tracker.add(sample)
                case Followed(leader, own):
                    self.tracker.follow(leader, own=own)
                    self._tell("leading" if own else "following", leader=leader)
                case _:
                    self._tell(action.name, **action.fields)

    def _send(self, action: Send) -> None:
        token = None if action.token is None else self._number << _TOKEN_BITS | action.token
        try:
            self._sockets.send(action, token)
        except OSError as error:
            self.unsent += 1
            if self.unsent == 1:
                self._tell("cannot_send", reason=str(error.strerror or error), address=action.destination[0])
