"""The ``soundcard`` sink: plays its input on a sound card."""

from __future__ import annotations

from functools import partial

import trio

from phasegraph import (
    TASK_STATUS_IGNORED,
    Build,
    Input,
    Metrics,
    NodeContext,
    NodeError,
    format_duration,
)

from .card_memory import PlayRing
from .card_player import CardPlayer
from .card_session import CardSession, card_metrics
from .cards import CardRequest
from .options import SoundcardSinkConfig

LOOK_NS = 500_000_000


class SoundcardSink:
    """Plays at the card's own rate. An edge with a clock crosses into its domain, and has a compensator."""

    def __init__(self, config: SoundcardSinkConfig, build: Build, input: Input) -> None:
        if config.rate not in (None, input.format.rate):
            raise NodeError(
                f"rate is {config.rate} Hz, and the input has {input.format.rate} Hz",
                "leave rate out to use the input's; a file source converts with its option rate",
                option="rate",
            )
        self._config = config
        self._input = input
        self._channels = config.channels or input.format.channels
        if self._channels < input.format.channels:
            raise NodeError(
                f"the input has {input.format.channels} channels, and channels is {self._channels}",
                "choose channels in input, or set channels to more",
                option="channels",
            )
        self._player: CardPlayer | None = None
        self._session: CardSession[PlayRing, CardPlayer] | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Play until the input has ended and all of it has sounded.

        Raises NodeError where there is no such card, or it does not accept the input's format.
        """
        config, format = self._config, self._input.format
        ended = trio.Event()

        def make_player(ring: PlayRing, before: CardPlayer | None) -> CardPlayer:
            self._player = CardPlayer(
                self._input,
                ctx.local,
                ring,
                buffer_ns=config.buffer,
                before=before,
                on_end=partial(ctx.call_soon, ended.set),
            )
            return self._player

        request = CardRequest(
            ctx.id, "output", config.device, format.rate, self._channels, config.latency, config.block
        )
        session = CardSession(ctx, request, PlayRing, make_player, self._player)
        self._session = session
        card = (await session.open()).card
        self._input.set_device(f"{card.host_api}: {card.lasting_name}, {format.rate} Hz")
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.watch)
                nursery.start_soon(self._warn_once, ctx)
                await ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            await session.close(played_out=ended.is_set())

    async def _warn_once(self, ctx: NodeContext) -> None:
        while not (self._player and self._player.short_ns):
            await ctx.sleep(LOOK_NS)
        ctx.event(
            "too_late",
            short_ns=self._player.short_ns,
            latency_ns=self._player.latency_ns,
            reason=_why_late(self._player.short_ns),
        )

    def metrics(self) -> Metrics:
        """``frames_out``, ``underruns``; of the card ``device_rate_ppb`` against local time, and ``latency_ns``.

        ``trouble`` while the card is lost, or all that it plays comes too late.
        """
        player = self._player
        if player is None:
            return {"frames_out": 0, "underruns": 0}
        late = {"trouble": _why_late(player.short_ns)} if player.short_ns else {}
        return {
            "frames_out": player.frames,
            "underruns": player.losses,
            "latency_ns": player.latency_ns,
            **late,
            **card_metrics(self._session, player),
        }


def _why_late(short_ns: int) -> str:
    late = format_duration(short_ns)
    return (
        f"the input comes {late} after the card needs it: lengthen the source's link-offset by at least {late}, "
        "or shorten latency and buffer"
    )
