"""The ``ptp`` clock on the two interfaces of a redundant pair (SMPTE ST 2022-7): a follower on each, one clock."""

from __future__ import annotations

from functools import partial

import trio

from phasegraph import (
    TASK_STATUS_IGNORED,
    UNKNOWN_NS,
    Build,
    ClockEstimate,
    ClockState,
    Metric,
    Metrics,
    NodeContext,
    PublisherSettings,
)

from .estimators import make_estimator
from .grandmaster_time import GrandmasterTime
from .options import PtpConfig
from .path_comparison import PathComparison
from .protocol import PortState
from .ptp_clock import PtpDriver, open_sockets, report_state
from .redundant_paths import RedundantPaths
from .settings_from_config import authenticator_from_config, interfaces_of

LEGS = "ab"
"""What events and metrics call the two paths, in the order of the interfaces."""


class RedundantPtpClock:
    """Follows on two interfaces, each with a port and an estimator of its own, and publishes one clock.

    Everything here runs in the control thread; other threads read `estimate`, which is immutable."""

    def __init__(self, config: PtpConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        self._interfaces = interfaces_of(config)
        self._estimators = [
            make_estimator(config.estimator, lock_within=config.lock_within, unlock_beyond=config.unlock_beyond)
            for _ in LEGS
        ]
        self._paths = RedundantPaths(
            PublisherSettings(lock_within_ns=config.lock_within, unlock_beyond_ns=config.unlock_beyond)
        )
        self._comparison = PathComparison(self._interfaces)
        self._serving = GrandmasterTime(config, build)
        self._authenticators = [authenticator_from_config(config, build) for _ in LEGS]
        self._published = ClockEstimate(local_ns=self._local.now_ns(), reference_ns=0)
        self._drivers: list[PtpDriver] = []
        self._trouble = ""

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._published

    def change_options(self, config: PtpConfig) -> None:
        """See `phasegraph.LiveNode.change_options`: when it is locked, and when it is lost."""
        within_ns, beyond_ns = config.lock_within, config.unlock_beyond
        for estimator in self._estimators:
            estimator.change_thresholds(lock_within_ns=within_ns, unlock_beyond_ns=beyond_ns)
        self._paths.publisher.change_thresholds(lock_within_ns=within_ns, unlock_beyond_ns=beyond_ns)

    def metrics(self) -> Metrics:
        """See `Node.metrics`: of the clock, and with ``leg_a_`` and ``leg_b_`` of each path."""
        if not self._drivers:
            return {"port_state": PortState.INITIALIZING.name.lower()}
        legs = [driver.metrics() for driver in self._drivers]
        metrics: dict[str, Metric] = {
            name: legs[self._paths.lead][name]
            for name in ("port_state", "clock_identity", "grandmaster_class", "utc_offset_s", "leap_s")
        }
        metrics["paths_used"] = self._paths.used
        if self._comparison.apart_ns is not None:
            metrics["paths_apart_ns"] = round(self._comparison.apart_ns, 1)
        if trouble := self._find_trouble():
            metrics["trouble"] = trouble
        for label, leg, driver in zip(LEGS, legs, self._drivers, strict=True):
            metrics |= {f"leg_{label}_{name}": value for name, value in leg.items()}
            metrics[f"leg_{label}_state"] = driver.published.state.value
            if driver.published.sigma_ns < UNKNOWN_NS:
                metrics[f"leg_{label}_sigma_ns"] = round(driver.published.sigma_ns)
            if driver.published.path_delay_ns is not None:
                metrics[f"leg_{label}_path_delay_ns"] = round(driver.published.path_delay_ns)
        return metrics

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        publish = partial(self._publish, ctx)
        drivers = []
        for leg, interface, estimator, authenticator in zip(
            LEGS, self._interfaces, self._estimators, self._authenticators, strict=True
        ):
            sockets = open_sockets(self._config, ctx, interface)
            for note in sockets.notes():
                ctx.event("stamps", leg=leg, note=note)
            before = ClockEstimate(local_ns=self._local.now_ns(), reference_ns=0)
            drivers.append(
                PtpDriver(
                    *(self._config, ctx, sockets, estimator, self._serving, authenticator, before),
                    leg=leg,
                    on_published=publish,
                )
            )
        self._drivers = drivers
        async with trio.open_nursery() as nursery:
            for driver in drivers:
                nursery.start_soon(driver.run)
            task_status.started()

    def _publish(self, ctx: NodeContext) -> None:
        now_ns = self._local.now_ns()
        estimates = [driver.published for driver in self._drivers]
        self._comparison.compare(now_ns, estimates)
        estimate = self._paths.combine(now_ns, estimates)
        report_state(ctx, self._published, estimate)
        self._published = estimate
        before, self._trouble = self._trouble, self._comparison.trouble(now_ns)
        if bool(self._trouble) != bool(before):
            ctx.event("paths_apart" if self._trouble else "paths_agree", reason=self._trouble or before)

    def _find_trouble(self) -> str:
        if self._trouble:
            return self._trouble
        for interface, driver in zip(self._interfaces, self._drivers, strict=True):
            if driver.trouble:
                return f"{interface}: {driver.trouble}"
            if self._published.state is ClockState.LOCKED and driver.published.state is not ClockState.LOCKED:
                return f"{interface}: its path is {driver.published.state.value}; the clock follows on the other one"
        return ""
