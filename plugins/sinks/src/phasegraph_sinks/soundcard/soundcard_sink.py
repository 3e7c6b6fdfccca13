"""The ``soundcard`` sink: plays its input on a sound card."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import trio
from msgspec import Meta

from phasegraph import (
    Build,
    Duration,
    Input,
    Metrics,
    NodeContext,
    NodeError,
    SampleRate,
    SinkConfig,
    SinkKind,
    format_duration,
)

from .card_player import Player
from .card_session import CardSession
from .options import Block, Device, Latency, card_metrics, stream_options
from .portaudio import check, find

LOOK_NS = 500_000_000


class SoundcardSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a ``soundcard`` sink."""

    device: Device = None
    rate: Annotated[
        Annotated[SampleRate, Meta(ge=1000, le=768_000)] | None,
        Meta(description="Frames per second; the input's, which a card must have, as nothing is converted."),
    ] = None
    channels: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="Channels to open; the input's if left out. Any beyond those are silent."),
    ] = None
    latency: Latency = None
    block: Block = 0
    buffer: Annotated[
        Duration,
        Meta(description="What lies ready for the callback; at least two blocks of it do.", ge=0, le=500_000_000),
    ] = 10_000_000


class SoundcardSink:
    """Plays on the card's own time. An edge with a clock crosses into it, and has a compensator."""

    def __init__(self, config: SoundcardSinkConfig, input: Input) -> None:
        if config.rate not in (None, input.format.rate):
            raise NodeError(
                f"it should play {config.rate} Hz and its input has {input.format.rate} Hz",
                "leave rate out to play the input's; a file source can be converted by its option rate",
                option="rate",
            )
        self._config = config
        self._input = input
        self._channels = config.channels or input.format.channels
        if self._channels < input.format.channels:
            raise NodeError(
                f"its input has {input.format.channels} channels, and {self._channels} are to be opened",
                "choose channels in input, or open more",
                option="channels",
            )
        self._player: Player | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Play until the input has ended and all of it has sounded.

        Raises NodeError where there is no such card, or it does not take the input's format.
        """
        config, format = self._config, self._input.format
        card = await ctx.in_thread(partial(find, config.device, "output"))
        await ctx.in_thread(partial(check, card, "output", format.rate, self._channels))
        self._input.set_device(f"{card.host_api}: {card.lasting_name}, {format.rate} Hz")
        ended = trio.Event()

        def make(before: Player | None) -> Player:
            self._player = Player(
                self._input,
                ctx.local,
                channels=self._channels,
                buffer_ns=config.buffer,
                before=before,
                on_end=partial(ctx.call_soon, ended.set),
            )
            return self._player

        options = stream_options(rate=format.rate, channels=self._channels, latency=config.latency, block=config.block)
        session = CardSession(ctx, card, "output", make, self._player, options)
        await session.open()
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.hold)
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
            remedy=f"lengthen the source's link-offset by {format_duration(self._player.short_ns)} and more, "
            "or shorten latency and buffer",
        )

    def metrics(self) -> Metrics:
        """``frames_out``, ``underruns``; of the card ``device_rate_ppb`` against local time, and ``latency_ns``."""
        player = self._player
        if player is None:
            return {"frames_out": 0, "underruns": 0}
        return {
            "frames_out": player.frames_out,
            "underruns": player.underruns,
            "latency_ns": player.latency_ns,
            **card_metrics(player.stamps),
        }


def make(config: SoundcardSinkConfig, build: Build, input: Input) -> SoundcardSink:
    """Raises NodeError where the options do not fit the input. The card is looked for when the node runs."""
    return SoundcardSink(config, input)


KIND = SinkKind(
    kind="soundcard",
    summary="Plays on a sound card, each frame when its time has come.",
    config=SoundcardSinkConfig,
    factory=make,
    domain="device",
    example="""[sinks.speakers]
kind = "soundcard"
input = "stage"
compensator = "align"
device = "USB Audio"
""",
)
