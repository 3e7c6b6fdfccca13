"""The recommended estimator: order statistics of short windows, each direction apart, into a bank of Kalman filters."""

from __future__ import annotations

import math

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from .kalman_bank import KalmanBank, Mixture
from .offset_estimate import NS_PER_S, Direction, OffsetEstimate, PathObservation
from .options import KalmanOptions
from .order_statistics import EARLIEST, MIDDLE, PACKETS, QUANTILES, OrderStatistics
from .path_direction import PathDirection, columns
from .regression import UNKNOWN_RATE_PPB, WANDER, FittedLine, Regression, kept_rate_sd
from .statistic_weighting import Scatter, StatisticWeights, weigh_statistics

Vector = NDArray[np.float64]

HOPS = ((0.3, 2), (0.1, 8), (0.0, 16))
"""(spacing of Syncs in s, packets a block): Syncs at least this far apart make a block of this many new packets."""
GUESSED = 1.3
"""The scatter of a few packets is stretched by this."""
YOUNG = 20
"""Blocks after which the models' evidence is no longer young: before, the variance is at least twice what they say."""
SURPASSED = 3
"""Estimates by which the line must be ahead, or behind, to take or to lose the lead."""
SELDOM = 4
"""While the line is behind, it is drawn once in this many blocks."""
LINE_PACKETS = 512
LINE_NS = 20 * NS_PER_S
"""How much of the past the line goes through beside the bank: as long as the rate hardly bends."""
BENDS = 2.0
"""How many times as much as the bank's oscillator the line's wanders. Where a bad oscillator turns, the error is beyond
three sigmas in 0.2 % of the time with 1, and in 0.02 % with 2."""
_EVERY = 40
"""While it begins: Syncs from which on the line is drawn with every fourth packet only."""


class KalmanOffsetFilter:
    """A line through all packets at first (`Regression`); from when each direction has filled a window, the surer of a
    line and of the bank."""

    def __init__(self, options: KalmanOptions) -> None:
        self.generation = 0
        self._memory_s = options.delay_memory / NS_PER_S
        self._regression = Regression(early=True)
        self._bank: KalmanBank | None = None
        self._offset: OffsetEstimate | None = None
        self._line_leads, self._ahead, self._blocks = True, SURPASSED, 0
        self._streams = [PathDirection() for _ in Direction]
        self._rate_ppb, self._rate_sd_ppb = 0.0, UNKNOWN_RATE_PPB
        self._since = self._gated = self._absurd = 0
        self._doubt = 0.0
        self._weight = np.eye(len(QUANTILES))[MIDDLE]

    def restart(self) -> None:
        """See `OffsetFilter.restart`."""
        self.generation += 1
        self._rate_sd_ppb = kept_rate_sd(self._rate_sd_ppb)
        self._regression = Regression(self._rate_ppb, self._rate_sd_ppb, early=True)
        self._bank = None
        self._offset = None
        self._line_leads, self._ahead, self._blocks = True, SURPASSED, 0
        self._streams = [PathDirection() for _ in Direction]

    def add_observation(self, observation: PathObservation) -> OffsetEstimate | None:
        """See `OffsetFilter.add_observation`."""
        direction, local_ns, value = observation
        stream = self._streams[direction]
        stream.record_spacing(local_ns)
        if self._bank is None:
            return self._begin_with_line(observation)
        time_s, value_ns = (local_ns - self._epoch_ns) / NS_PER_S, float(value - direction.sign * self._base_ns)
        if self._offset is not None:
            miss_ns = value_ns - self._earliest(direction, time_s)
            if stream.absurd(miss_ns, self._offset, local_ns):
                self._absurd += 1
                if stream.broken:
                    self.restart()
                return None
        stream.add_packet(time_s, value_ns)
        self._regression.add_packet(observation)
        block = stream.next_block(self._statistics, direction.sign * self._rate_ppb)
        if block is None:
            return None
        offset = self._digest_block(self._bank, direction, stream, *block)
        return offset if offset is None else self._surer(offset)

    def _surer(self, offset: OffsetEstimate) -> OffsetEstimate:
        # Where noise is even, a line through all packets of the newest seconds is surer than the bank, which goes by
        # order statistics, and begins with a few packets' guess of how much each of them scatters. The doubt whether
        # the floor is right remains: it is compared without.
        if not self._line_leads and self._ahead == 0 and self._blocks % SELDOM:
            return offset
        self._regression.early = self._now_s * NS_PER_S < LINE_NS  # later the bank is the one to know queues
        # What one packet has wandered, all before it have: the line, which takes packets for independent, is told more.
        line = self._regression.fit(max(WANDER, BENDS * offset.wander))
        if line is None:
            return offset
        straight = line.offset_estimate(settled=True, generation=self.generation)
        if straight.variance < offset.variance - self._doubt:
            self._ahead = min(self._ahead + 1, SURPASSED)
        else:
            self._ahead -= self._ahead > 0
        if self._ahead in (0, SURPASSED):
            self._line_leads = self._ahead > 0
        if not self._line_leads or straight.variance >= offset.variance - self._doubt:
            return offset
        return replace(straight, variance=straight.variance + self._doubt)

    def metrics(self) -> dict[str, int | float]:
        """See `OffsetFilter.metrics`."""
        figures: dict[str, int | float] = {
            "quantile_percent": round(100 * float(self._weight @ QUANTILES), 1),
            "gated_blocks": self._gated,
            "packets_absurd": self._absurd,
        }
        for direction, stream in zip(Direction, self._streams, strict=True):
            if stream.scatter is not None:
                name = direction.name.lower()
                figures[f"scatter_{name}_ns"] = round(float(stream.scatter.sd[MIDDLE]), 1)
                figures[f"spread_{name}_ns"] = round(stream.spread_ns, 1)
        return figures

    def _begin_with_line(self, observation: PathObservation) -> OffsetEstimate | None:
        regression = self._regression
        regression.add_packet(observation)
        self._since += 1
        if len(regression.packets[Direction.SYNC]) > _EVERY and self._since < 4:
            return None
        self._since = 0
        line = regression.fit()
        if line is None:
            return None
        self._rate_ppb, self._rate_sd_ppb = float(line.state[1]), math.sqrt(line.covariance[1, 1])
        syncs, delays, peers = line.packets
        if len(syncs) >= PACKETS and max(len(delays), len(peers)) >= PACKETS:
            self._start_bank(line)
        return line.offset_estimate(settled=self._bank is not None, generation=self.generation)

    def _start_bank(self, line: FittedLine) -> None:
        # The bank begins where the line ends, each statistic moved to where it lies among the packets.
        self._base_ns, self._epoch_ns, self._now_s = line.base_ns, line.local_ns, 0.0
        self._regression.keep(LINE_PACKETS, LINE_NS)
        hop = next(hop for apart_s, hop in HOPS if self._streams[Direction.SYNC].spacing_s >= apart_s)
        self._statistics = statistics = OrderStatistics(hop)
        self._windows = np.array(statistics.windows)
        packets = line.packets
        back = Direction.DELAY if len(packets[Direction.DELAY]) >= PACKETS else Direction.PEER
        moved, unsure = {}, {}
        for way in (Direction.SYNC, back):
            scatter = Scatter(GUESSED * statistics.scatter(line.residuals[way]), statistics.lags)
            moved[way], count = statistics.mean(line.residuals[way])
            unsure[way] = scatter.variance / count
            self._streams[way].prefill(
                *columns(packets[way], self._epoch_ns, self._base_ns), line.state[1] * way.sign, scatter, statistics
            )
        # A Delay_Req measures twice the delay less what a Sync measures; a peer delay measures the delay.
        part, share = (0.5, 0.5) if back is Direction.DELAY else (0.0, 1.0)
        first = line.state[0] + moved[Direction.SYNC]
        delay = line.state[2] + part * moved[Direction.SYNC] + share * moved[back]
        covariance = np.repeat(line.covariance[:, :, None], len(first), axis=2)
        spread = np.array([1.0, 0.0, part])
        covariance += np.outer(spread, spread)[:, :, None] * unsure[Direction.SYNC]
        covariance[2, 2] += share**2 * unsure[back]
        covariance[[0, 2], [0, 2]] += line.doubt_ns**2 / 2
        self._bank = KalmanBank(
            np.array([first, np.full_like(first, line.state[1]), delay]), covariance, self._memory_s
        )

    def _digest_block(
        self, bank: KalmanBank, direction: Direction, stream: PathDirection, value: Vector, time_s: Vector
    ) -> OffsetEstimate | None:
        if stream.scatter is None:  # one that was not there in the beginning
            others = [each.scatter.sd for each in self._streams if each.scatter is not None]
            stream.scatter = Scatter(2 * np.max(others, axis=0), self._statistics.lags)
        stream.scatter.add_block(value, time_s, direction.sign * self._rate_ppb)
        now_s = max(self._now_s, stream.time_s)
        density = self._densities()
        bank.predict(now_s - self._now_s, density.max(axis=0))
        self._now_s = now_s
        distance, miss = bank.update_with_block(
            direction, now_s - time_s, value, stream.scatter.variance, self._statistics.share
        )
        self._gated += int(stream.count_late_block(distance[EARLIEST], miss[EARLIEST]))
        if stream.broken:
            self.restart()
            return None
        if direction is not Direction.SYNC:
            return None
        self._blocks += 1
        known = bank.mixture()
        return self._make_offset(known, weigh_statistics(known, density.sum(axis=0)), bank.gain, stream.spacing_s)

    def _make_offset(
        self, known: Mixture, choice: StatisticWeights, gain: Vector, spacing_s: float
    ) -> OffsetEstimate | None:
        weight = self._weight = choice.weight
        self._doubt = choice.doubt
        self._rate_ppb = float(known.state[1] @ weight)
        first, _, delay = known.state[:, EARLIEST]
        self._floor = float(first), float(delay), self._now_s
        self._offset = OffsetEstimate(
            local_ns=self._epoch_ns + round(self._now_s * NS_PER_S),
            base_ns=self._base_ns,
            offset_ns=float(known.offset @ weight),
            rate_ppb=self._rate_ppb,
            delay_ns=float(known.state[2] @ weight),
            variance=choice.variance * (1 + (YOUNG / self._blocks) ** 2),
            covariance=float(known.covariance @ weight),
            rate_variance=float(known.rate_variance @ weight),
            wander=float(known.wander @ weight),
            memory_s=float((self._statistics.hop * spacing_s / np.maximum(gain, 1e-3)) @ weight),
            settled=True,
            generation=self.generation,
        )
        if not math.isfinite(self._offset.offset_ns + self._offset.variance + self._offset.rate_variance):
            self.restart()
        return self._offset

    def _earliest(self, direction: Direction, time_s: float) -> float:
        # Where the earliest packets of a direction should lie.
        first, delay, then_s = self._floor
        return direction.sign * (first + self._rate_ppb * (time_s - then_s)) + (0, 2, 1)[direction] * delay

    def _densities(self) -> NDArray[np.float64]:
        # Noise of each statistic in each direction as it averages down, ns**2 * s, shape (directions, 4).
        noises = [(each.scatter, each.spacing_s) for each in self._streams]
        return np.stack([scatter.variance * (self._windows * apart_s) for scatter, apart_s in noises if scatter])
