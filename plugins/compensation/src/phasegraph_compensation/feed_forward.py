"""``ptp-feed-forward``: the ratio is the device's rate, measured against the reference clock, and nothing else.

Nothing in it looks at how far the reader has gone astray, but for a guard. It makes the smoothest ratio; the small
errors of the estimate add up.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from phasegraph import CompensatorConfig, Correction, Duration, Observation, frames_in

from .device_observer import Sighting
from .rate_estimator import published
from .ratio import ACQUIRING_SLOPE, INFORMATIVE, LONGEST_STEP_S, Ratio, ready

TRACKING_SLOPE = 2e-6
"""Most that the ratio changes in a second once it is locked."""
GOOD = 1e-6
"""A rate that is known so well, for so long, is locked to."""
GOOD_S = 1.0
_PATIENCE_S = 10.0
"""How long it waits for the clock to lock before it begins without."""
_WANDER = 14e-9
"""What the device's rate is believed to wander: nobody else corrects what the estimate leaves over."""
_SMOOTHING_S = 1.0


class FollowingConfig(CompensatorConfig, frozen=True, kw_only=True):
    """Options of ``ptp-feed-forward`` and ``combined``."""

    resync_after: Annotated[
        Duration,
        Meta(description="Error of the read position beyond which it jumps to its place, audibly.", ge=1_000_000),
    ] = 5_000_000


class FeedForward:
    """Follows the measured rate. A subclass adds what it makes of the error."""

    wander = _WANDER

    def __init__(self, config: FollowingConfig, rate: int) -> None:
        """``rate`` in frames per second."""
        self._rate = rate
        self._resync = frames_in(config.resync_after, rate)
        self._sighting = Sighting(rate, self.wander)
        self._ratio = Ratio()
        self._smoothing_s = _SMOOTHING_S
        self._started = False
        self._good_s = 0.0
        self._locked = False

    def observe(self, observation: Observation) -> None:
        """See `Compensator.observe`."""
        self._sighting.observe(observation)

    def decide(self, local_ns: int) -> Correction:
        """See `Compensator.decide`."""
        device, error = self._sighting.device, self._sighting.error
        passed_s = min(self._sighting.elapsed_s(), LONGEST_STEP_S)
        if not self._started:
            return self._begin(error)
        step = 0.0
        if error is not None and abs(error) > self._resync:
            step, error = error, 0.0
        self._judge(error, passed_s)
        if device.sigma < INFORMATIVE:
            wanted = device.deviation + (0.0 if error is None else self._feedback(error, passed_s))
            self._ratio.approach(
                wanted, passed_s, TRACKING_SLOPE if self._locked else ACQUIRING_SLOPE, self._smoothing_s
            )
        if step:
            return self._correct(f"resync: it was {step:+.1f} frames off", step)
        return self._correct(self._words(error))

    def _begin(self, error: float | None) -> Correction:
        # Until the device is measured nothing sounds, and the ratio may go where it will.
        device = self._sighting.device
        if device.sigma < INFORMATIVE:
            self._ratio.jump(device.deviation)
        waiting = not self._sighting.trusted and device.span_s < _PATIENCE_S
        self._started = ready(device) and not waiting
        if self._started:
            return self._correct("begins at its place", error or 0.0, silent=True)
        return self._correct(f"silent: {'waiting for the clock' if waiting else 'measuring the device'}", silent=True)

    def _feedback(self, error: float, passed_s: float) -> float:
        """What is added to the ratio because of an error."""
        return 0.0

    def _judge(self, error: float | None, passed_s: float) -> None:
        """Find out whether it is locked: the rate has been known for a while. The error is not looked at."""
        good = self._sighting.device.sigma < GOOD
        self._good_s = self._good_s + passed_s if good else 0.0
        self._locked = self._good_s >= GOOD_S

    def _words(self, error: float | None) -> str:
        # The figures are in the correction; to put them into words for every block takes as long as to find them.
        if error is None:
            return "no clock: on its last rate"
        return "locked: follows the device" if self._locked else "acquiring: follows the device"

    def _correct(self, reason: str, step: float = 0.0, *, silent: bool = False) -> Correction:
        return Correction(
            ratio_ppb=self._ratio.value * 1e9,
            step_frames=step,
            locked=self._locked,
            reason=reason,
            silent=silent,
            device=published(self._sighting.device.deviation, self._sighting.device.sigma),
        )
