"""A simulated clock source with known truth: kind ``sim-clock``."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import trio
from msgspec import Meta

from ..._core.clock import ClockEstimate, ClockState
from ..._core.config import ClockConfig
from ..._core.node import Build, Metrics, NodeContext
from ..._core.units import Duration, RateOffset
from ..local_clock import REALTIME_EPOCH_NS, TrueTime

_SIGMAS_IN_BOUND = 6.0


class SimClockConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``sim-clock`` clock."""

    rate_offset: Annotated[
        RateOffset, Meta(description="Rate of the reference minus that of true time.", ge=-1e6, le=1e6)
    ] = 0.0
    epoch: Annotated[Duration, Meta(description="The reference's time at true time 0.")] = REALTIME_EPOCH_NS
    interval: Annotated[Duration, Meta(description="Interval of its estimates.", ge=1_000_000)] = 125_000_000
    noise: Annotated[Duration, Meta(description="Standard deviation of an estimate's error.", ge=0)] = 0
    seed: Annotated[int, Meta(description="Seed of the noise.", ge=0)] = 0
    lock_after: Annotated[Duration, Meta(description="Time until it locks.", ge=0)] = 0
    holdover_after: Annotated[
        Duration | None, Meta(description="When its reference becomes silent, counted from the start of the run.")
    ] = None
    step_after: Annotated[
        Duration | None, Meta(description="When another grandmaster takes over, counted from the start of the run.")
    ] = None
    step: Annotated[Duration, Meta(description="How far that grandmaster is ahead of the first one.")] = 0


class SimClock:
    """Follows a reference that is an affine function of true time, with noise, states and a change of grandmaster."""

    def __init__(self, config: SimClockConfig, build: Build) -> None:
        self._config = config
        self._truth = TrueTime(build.local)
        self._random = np.random.default_rng(config.seed)
        self._began: int | None = None
        self._step = 0
        self._discontinuities = 0
        self._estimate = self._new_estimate(ClockState.UNLOCKED)

    def true_reference(self, true_ns: int) -> int:
        """The reference's time at a true time: the truth for the estimate."""
        return self._config.epoch + self._step + true_ns + round(true_ns * self._config.rate_offset / 1e9)

    def true_error_ns(self, local_ns: int) -> int:
        """True error of the newest estimate at a local time."""
        return self._estimate.reference_at(local_ns) - self.true_reference(self._truth.of_local(local_ns))

    def step(self, by_ns: int) -> None:
        """Let another grandmaster, ``by_ns`` ahead, take over now."""
        self._step += by_ns
        self._discontinuities += 1

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        now = self._truth.to_local(self._truth.now_ns())
        return {"true_offset_error_ns": self.true_error_ns(now), "discontinuities": self._discontinuities}

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._began = self._truth.now_ns()
        self._publish(ctx)
        task_status.started()
        while True:
            await ctx.sleep(self._config.interval)
            self._publish(ctx)

    def _publish(self, ctx: NodeContext) -> None:
        assert self._began is not None
        config, age = self._config, self._truth.now_ns() - self._began
        if config.step_after is not None and age >= config.step_after and self._discontinuities == 0:
            self.step(config.step)
            ctx.event("grandmaster_changed", step_ns=config.step)
        if config.holdover_after is not None and age >= config.holdover_after:
            self._estimate = self._holdover_estimate(age - config.holdover_after)
        else:
            self._estimate = self._new_estimate(ClockState.LOCKED if age >= config.lock_after else ClockState.ACQUIRING)

    def _new_estimate(self, state: ClockState) -> ClockEstimate:
        now = self._truth.now_ns()
        noise = self._config.noise
        error = float(np.clip(self._random.normal(0.0, noise), -5 * noise, 5 * noise)) if noise else 0.0
        local_rate = 1.0 + self._truth.local_rate_ppb(now) / 1e9
        return ClockEstimate(
            local_ns=self._truth.to_local(now),
            reference_ns=self.true_reference(now) + round(error),
            rate_ppb=1e9 * ((1.0 + self._config.rate_offset / 1e9) / local_rate - 1.0),
            sigma_ns=noise + 1.0,
            bound_ns=_SIGMAS_IN_BOUND * (noise + 1.0),
            state=state,
            timescale="ptp",
            grandmaster=f"sim-{self._discontinuities}",
            discontinuities=self._discontinuities,
        )

    def _holdover_estimate(self, silent_ns: int) -> ClockEstimate:
        # At the last rate, which was exact; the bound grows by 1 ppm, because a real clock cannot know that it was.
        now = self._truth.to_local(self._truth.now_ns())
        last = self._estimate
        doubt = silent_ns / 1e6
        return ClockEstimate(
            local_ns=now,
            reference_ns=last.reference_at(now),
            rate_ppb=last.rate_ppb,
            sigma_ns=self._config.noise + 1.0 + doubt / 3,
            bound_ns=_SIGMAS_IN_BOUND * (self._config.noise + 1.0) + doubt,
            state=ClockState.HOLDOVER,
            timescale=last.timescale,
            grandmaster=last.grandmaster,
            discontinuities=last.discontinuities,
        )
