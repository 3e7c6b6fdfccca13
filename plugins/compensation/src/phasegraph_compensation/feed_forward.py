"""``ptp-feed-forward``: the ratio is the device's rate, measured against the reference clock, and nothing else.

``ratio = deviation`` of the `RateEstimator`, smoothed and limited in slope. The read position is compared with its
target only to detect an error beyond ``resync-after``. The ratio is the smoothest of all strategies; the small errors
of the estimate add up in the position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from phasegraph import CompensatorConfig, Correction, Duration, Observation, frames_in

from .crossing_observer import CrossingObserver
from .device_observer import DeviceObserver
from .rate_estimator import device_rate_of
from .ratio import ACQUIRING_SLOPE, INFORMATIVE, LONGEST_STEP_S, Ratio, can_start

CERTAIN = 2.0
"""Standard deviations of the filtered time that an error after lost frames has to exceed."""


class FeedForwardGains(msgspec.Struct, frozen=True):
    """Constants of `FeedForward`, measured as docs/decisions/0013 says."""

    wander: float = 14e-9
    """Random walk of the device's rate, per root of a second: no feedback corrects what the estimate leaves over."""
    tracking_slope: float = 2e-6
    """Largest change of the ratio per second once it is locked."""
    good_sigma: float = 1e-6
    """Standard deviation of the rate below which the strategy locks."""
    good_s: float = 1.0
    """Time for which the conditions of lock have to hold."""
    after_loss: float = 0.75
    """Frames of error beyond which the position jumps to its place, for `after_loss_s` after lost frames."""
    after_loss_s: float = 10.0
    patience_s: float = 10.0
    """Longest wait for the clock to lock, before playing starts without it."""
    smoothing_s: float = 1.0
    """Time constant of the ratio before lock."""


class FeedForwardConfig(CompensatorConfig, frozen=True, kw_only=True):
    """Options of ``ptp-feed-forward`` and ``combined``."""

    resync_after: Annotated[
        Duration,
        Meta(description="Error of the read position beyond which it jumps to its place, audibly.", ge=1_000_000),
    ] = 5_000_000


class FeedForward:
    """Sets the ratio to the measured rate. A subclass adds feedback of the position's error."""

    gains = FeedForwardGains()

    def __init__(self, config: FeedForwardConfig, rate: int) -> None:
        """``rate`` in frames per second."""
        self._rate = rate
        self._resync = frames_in(config.resync_after, rate)
        self._observer = self._make_observer()
        self.observe: Callable[[Observation], None] = self._observer.observe
        """See `Compensator.observe`."""
        self._ratio = Ratio()
        self._smoothing_s = self.gains.smoothing_s
        self._started = False
        self._good_s = 0.0
        self._locked = False
        self._sigma, self._deviation = self._observer.sigma, self._observer.deviation  # at the newest decision

    def _make_observer(self) -> CrossingObserver:
        return DeviceObserver(self._rate, self.gains.wander)

    def decide(self, local_ns: int) -> Correction:
        """See `Compensator.decide`."""
        observer, error = self._observer, self._observer.error
        self._sigma, self._deviation = observer.sigma, observer.deviation
        passed_s = min(observer.elapsed_s(), LONGEST_STEP_S)
        if not self._started:
            return self._start_when_measured(error)
        step = 0.0
        if error is not None and abs(error) > self._largest_error():
            step, error = error, 0.0
        self._update_lock(error, passed_s)
        if self._sigma < INFORMATIVE:
            wanted = self._deviation + (0.0 if error is None else self._feedback(error, passed_s))
            self._ratio.approach(wanted, passed_s, self._slope(), self._smoothing_s)
        if step:
            return self._correction(f"resync: it was {step:+.1f} frames off", step)
        return self._correction(self._reason(error))

    def _largest_error(self) -> float:
        # The gap of lost frames is heard anyway, so the position returns to its place at once.
        observer = self._observer
        if observer.since_loss_s >= self.gains.after_loss_s:
            return self._resync
        return min(self._resync, max(self.gains.after_loss, CERTAIN * observer.sigma_s * self._rate))

    def _start_when_measured(self, error: float | None) -> Correction:
        # The output is silent until the device is measured, so the ratio may jump.
        observer = self._observer
        if self._sigma < INFORMATIVE:
            self._ratio.jump(self._deviation)
        waiting = not observer.trusted and observer.span_s < self.gains.patience_s
        self._started = self._measured() and not waiting
        if self._started:
            return self._correction("starts at its place", error or 0.0, silent=True)
        reason = f"silent: {'waiting for the clock' if waiting else 'measuring the device'}"
        return self._correction(reason, silent=True)

    def _measured(self) -> bool:
        """Whether rate and place are known well enough to start."""
        return can_start(self._observer)

    def _slope(self) -> float:
        """Largest change of the ratio per second now."""
        return self.gains.tracking_slope if self._locked else ACQUIRING_SLOPE

    def _feedback(self, error: float, passed_s: float) -> float:
        """What an error of ``error`` frames adds to the ratio."""
        return 0.0

    def _update_lock(self, error: float | None, passed_s: float) -> None:
        """Lock when the rate has been known for a while. The error does not matter here."""
        good = self._sigma < self.gains.good_sigma
        self._good_s = self._good_s + passed_s if good else 0.0
        self._locked = self._good_s >= self.gains.good_s

    def _reason(self, error: float | None) -> str:
        # Without figures, which are in the correction: formatting them for every block costs as much as the decision.
        if error is None:
            return "no clock: on its last rate"
        return "locked: follows the device" if self._locked else "acquiring: follows the device"

    def _correction(self, reason: str, step: float = 0.0, *, silent: bool = False) -> Correction:
        return Correction(
            ratio_ppb=self._ratio.value * 1e9,
            step_frames=step,
            locked=self._locked,
            reason=reason,
            silent=silent,
            device=device_rate_of(self._deviation, self._sigma),
        )
