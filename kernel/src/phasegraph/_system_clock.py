"""The ``system`` clock: CLOCK_REALTIME as a reference, seen from local time."""

from __future__ import annotations

from typing import Annotated

import trio
from msgspec import Meta

from ._core.clock import ClockEstimate, ClockState
from ._core.config import ClockConfig
from ._core.node import Build, Metrics, NodeContext
from ._core.units import Duration, RateOffset

POLL_NS = 500_000_000
STEP_NS = 1_000_000
"""A change of more than this from one poll to the next is a step of the system's clock, not a slew (500 ppm)."""
READ_SIGMA_NS = 50.0
READ_BOUND_NS = 5_000.0
"""A bracketed read is this good; an unlucky one may be preempted between its reads."""
RATE_HORIZON_NS = 8_000_000_000
"""The rate is taken over so much time: long against the noise of a read, short against temperature."""


class SystemClockConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``system`` clock."""

    tai_offset: Annotated[
        Duration,
        Meta(description="Added to CLOCK_REALTIME, which counts UTC, so that the timescale is TAI as PTP's is."),
    ] = 37_000_000_000
    rate_offset: Annotated[
        RateOffset,
        Meta(description="Makes the clock run fast by so much: a second clock domain for trials."),
    ] = 0.0


class SystemClock:
    """Follows CLOCK_REALTIME by bracketed reads twice a second; always locked."""

    def __init__(self, config: SystemClockConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        self._epoch = self._local.now_ns()
        self._history: list[tuple[int, int]] = []
        self._estimate = self._observe(0)

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`: what every clock reports comes from its estimate."""
        return {}

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        task_status.started()
        while True:
            await ctx.sleep(POLL_NS)
            before = self._estimate
            fresh = self._observe(before.discontinuities)
            step_ns = fresh.reference_ns - before.reference_at(fresh.local_ns)
            if abs(step_ns) > STEP_NS:
                self._history.clear()
                fresh = self._observe(before.discontinuities + 1)
                ctx.event("clock_stepped", step_ns=step_ns)
            self._estimate = fresh

    def _observe(self, discontinuities: int) -> ClockEstimate:
        offset = self._local.realtime_offset_ns()
        now = self._local.now_ns()
        self._history.append((now, offset))
        while len(self._history) > 2 and now - self._history[0][0] > RATE_HORIZON_NS:
            del self._history[0]
        then, offset_then = self._history[0]
        rate_ppb = (offset - offset_then) * 1e9 / (now - then) if now - then >= POLL_NS else 0.0
        trial_ppb = self._config.rate_offset
        return ClockEstimate(
            local_ns=now,
            reference_ns=now + offset + self._config.tai_offset + round((now - self._epoch) * trial_ppb / 1e9),
            rate_ppb=rate_ppb + trial_ppb,
            sigma_ns=READ_SIGMA_NS,
            bound_ns=READ_BOUND_NS,
            state=ClockState.LOCKED,
            timescale="ptp",
            grandmaster="system",
            discontinuities=discontinuities,
        )
