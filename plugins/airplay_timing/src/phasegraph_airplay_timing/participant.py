"""Runs an engine: its sockets, its actions, and the clock that follows from its measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from phasegraph import ClockEstimate
from phasegraph.net import Arrival, Departure

from .engine import LeaderChanged, LeaderClock, SampleTaken, SendDatagram, TimingEngine
from .timing_sockets import TimingSockets

_TOKEN_BITS = 40


class EmitEvent(Protocol):
    """Takes events, as `NodeContext.event` does."""

    def __call__(self, name: str, **fields: int | float | str) -> None:
        """Something happened."""


class TimingParticipant:
    """Several of them may share sockets, if each has a ``number`` of its own."""

    def __init__(
        self, engine: TimingEngine, tracker: LeaderClock, sockets: TimingSockets, emit_event: EmitEvent, number: int = 0
    ) -> None:
        self.engine = engine
        self.tracker = tracker
        self.unsent = 0
        """Datagrams that the system refused."""
        self._sockets = sockets
        self._emit_event = emit_event
        self._number = number

    def handle_socket_item(self, item: Arrival | Departure, now: Callable[[], int]) -> None:
        """Handle an arrival or a departure; departures of other participants are ignored."""
        if isinstance(item, Arrival):
            self.engine.receive(item.data, item.source, item.local_ns, now())
        elif item.token >> _TOKEN_BITS == self._number:
            self.engine.departed(item.token & (1 << _TOKEN_BITS) - 1, item.local_ns)
        self._act()

    def advance(self, now_ns: int) -> ClockEstimate:
        """Do what is due; returns the clock."""
        if self.engine.deadline_ns <= now_ns:
            self.engine.tick(now_ns)
        self._act()
        return self.tracker.publish(now_ns)

    def _act(self) -> None:
        for action in self.engine.actions():
            match action:
                case SendDatagram():
                    self._send(action)
                case SampleTaken(sample):
                    self.tracker.add_sample(sample)
                case LeaderChanged(leader, own):
                    self.tracker.set_leader(leader, own=own)
                    self._emit_event("leading" if own else "following", leader=leader)
                case _:
                    self._emit_event(action.name, **action.fields)

    def _send(self, action: SendDatagram) -> None:
        token = None if action.token is None else self._number << _TOKEN_BITS | action.token
        try:
            self._sockets.send(action, token)
        except OSError as error:
            self.unsent += 1
            if self.unsent == 1:
                self._emit_event("cannot_send", reason=str(error.strerror or error), address=action.destination[0])
