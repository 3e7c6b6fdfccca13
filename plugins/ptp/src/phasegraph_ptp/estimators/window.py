"""The two plain estimators: what is known of the newest seconds, without a memory beyond them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .offset_estimate import LONGEST_NS, NS_PER_S, Direction, OffsetEstimate, PathObservation
from .options import WindowOptions
from .path_direction import BROKEN_PACKETS, columns
from .regression import UNKNOWN_DELAY_NS, UNKNOWN_RATE_PPB, WANDER_UNSEEN, Bend, Regression, kept_rate_sd

Vector = NDArray[np.float64]

PERIOD_NS = NS_PER_S // 2
"""how often an estimate is made, at most, once there are enough packets."""
ENOUGH = 8
EARLY_NS = 1_000_000.0
"""Packets that are earlier than the estimate says by this, in a row, are another path, or a step."""
_MOST = 512


class RegressionOffsetFilter:
    """A robust straight line through all packets of the window, of both directions at once."""

    def __init__(self, options: WindowOptions) -> None:
        self._window_ns = options.window
        self._regression = Regression(most=_MOST, span_ns=self._window_ns)
        self._rate_ppb, self._rate_sd_ppb = 0.0, UNKNOWN_RATE_PPB
        self.generation = 0
        self._made_ns = -PERIOD_NS
        self._newest: OffsetEstimate | None = None
        self._absurd = [0 for _ in Direction]

    def restart(self) -> None:
        """See `OffsetFilter.restart`."""
        self.generation += 1
        self._rate_sd_ppb = kept_rate_sd(self._rate_sd_ppb)
        self._regression = Regression(self._rate_ppb, self._rate_sd_ppb, most=_MOST, span_ns=self._window_ns)
        self._newest = None
        self._absurd = [0 for _ in Direction]

    def add_observation(self, observation: PathObservation) -> OffsetEstimate | None:
        """See `OffsetFilter.add_observation`."""
        if self._is_other_path(observation):
            self.restart()
        packets = self._regression.packets
        self._regression.add_packet(observation)
        if len(packets[Direction.SYNC]) > ENOUGH and observation.local_ns - self._made_ns < PERIOD_NS:
            return None
        self._made_ns = observation.local_ns
        self._newest = self._make_offset()
        return self._newest

    def metrics(self) -> dict[str, int | float]:
        """See `OffsetFilter.metrics`."""
        counts = [len(packets) for packets in self._regression.packets]
        return {"window_packets": sum(counts)}

    def _is_other_path(self, observation: PathObservation) -> bool:
        fix, way = self._newest, observation.direction
        if fix is None or fix.delay_ns is None:
            return False
        absurd = not -EARLY_NS <= fix.innovation(observation) < LONGEST_NS
        self._absurd[way] = self._absurd[way] + 1 if absurd else 0
        return self._absurd[way] >= BROKEN_PACKETS

    def _make_offset(self) -> OffsetEstimate | None:
        line = self._regression.fit()
        if line is None:
            return None
        self._rate_ppb, self._rate_sd_ppb = float(line.state[1]), math.sqrt(line.covariance[1, 1])
        syncs, delays, peers = line.packets
        settled = min(len(syncs), max(len(delays), len(peers))) >= ENOUGH
        return line.offset_estimate(settled=settled, generation=self.generation)


class MedianOffsetFilter(RegressionOffsetFilter):
    """The median of each direction over the window; the rate from the medians of its first and last third."""

    def _make_offset(self) -> OffsetEstimate | None:
        packets = self._regression.packets
        syncs, delays, peers = packets
        if not syncs:
            return None
        now = max(each.local_ns for direction in packets for each in direction)
        base = syncs[-1].value_ns
        there_s, there = columns(syncs, now, base)
        rate_sd = self._update_rate(there, there_s)
        there -= self._rate_ppb * there_s
        offset, offset_sd = _median(there)
        if delays:
            back_s, back = columns(delays, now, base)
            back += self._rate_ppb * back_s
            again, again_sd = _median(back)
            delay, delay_sd = (offset + again) / 2, math.hypot(offset_sd, again_sd) / 2
            doubt = abs(_late(there) - _late(back)) / 2
            lever_s = float(there_s.mean() + back_s.mean()) / 2
            sd = delay_sd
        else:
            column = columns(peers, now, 0)[1] if peers else np.zeros(1)
            delay, delay_sd = _median(column) if peers else (0.0, UNKNOWN_DELAY_NS)
            doubt = abs(_late(there) - _late(column))
            lever_s = float(there_s.mean())
            sd = math.hypot(offset_sd, delay_sd)
        bend = Bend.from_residuals(there_s, there - offset)
        return OffsetEstimate(
            local_ns=now,
            base_ns=base,
            offset_ns=offset - delay,
            rate_ppb=self._rate_ppb,
            delay_ns=delay if delays or peers else None,
            variance=sd**2 + doubt**2 + (lever_s * rate_sd) ** 2 + bend.variance,
            covariance=-lever_s * rate_sd**2,
            rate_variance=rate_sd**2 + bend.rate_variance,
            wander=WANDER_UNSEEN,
            drift=bend.drift,
            memory_s=float(-there_s[0]) / 2,
            settled=min(len(syncs), max(len(delays), len(peers))) >= ENOUGH,
            generation=self.generation,
        )

    def _update_rate(self, values: Vector, times: Vector) -> float:
        # Sets the rate, and returns its standard deviation.
        third = len(values) // 3
        if third < 2:
            return self._rate_sd_ppb
        first, last = float(np.median(values[:third])), float(np.median(values[-third:]))
        apart = float(times[-third:].mean() - times[:third].mean())
        if apart <= 0:
            return UNKNOWN_RATE_PPB
        self._rate_ppb = (last - first) / apart
        # The scatter of a third contains what the rate moves it by, and is better judged without.
        _, level_sd = _median(values - self._rate_ppb * times)
        queued = _late(values[-third:] - last) - _late(values[:third] - first)
        self._rate_sd_ppb = math.hypot(math.sqrt(6) * level_sd, queued) / apart
        return self._rate_sd_ppb


def _median(values: Vector) -> tuple[float, float]:
    middle = float(np.median(values))
    free = max(len(values) - 1, 1)
    sd = 1.4826 * float(np.median(np.abs(values - middle)))
    few = 20_000.0 if len(values) < 3 else 0.0
    return middle, max(1.2533 * max(sd, few, 30.0) / math.sqrt(len(values)) * (1 + 2.2 / free) ** 2, 1.0)


def _late(values: Vector) -> float:
    return float(np.median(values) - values.min())
