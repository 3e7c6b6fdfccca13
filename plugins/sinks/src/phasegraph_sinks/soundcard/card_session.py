"""Keeping a card open while a node runs: opened, watched, lost, waited for, found again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import trio

from phasegraph import NodeContext, NodeError

from .callback_stamps import StampReader
from .portaudio import Card, Direction, Portaudio, is_active, time_of

LOST_NS = 1_000_000_000
"""A card that has not called for so long is gone."""
WATCH_NS = 100_000_000
SEARCH_NS = 1_000_000_000
"""How often a card that is gone is looked for."""


class Side(Protocol):
    """What a card is opened for: a `Player` or a `Recorder`."""

    stamps: StampReader

    def callback(self, data: Any, count: int, time: Any, status: Any) -> None:
        """For PortAudio."""

    def step(self, local_ns: int) -> int:
        """For the data plane while the card is open."""

    def step_without_card(self, local_ns: int) -> int:
        """For the data plane while it is away."""


S = TypeVar("S", bound=Side)


class CardSession(Generic[S]):
    """One card, through all its openings in a run of a node."""

    def __init__(
        self,
        ctx: NodeContext,
        card: Card,
        direction: Direction,
        make: Callable[[S | None], S],
        before: S | None,
        options: dict[str, Any],
    ) -> None:
        """``make`` is called for every opening, with what served the one before; ``options`` are for `Portaudio`.

        ``before`` is what served the node's run before this one.
        """
        self.card = card
        self.side: S = make(before)
        """What serves the newest opening."""
        self._ctx = ctx
        self._direction: Direction = direction
        self._make = make
        self._options = options
        self._portaudio = ctx.shared(Portaudio)
        self._stream: Any = None
        self._step: Callable[[int], int] = self.side.step_without_card

    async def open(self) -> None:
        """Open the card. Raises NodeError where it refuses."""
        side, ctx = self.side, self._ctx
        options = {**self._options, "callback": side.callback}
        with trio.CancelScope(shield=True):  # a stream that is open must be known to be
            stream = await ctx.in_thread(partial(self._portaudio.open, self.card, self._direction, options))
        self._stream = stream
        side.stamps.opened(stream.latency, lambda: time_of(stream) if self._stream is stream else 0)
        self._step = side.step

    async def close(self, *, played_out: bool = False) -> None:
        """Close the card if it is open; ``played_out`` lets it play what it has been given."""
        stream, self._stream, self._step = self._stream, None, self.side.step_without_card
        if stream is not None:
            with trio.CancelScope(shield=True):
                await self._ctx.in_thread(partial(self._portaudio.release, stream, played_out=played_out))

    async def hold(self) -> None:
        """Have the data plane step, and bring the card back whenever it goes away; until cancelled."""
        ctx = self._ctx
        ctx.attach(lambda local_ns: self._step(local_ns))
        while True:
            while self._alive():
                await ctx.sleep(WATCH_NS)
            ctx.event("device_lost", device=self.card.name)
            await self.close()
            while not await self._back():
                await ctx.sleep(SEARCH_NS)
            ctx.event("device_found", device=self.card.name)

    def _alive(self) -> bool:
        silent_ns = self._ctx.local.now_ns() - self.side.stamps.newest_ns
        return silent_ns < LOST_NS and is_active(self._stream)

    async def _back(self) -> bool:
        before = self.side
        try:
            search = partial(self._portaudio.find_again, self.card, self._direction)
            self.card = await self._ctx.in_thread(search)
            self.side = self._make(before)
            await self.open()
        except NodeError:
            self.side = before
            return False
        return True
