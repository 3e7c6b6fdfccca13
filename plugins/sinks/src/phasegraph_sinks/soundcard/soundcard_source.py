"""The ``soundcard`` source: records from a sound card, as a clock domain of its own."""

from __future__ import annotations

import trio

from phasegraph import (
    NS_PER_S,
    TASK_STATUS_IGNORED,
    Build,
    Metrics,
    NodeContext,
    Stream,
    StreamFormat,
)

from .card_memory import CaptureRing
from .card_recorder import CardClock, CardRecorder
from .card_session import CardSession, card_metrics
from .cards import CardRequest
from .options import SoundcardSourceConfig


class SoundcardSource:
    """Frame n is the one that the card captured at its own time n / rate."""

    def __init__(self, config: SoundcardSourceConfig, build: Build) -> None:
        self._config = config
        self._clock = CardClock()
        self._recorder: CardRecorder | None = None
        self._session: CardSession[CaptureRing, CardRecorder] | None = None
        self.stream = Stream(
            StreamFormat(config.rate, config.channels),
            window_ns=NS_PER_S + 2 * config.link_offset,
            clock=self._clock,
            playout_delay_ns=config.link_offset,
        )

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Record until cancelled.

        Raises NodeError where there is no such card, or it does not have the rate and channels.
        """
        config = self._config

        def make_recorder(ring: CaptureRing, before: CardRecorder | None) -> CardRecorder:
            self._recorder = CardRecorder(self.stream, self._clock, ctx.local, ring, before=before)
            return self._recorder

        request = CardRequest(
            ctx.id, "input", config.device, config.rate, config.channels, config.latency, config.block
        )
        session = CardSession(ctx, request, CaptureRing, make_recorder, self._recorder)
        self._session = session
        await session.open()
        task_status.started()
        try:
            await session.watch()
        finally:
            await session.close()

    def accepts_options(self, config: SoundcardSourceConfig) -> bool:
        """See `phasegraph.LiveNode`: whether the ring is long enough for the link offset."""
        return config.link_offset <= self._config.link_offset + NS_PER_S // 2

    def change_options(self, config: SoundcardSourceConfig) -> None:
        """See `phasegraph.LiveNode.change_options`."""
        self.stream.change_playout_delay(config.link_offset)

    def metrics(self) -> Metrics:
        """``frames_in``, ``overruns``, and of the card ``device_rate_ppb`` against local time.

        ``trouble`` while the card is lost.
        """
        recorder = self._recorder
        if recorder is None:
            return {"frames_in": 0, "overruns": 0}
        return {
            "frames_in": recorder.frames,
            "overruns": recorder.losses,
            **card_metrics(self._session, recorder),
        }
