"""Keeps a card open while a node runs: opened, watched, lost, waited for, found again.

    opening -> open -> lost -> searching -> open ...

Real cards live in child processes (`CardProcess`), so every change of state ends within a limit. Where time is
simulated, and on Windows, cards are opened in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec
import trio

from phasegraph import Metrics, NodeContext, NodeError, frames_in

from .card_host import OpenCard, measure_clock, open_card
from .card_process import SUPPORTED, CardProcess
from .card_side import CAPACITY_NS, CardSide, R
from .cards import CardRequest, OpenedCard

LOST_NS = 1_000_000_000
"""A card without a callback for this long is lost."""
WATCH_NS = 100_000_000
SEARCH_NS = 1_000_000_000
"""How often a lost card is searched for."""
REPORT_NS = 10_000_000_000
"""Least time between two events about lost frames."""


S = TypeVar("S", bound=CardSide[Any])


class CardSession(Generic[R, S]):
    """One card, through all its openings in a run of a node."""

    def __init__(
        self,
        ctx: NodeContext,
        request: CardRequest,
        ring_type: type[R],
        make_side: Callable[[R, S | None], S],
        before: S | None,
    ) -> None:
        """``make_side`` is called for every opening, with its ring and what served the opening before.

        ``before`` served the node's run before this one.
        """
        self.side: S | None = before
        """What serves the newest opening."""
        self.trouble = ""
        """Why the card neither plays nor records, while it is lost. Written and read by the control plane."""
        self._ctx = ctx
        self._request = request
        self._ring_type: type[R] = ring_type
        self._make_side: Callable[[Any, S | None], S] = make_side
        self._capacity = max(1, frames_in(CAPACITY_NS, request.rate))
        self._card: OpenCard | CardProcess | None = None
        self._step: Callable[[int], int] = lambda local_ns: local_ns + WATCH_NS

    async def open(self) -> OpenedCard:
        """Open the card. Raises NodeError where it refuses or does not answer."""
        before = self.side
        if self._ctx.local.virtual or not SUPPORTED:
            ring = self._ring_type(self._request.channels, self._capacity)
            side = self._make_side(ring, before)
            work = partial(open_card, self._request, ring, self._ctx.local.now_ns)
            card: OpenCard | CardProcess = await self._ctx.in_thread(work)
            measure_clock(card, ring, self._ctx.local.now_ns)
        else:
            start = partial(CardProcess, self._request, self._ring_type, self._capacity)
            card = process = await self._ctx.in_thread(start, abandon=True, too_late=CardProcess.kill)
            side = self._make_side(process.ring, before)
        self._card, self.side = card, side
        self._request = msgspec.structs.replace(self._request, known=card.opened.card)
        side.stamps.card_opened(card.opened)
        if server := card.opened.ordinary_server:
            self._ctx.give_up_priority(f"{server} has no real-time priority, and what runs ahead of it delays it")
        self._step = side.step
        return card.opened

    async def close(self, *, played_out: bool = False) -> None:
        """Close the card if it is open; ``played_out`` lets the last frames sound."""
        card, self._card = self._card, None
        if self.side is not None:
            self._step = self.side.step_without_card
        if card is not None:
            with trio.CancelScope(shield=True):
                await self._ctx.in_thread(partial(card.close, played_out=played_out))

    async def watch(self) -> None:
        """Let the data plane step, report losses, and bring the card back whenever it is lost; until cancelled."""
        ctx = self._ctx
        ctx.attach(lambda local_ns: self._step(local_ns))
        reported, next_report_ns = self._losses(), 0
        while True:
            while self._is_alive():
                await ctx.sleep(WATCH_NS)
                losses, now_ns = self._losses(), ctx.local.now_ns()
                if losses > reported and now_ns >= next_report_ns:
                    reported, next_report_ns = losses, now_ns + REPORT_NS
                    self._report_losses(losses)
            reason = getattr(self._card, "lost_reason", "") or "the card calls no longer"
            ctx.event("device_lost", device=self._known_name(), reason=reason)
            self.trouble = f"the card {self._known_name()} is lost: {reason}; it is searched for every second"
            await self.close()
            while not await self._reopened():
                await ctx.sleep(SEARCH_NS)
            self.trouble = ""
            ctx.event("device_found", device=self._known_name())

    def _report_losses(self, losses: int) -> None:
        assert self.side is not None
        name = "underrun" if self._request.direction == "output" else "card_overrun"
        self._ctx.event(name, device=self._known_name(), count=losses, lost_frames=self.side.lost_frames)

    def _losses(self) -> int:
        return 0 if self.side is None else self.side.losses

    def _known_name(self) -> str:
        known = self._request.known
        return "" if known is None else known.name

    def _is_alive(self) -> bool:
        if self._card is None or self.side is None:
            return False
        silent_ns = self._ctx.local.now_ns() - self.side.stamps.newest_ns
        return silent_ns < LOST_NS and self._card.is_active()

    async def _reopened(self) -> bool:
        try:
            await self.open()
        except NodeError:
            return False
        return True


def card_metrics(session: CardSession[R, S] | None, side: CardSide[R]) -> Metrics:
    """Figures of a card: rate against local time, losses, where its times come from, and trouble, if there is any."""
    trouble: Metrics = {}
    if session is not None and session.trouble:
        trouble = {"trouble": session.trouble, "device_lost": True}
    stamps = side.stamps
    if stamps.timeline is None or stamps.source is None:
        return trouble
    return {
        **trouble,
        "device_rate_ppb": round(stamps.timeline.rate_ppb, 1),
        "stamp_jitter_ns": round(stamps.timeline.jitter_ns),
        "lost_frames": side.lost_frames,
        "time_source": stamps.source.reason,
    }
