"""The ``system`` clock: CLOCK_REALTIME as a reference, seen from local time."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import trio
from msgspec import Meta, Struct

from ._core.clock import ClockEstimate, ClockState
from ._core.config import ClockConfig
from ._core.node import TASK_STATUS_IGNORED, Build, Metrics, NodeContext
from ._core.units import Duration, RateOffset

POLL_NS = 500_000_000
STEP_NS = 1_000_000
"""A change of more than this between two polls is a step of the system's clock, not a slew (500 ppm)."""
READ_SIGMA_NS = 50.0
READ_BOUND_NS = 5_000.0
"""Accuracy of a bracketed read; an unlucky one is preempted between its reads."""
RATE_HORIZON_NS = 8_000_000_000
"""The rate is measured over this time: long against the noise of a read, short against temperature."""


class NtpState(Struct, frozen=True):
    """What the operating system knows of its own time, from an NTP or PTP daemon (adjtimex, RFC 5905 appendix A.5)."""

    synchronised: bool
    max_error_ns: int
    """The daemon's bound of the error of CLOCK_REALTIME; without a daemon it grows by 500 ppm."""


_TIMEX_BYTES = 208
_TIME_ERROR = 5
_STA_UNSYNC = 0x40


def read_ntp_state() -> NtpState | None:
    """The state of the system's time; None where the system does not report it."""
    if sys.platform != "linux":
        return None
    buffer = (ctypes.c_long * (_TIMEX_BYTES // 8))()  # struct timex, with modes = 0: read only
    with suppress(OSError, AttributeError):
        code = ctypes.CDLL(None).adjtimex(ctypes.byref(buffer))
        if code >= 0:
            max_error_us, status = buffer[3], ctypes.c_int.from_buffer(buffer, 40).value
            synchronised = code != _TIME_ERROR and not status & _STA_UNSYNC
            return NtpState(synchronised, max_error_us * 1000)
    return None


class SystemClockConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``system`` clock."""

    tai_offset: Annotated[
        Duration,
        Meta(description="Added to CLOCK_REALTIME, which counts UTC, so that the timescale is TAI as PTP's is."),
    ] = 37_000_000_000
    rate_offset: Annotated[
        RateOffset,
        Meta(description="Makes the clock run fast by this: a second clock domain for trials."),
    ] = 0.0


class SystemClock:
    """Follows CLOCK_REALTIME by bracketed reads twice a second; always locked to it, however wrong it is.

    Whether CLOCK_REALTIME itself is right depends on an NTP daemon: metric ``ntp``, and an event when that changes.
    """

    def __init__(
        self,
        config: SystemClockConfig,
        build: Build,
        ntp_state: Callable[[], NtpState | None] = read_ntp_state,
    ) -> None:
        self._config = config
        self._local = build.local
        self._epoch = self._local.now_ns()
        self._history: list[tuple[int, int]] = []
        self._estimate = self._observe(0)
        self._read_ntp_state = ntp_state
        self._ntp = None if self._local.virtual else ntp_state()

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`: the figures that every clock has come from its estimate."""
        if self._ntp is None:
            return {}
        if not self._ntp.synchronised:
            return {"ntp": "not synchronised"}
        return {"ntp": "synchronised", "ntp_max_error_ns": self._ntp.max_error_ns}

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
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
            self._check_ntp(ctx)

    def _check_ntp(self, ctx: NodeContext) -> None:
        before = self._ntp
        if before is None:
            return
        self._ntp = self._read_ntp_state() or before
        if before.synchronised and not self._ntp.synchronised:
            reason = "no NTP daemon corrects the system's time any more; its rate and time of day drift"
            ctx.event("ntp_lost", reason=reason)
        elif self._ntp.synchronised and not before.synchronised:
            ctx.event("ntp_synchronised", max_error_ns=self._ntp.max_error_ns)

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
