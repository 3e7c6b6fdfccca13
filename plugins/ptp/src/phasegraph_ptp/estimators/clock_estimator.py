"""From stamps to a published clock: measurement gate -> offset filter -> `phasegraph.ClockPublisher`.

The filter's state (offset, rate, delay and their covariances; the matrices are in `kalman_bank`) may move with every
packet. The publisher makes of it a clock that does not jump; lock, holdover and bound are explained there.
"""

from __future__ import annotations

import math

import msgspec

from phasegraph import (
    UNKNOWN_NS,
    ClockDoubt,
    ClockEstimate,
    ClockFix,
    ClockPublisher,
    PublisherSettings,
)

from ..measurements import Sample, SyncSample
from .measurement_gate import MeasurementGate
from .offset_estimate import OffsetEstimate, OffsetFilter, PathObservation
from .options import EstimatorOptions

SIGMAS_IN_BOUND = 6.0
SILENT_INTERVALS = 3
SILENT_NS = 1_250_000_000
"""Without a Sync for three intervals, of which all together last 1.25 s at least, the grandmaster is silent: with eight
Syncs a second an operator sees it within 2 s."""
SLEW_LOCKED_S, SLEW_FREE_S, SLEW_BLIND_S, SLEW_MOST_S = 5.0, 0.2, 1.0, 30.0
"""Within how long a lag is removed: half of the filter's memory; when locked at least 5 s; before that at least 0.2 s,
or 1 s while the delay is not known; at most 30 s."""


class ClockEstimator:
    """Takes samples, publishes a clock. Never raises, whatever the samples are."""

    def __init__(self, filter: OffsetFilter, options: EstimatorOptions) -> None:
        self._filter = filter
        self._options = options
        self._gate = MeasurementGate()
        self._publisher = ClockPublisher(
            PublisherSettings(
                lock_within_ns=options.lock_within,
                unlock_beyond_ns=options.unlock_beyond,
                step_beyond_ns=options.step_beyond,
                slew_limit_ppb=options.slew_limit,
            )
        )
        self._offset: OffsetEstimate | None = None
        """The estimate that the publisher was last steered to."""
        self._last_sync_ns: int | None = None
        self._interval_ns = 0
        self._other_timescale = False

    @property
    def current(self) -> bool:
        """Whether the published clock shows the newest reference; for a while after `reference_changed` it still shows
        the one before, in holdover."""
        return self._offset is not None and self._offset.generation == self._filter.generation

    def change_thresholds(self, *, lock_within_ns: int, unlock_beyond_ns: int) -> None:
        """When the clock is locked, and when it is lost, from now on."""
        self._options = msgspec.structs.replace(
            self._options, lock_within=lock_within_ns, unlock_beyond=unlock_beyond_ns
        )
        self._publisher.change_thresholds(lock_within_ns=lock_within_ns, unlock_beyond_ns=unlock_beyond_ns)

    def add_sample(self, sample: Sample) -> None:
        """Use a sample, if it can be true."""
        admitted = self._gate.admit(sample, self._innovation)
        if admitted is None:
            return
        observation, other_stamps = admitted
        if other_stamps:
            self._filter.restart()
        if isinstance(sample, SyncSample):
            self._last_sync_ns = max(self._last_sync_ns or 0, sample.local_ns)
            self._interval_ns = sample.interval_ns
        offset = self._filter.add_observation(observation)
        if offset is not None:
            self._steer(offset)

    def reference_changed(self, now_ns: int, *, same_timescale: bool) -> None:
        """Another grandmaster is followed from local time ``now_ns`` on, or none.

        Samples to come are of it. The rate is kept. The clock goes on in holdover until the new one is known well
        enough; then it is slewed to it, or jumps if that is far, or another timescale.
        """
        self._filter.restart()
        self._last_sync_ns = None
        self._publisher.restart_patience(now_ns)
        self._other_timescale |= not same_timescale

    def estimate(self, now_ns: int) -> ClockEstimate:
        """The clock around a local time, which is not before that of the newest sample. Timescale, grandmaster and
        domain are the caller's."""
        offset = self._offset
        delay_ns = None if offset is None else offset.delay_ns
        silent_ns = max(SILENT_INTERVALS * self._interval_ns, SILENT_NS)
        silent = self._last_sync_ns is None or now_ns - self._last_sync_ns > silent_ns or not self.current
        # The asymmetry of a path cannot be seen, and is at most the path's delay.
        asymmetry_ns = UNKNOWN_NS if delay_ns is None else max(delay_ns, 0.0)
        return self._publisher.estimate(now_ns, silent=silent, path_delay_ns=delay_ns, asymmetry_ns=asymmetry_ns)

    def metrics(self) -> dict[str, int | float]:
        """Samples by stamp, and dropped; what the filter does; how far the clock still is from what is known
        (``lag_ns``), how much of the past that averages over, and how the oscillator wanders (ppb / sqrt(s))."""
        figures = self._gate.metrics() | self._filter.metrics() | {"restarts": self._filter.generation}
        if self._offset is not None:
            figures["lag_ns"] = round(self._publisher.lag_at(self._gate.newest_ns), 1)
            figures["memory_s"] = round(self._offset.memory_s, 1)
            figures["wander_ppb"] = round(self._offset.wander, 2)
        return figures

    def _steer(self, offset: OffsetEstimate) -> None:
        before = self._offset
        other_reference = before is not None and offset.generation != before.generation
        if before is not None and other_reference:
            held_ns = 3 * math.sqrt(before.variance_at(offset.local_ns))
            found_ns = 3 * math.sqrt(offset.variance_at(offset.local_ns))
            if not offset.settled and found_ns > max(self._options.lock_within, held_ns):
                return  # the clock so far is still the better guess
        least_s = SLEW_FREE_S if offset.delay_ns is not None else SLEW_BLIND_S
        if self._publisher.locked:
            least_s = SLEW_LOCKED_S
        reference_ns, fraction_ns = offset.reference()
        fix = ClockFix(
            local_ns=offset.local_ns,
            reference_ns=reference_ns,
            fraction_ns=fraction_ns,
            rate_ppb=-offset.rate_ppb,
            rate_sigma_ppb=math.sqrt(max(offset.rate_variance, 0.0)),
            doubt_at=lambda now_ns, lag_ns: self._doubt(offset, now_ns, lag_ns),
        )
        if self._publisher.steer(
            fix,
            slew_s=max(least_s, min(SLEW_MOST_S, 0.5 * offset.memory_s)),
            other_reference=other_reference,
            other_timescale=other_reference and self._other_timescale,
        ):
            self._offset = offset
            self._other_timescale = False

    def _doubt(self, offset: OffsetEstimate, now_ns: int, lag_ns: float) -> ClockDoubt:
        sigma_ns = min(math.hypot(math.sqrt(offset.variance_at(now_ns)), lag_ns, self._gate.doubt_ns), UNKNOWN_NS)
        return ClockDoubt(sigma_ns, SIGMAS_IN_BOUND * sigma_ns)

    def _innovation(self, observation: PathObservation) -> float | None:
        return self._offset.innovation(observation) if self._offset is not None and self.current else None
