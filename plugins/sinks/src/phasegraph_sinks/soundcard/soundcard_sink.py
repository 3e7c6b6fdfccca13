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
    duration_of,
    format_duration,
)

from .card_memory import PlayRing
from .card_player import CardPlayer
from .card_session import CardSession, card_metrics
from .cards import CardRequest, OpenedCard
from .found_buffers import FoundBuffer, found_buffers
from .jack import HOST_API
from .lowest_buffer import START_NS, BufferChange, LowestBuffer
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
        self._opened: OpenedCard | None = None
        self._lowest: LowestBuffer | None = None
        self._key = f"{build.id} on {'the default card' if config.device is None else config.device}"
        if config.latency == "lowest":
            found = None if build.local.virtual else found_buffers().load().get(self._key)
            self._lowest = LowestBuffer(input.format.rate, found.cover_ns if found else START_NS)
            build.note(_describe_found(found))
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
                lowest=self._lowest,
                on_buffer_change=lambda change: ctx.call_soon(self._report_change, ctx, change),
            )
            return self._player

        request = CardRequest(
            ctx.id, "output", config.device, format.rate, self._channels, config.latency, config.block
        )
        session = CardSession(ctx, request, PlayRing, make_player, self._player)
        self._session = session
        self._opened = await session.open()
        card = self._opened.card
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
            if self._lowest is not None and self._lowest.worst_ns and not ctx.local.virtual:
                try:
                    found_buffers().keep({self._key: FoundBuffer(self._lowest.cover_ns, self._setting())})
                except OSError as error:
                    ctx.log.warning("what the card's ring has to hold cannot be kept", error=error.strerror)

    def _report_change(self, ctx: NodeContext, change: BufferChange) -> None:
        ctx.event(change.name, reason=change.reason, buffer_ns=self._buffer_ns(), setting=self._setting())

    def _buffer_ns(self) -> int:
        return 0 if self._player is None else duration_of(self._player.depth(), self._input.format.rate)

    def _setting(self) -> str:
        # What the ring holds, as options that fix it. `buffer` comes beside a cycle, up to the length of one.
        assert self._player is not None
        assert self._opened is not None
        depth, cycle = self._player.depth(), self._player.stamps.largest
        buffer = depth if depth > 2 * cycle else depth - cycle
        text = f'buffer = "{round(buffer * 1e6 / self._input.format.rate) / 1000:g}ms"'
        if self._opened.card.host_api == HOST_API:
            return text  # JACK has its own latency
        return f'latency = "{round(self._opened.latency_s * 1e6) / 1000:g}ms", {text}'

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

        With ``latency = "lowest"``: ``buffer_ns``, which the ring holds, ``longest_refill_ns`` (from a callback to the
        end of the fill after it, in the last ten minutes) and ``setting``, which fixes both.

        ``trouble`` while the card is lost, or all that it plays comes too late.
        """
        player = self._player
        if player is None:
            return {"frames_out": 0, "underruns": 0}
        found: Metrics = {}
        if self._lowest is not None and self._opened is not None:
            found = {
                "buffer_ns": self._buffer_ns(),
                "longest_refill_ns": self._lowest.worst_ns,
                "setting": self._setting(),
            }
        late = {"trouble": _why_late(player.short_ns)} if player.short_ns else {}
        return {
            "frames_out": player.frames,
            "underruns": player.losses,
            "latency_ns": player.latency_ns,
            **found,
            **late,
            **card_metrics(self._session, player),
        }


def _describe_found(found: FoundBuffer | None) -> str:
    if found is None:
        return "the least buffer is found while it plays; status, report and the next check say what it is"
    return f'the last run found {found.setting}; write that in place of latency = "lowest" to fix it'


def _why_late(short_ns: int) -> str:
    late = format_duration(short_ns)
    return (
        f"the input comes {late} after the card needs it: lengthen the source's link-offset by at least {late}, "
        "or shorten latency and buffer"
    )
