"""The arithmetic of nqptp 1.2.5, for comparison: what receivers that run on it believe the time to be.

It stamps Follow_Ups instead of Syncs, never asks for the delay, and knows no rate: its offset is too low by the delay
of the path and the time from Sync to Follow_Up, and lags behind where clocks run apart. It claims no accuracy, so its
bound here is that of a path of unknown delay.
"""

from __future__ import annotations

from .timing_samples import PATH_LIMIT_NS, FilterSolution, LeaderSync, TimingSample

_SETTLING_NS = 1_000_000_000
_MOST_BACK_NS = -2_500_000


class NqptpFilter:
    """One clock of nqptp."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._began_ns = 0

    def add_sample(self, sample: TimingSample) -> None:
        """See `TimingFilter.add_sample`; exchanges are passed over."""
        if not isinstance(sample, LeaderSync):
            return
        offset = sample.origin_ns + _towards_zero(sample.correction, 1 << 16) - sample.told_ns
        if self._offset_ns is None:
            self._offset_ns, self._began_ns = offset, sample.told_ns
            return
        jitter = offset - self._offset_ns
        settled = sample.told_ns - self._began_ns
        if jitter < 0:
            self._offset_ns += _towards_zero(max(jitter, _MOST_BACK_NS), 256) if settled > _SETTLING_NS else 0
        else:
            self._offset_ns += jitter if settled < _SETTLING_NS else jitter // 16

    def solve(self, now_ns: int) -> FilterSolution | None:
        """See `TimingFilter.solve`."""
        if self._offset_ns is None:
            return None
        return FilterSolution(
            local_ns=now_ns,
            offset_ns=self._offset_ns,
            rate=0.0,
            sigma_ns=PATH_LIMIT_NS / 6,
            bound_ns=PATH_LIMIT_NS,
            two_way=False,
            delay_ns=None,
        )


def _towards_zero(value: int, divisor: int) -> int:
    # As C divides.
    return value // divisor if value >= 0 else -(-value // divisor)
