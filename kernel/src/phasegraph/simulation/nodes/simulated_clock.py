"""A simulated clock: a time base as a follower at the other end of a network estimates it."""

from __future__ import annotations

import math

import numpy as np
import trio

from ..._core.clock import ClockEstimate, ClockState
from ..._core.node import Metrics, NodeContext
from ..local_clock import SimLocalClock, true_now_ns
from ..scenario_options import ClockOptions
from ..time_base import TimeBase

_SIGMAS_IN_BOUND = 6.0
_WITHIN_LOCK = 5.0
"""Number of time constants in the time to lock."""
_LOCAL_DOUBT_PPB = 1000.0
"""How far the local oscillator's rate may change while the reference is silent."""


class SimulatedClock:
    """Publishes a time base with three errors: one wanders, one lasts, and one is being corrected.

    While the base is silent, the clock continues at its last rate, with the rate error that its noise caused. If the
    base then differs from the estimate by more than the published bound, the clock jumps and counts a discontinuity.
    While it starts again it has no estimate, and then its errors are those of a first start.
    """

    def __init__(
        self, base: TimeBase, options: ClockOptions, local: SimLocalClock, *, path_ns: int, random: np.random.Generator
    ) -> None:
        """``path_ns`` is the path delay: the bound includes it, because a follower cannot see asymmetry."""
        self._base = base
        self._options = options
        self._local = local
        self._path_ns = path_ns
        self._random = random
        self._wander = 0.0
        self._rate_error = 0.0
        self._correcting = 0.0
        self._published_ns = 0
        self._receiving_since: int | None = None
        self._identity = ""
        self._estimate = ClockEstimate(local_ns=local.now_ns(), reference_ns=base.at(true_now_ns()))

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`: the engine adds those of every clock."""
        return {}

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        ctx.attach(self.publish)
        task_status.started()
        await trio.sleep_forever()

    def publish(self, local_ns: int) -> int:
        """Publish an estimate; returns the local time of the next one."""
        now = true_now_ns()
        if any(restart.at <= now < restart.at + restart.lasts for restart in self._options.restarts):
            self._forget(local_ns)
        elif self._base.silent(now):
            self._hold_over(now, local_ns)
        else:
            self._track(now, local_ns)
        self._published_ns = now
        return local_ns + self._options.interval

    def _forget(self, local_ns: int) -> None:
        self._receiving_since = None
        self._estimate = ClockEstimate(
            local_ns=local_ns,
            reference_ns=self._estimate.reference_at(local_ns),
            discontinuities=self._estimate.discontinuities,
        )

    def _track(self, now: int, local_ns: int) -> None:
        options, truth, identity = self._options, self._base.at(now), self._base.identity(now)
        self._advance_errors(now - self._published_ns)
        lasting = options.asymmetry + self._wander
        jumps = self._estimate.discontinuities
        if self._estimate.state is ClockState.UNLOCKED:
            self._receiving_since = now
            self._correcting = float(self._random.uniform(-1.0, 1.0)) * options.first_error
        elif self._receiving_since is None or identity != self._identity:
            was_wrong = self._estimate.reference_at(local_ns) - truth
            self._receiving_since = now
            self._correcting = was_wrong - lasting
            if abs(was_wrong) > self._estimate.bound_ns:
                jumps += 1
                self._correcting = float(self._random.uniform(-1.0, 1.0)) * options.first_error
        self._identity = identity
        doubt = abs(self._correcting)
        self._estimate = ClockEstimate(
            local_ns=local_ns,
            reference_ns=truth + round(lasting + self._correcting),
            rate_ppb=self._true_rate_ppb(now) + self._rate_error,
            sigma_ns=options.noise + doubt + 1.0,
            bound_ns=_SIGMAS_IN_BOUND * options.noise + self._path_ns + doubt + 1.0,
            state=ClockState.LOCKED if now - self._receiving_since >= options.lock_time else ClockState.ACQUIRING,
            timescale="ptp",
            grandmaster=identity,
            path_delay_ns=self._path_ns,
            discontinuities=jumps,
        )

    def _hold_over(self, now: int, local_ns: int) -> None:
        last = self._estimate
        if last.state is ClockState.UNLOCKED:
            return
        self._receiving_since = None
        doubt = (_SIGMAS_IN_BOUND * self._rate_sigma_ppb + _LOCAL_DOUBT_PPB) * (now - self._published_ns) / 1e9
        self._estimate = ClockEstimate(
            local_ns=local_ns,
            reference_ns=last.reference_at(local_ns),
            rate_ppb=last.rate_ppb,
            sigma_ns=last.sigma_ns + doubt / _SIGMAS_IN_BOUND,
            bound_ns=last.bound_ns + doubt,
            state=ClockState.HOLDOVER,
            timescale="ptp",
            grandmaster=last.grandmaster,
            path_delay_ns=self._path_ns,
            discontinuities=last.discontinuities,
        )

    @property
    def _rate_sigma_ppb(self) -> float:
        return 1e9 * self._options.noise / self._options.noise_time

    def _true_rate_ppb(self, now: int) -> float:
        base = 1.0 + self._base.rate_ppb(now) / 1e9
        return 1e9 * (base / (1.0 + self._local.rate_ppb(now) / 1e9) - 1.0)

    def _advance_errors(self, ns: int) -> None:
        keeps = math.exp(-ns / self._options.noise_time) if self._published_ns else 0.0
        fresh = math.sqrt(1.0 - keeps * keeps)
        drawn = self._random.standard_normal(2).tolist()
        most = 5.0 * self._options.noise
        self._wander = max(-most, min(most, keeps * self._wander + fresh * self._options.noise * drawn[0]))
        self._rate_error = keeps * self._rate_error + fresh * self._rate_sigma_ppb * drawn[1]
        lock_time = self._options.lock_time
        self._correcting *= math.exp(-_WITHIN_LOCK * ns / lock_time) if lock_time else 0.0
