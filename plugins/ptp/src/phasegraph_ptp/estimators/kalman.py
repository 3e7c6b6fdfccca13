"""The recommended estimator: order statistics of short windows, each direction apart, into a bank of Kalman filters."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .bank import Bank
from .choice import Scatter, choose
from .fix import NS_PER_S, Direction, Fix, Observation
from .options import KalmanOptions
from .order import EARLIEST, PACKETS, QUANTILES, Statistics
from .regression import KEPT_RATE_PPB, Line3, Regression

Vector = NDArray[np.float64]

HOPS = ((0.3, 4), (0.1, 8), (0.0, 16))
"""Syncs further apart than so many seconds: a block for so many new packets."""
BROKEN_EARLY, BROKEN_LATE = 4, 8
"""So many blocks in a row, far too early or far too late, are another path or a step. Queues are late, never early."""
_EVERY = 40
"""While it begins: Syncs from which on the line is not drawn with every packet any more."""
_MIDDLE = 3


class _Stream:
    """One direction: its newest packets, how often they come and how much they scatter."""

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=PACKETS)
        self.values: deque[float] = deque(maxlen=PACKETS)
        self.fresh = 0
        self.spacing_s = 0.0
        self.newest_ns: int | None = None
        self.broken = 0
        """Blocks in a row beyond the gate: positive late, negative early."""
        self.scatter: Scatter | None = None

    def space(self, local_ns: int) -> None:
        if self.newest_ns is not None:
            apart = min(max((local_ns - self.newest_ns) / NS_PER_S, 0.0), 60.0)
            self.spacing_s += (0.05 if self.spacing_s else 1.0) * (apart - self.spacing_s)
        self.newest_ns = local_ns


class KalmanTracker:
    """A line through all packets at first (`Regression`); the bank from when each direction has filled a window."""

    def __init__(self, options: KalmanOptions) -> None:
        self._memory_s = options.delay_memory / NS_PER_S
        self._regression = Regression()
        self._bank: Bank | None = None
        self._streams = [_Stream() for _ in Direction]
        self._rate_ppb = 0.0
        self._generation = 0
        self._since = 0
        self._gated = 0
        self._weight = np.array([0.0, 0.0, 0.0, 1.0])

    def restart(self) -> None:
        """See `Tracker.restart`."""
        self._generation += 1
        self._regression = Regression(self._rate_ppb, KEPT_RATE_PPB)
        self._bank = None
        self._streams = [_Stream() for _ in Direction]

    def add(self, observation: Observation) -> Fix | None:
        """See `Tracker.add`."""
        stream = self._streams[observation.direction]
        stream.space(observation.local_ns)
        if self._bank is None:
            return self._begin(observation)
        stream.times.append((observation.local_ns - self._epoch_ns) / NS_PER_S)
        stream.values.append(float(observation.value_ns + (-1, 1, 0)[observation.direction] * self._base_ns))
        stream.fresh += 1
        if stream.fresh < self._hop or len(stream.values) < PACKETS:
            return None
        stream.fresh = 0
        return self._block(observation.direction, stream)

    def metrics(self) -> dict[str, int | float]:
        """See `Tracker.metrics`."""
        figures: dict[str, int | float] = {
            "quantile": round(float(self._weight @ QUANTILES), 3),
            "gated_blocks": self._gated,
            "restarts": self._generation,
        }
        for direction, stream in zip(Direction, self._streams, strict=True):
            if stream.scatter is not None:
                figures[f"scatter_{direction.name.lower()}_ns"] = round(float(stream.scatter.sd[_MIDDLE]), 1)
                ranked = sorted(stream.values)
                spread = ranked[len(ranked) // 2] - ranked[0] if ranked else 0.0
                figures[f"spread_{direction.name.lower()}_ns"] = round(spread, 1)
        return figures

    def _begin(self, observation: Observation) -> Fix | None:
        regression = self._regression
        regression.add(observation)
        syncs, delays, peers = regression.packets
        self._since += 1
        if len(syncs) > _EVERY and self._since < 4:
            return None
        self._since = 0
        line = regression.fit()
        if line is None:
            return None
        self._rate_ppb = float(line.state[1])
        if len(syncs) >= PACKETS and max(len(delays), len(peers)) >= PACKETS:
            self._found(line, regression.packets)
        span_s = (line.local_ns - syncs[0].local_ns) / NS_PER_S
        return line.fix(memory_s=span_s / 4, settled=self._bank is not None, generation=self._generation)

    def _found(self, line: Line3, packets: Sequence[Sequence[Observation]]) -> None:
        # The bank begins where the line ends, each statistic moved to where it lies among the packets.
        self._base_ns, self._epoch_ns, self._now_s = line.base_ns, line.local_ns, 0.0
        self._hop = next(hop for apart_s, hop in HOPS if self._streams[Direction.SYNC].spacing_s >= apart_s)
        self._statistics = statistics = Statistics(self._hop)
        self._windows = np.array(statistics.windows)
        back = Direction.DELAY if len(packets[Direction.DELAY]) >= PACKETS else Direction.PEER
        where, unsure = {}, {}
        for direction in (Direction.SYNC, back):
            residuals = line.residuals[direction]
            stream = self._streams[direction]
            scatter = 1.3 * statistics.scatter(residuals)
            where[direction], count = statistics.mean(residuals)
            unsure[direction] = scatter**2 / count
            self._fill(stream, direction, packets[direction], Scatter(scatter, statistics.lags))
        there, again = where[Direction.SYNC], where[back]
        share = 0.5 if back is Direction.DELAY else 1.0
        delay = line.state[2] + (0.5 * (there + again) if back is Direction.DELAY else again)
        state = np.array([line.state[0] + there, np.full(4, line.state[1]), delay])
        covariance = np.repeat(line.covariance[:, :, None], 4, axis=2)
        there, again = unsure[Direction.SYNC], unsure[back]
        if back is Direction.DELAY:
            covariance[0, 2] += share * there
            covariance[2, 0] += share * there
            covariance[2, 2] += share**2 * there
        covariance[0, 0] += there + line.doubt_ns**2 / 2
        covariance[2, 2] += share**2 * again + line.doubt_ns**2 / 2
        self._bank = Bank(state, covariance)

    def _fill(self, stream: _Stream, direction: Direction, packets: Sequence[Observation], scatter: Scatter) -> None:
        # The history of the scatter begins with the packets of the line.
        stream.scatter = scatter
        times = np.array([(each.local_ns - self._epoch_ns) / NS_PER_S for each in packets])
        shift = (-1, 1, 0)[direction] * self._base_ns
        values = np.array([float(each.value_ns + shift) for each in packets])
        slope = (1, -1, 0)[direction] * self._rate_ppb
        for end in range(PACKETS, len(packets) + 1, self._hop):
            scatter.add(*self._statistics.of(values[end - PACKETS : end], times[end - PACKETS : end], slope), slope)
        stream.times.extend(times[-PACKETS:])
        stream.values.extend(values[-PACKETS:])

    def _block(self, direction: Direction, stream: _Stream) -> Fix | None:
        bank = self._bank
        assert bank is not None
        slope = (1, -1, 0)[direction] * self._rate_ppb
        value, time = self._statistics.of(np.array(stream.values), np.array(stream.times), slope)
        if stream.scatter is None:
            stream.scatter = Scatter(self._guess(), self._statistics.lags)
        stream.scatter.add(value, time, slope)
        now = max(self._now_s, *stream.times)
        density = self._densities()
        bank.predict(now - self._now_s, density.max(axis=0) / 4 / self._memory_s**2)
        self._now_s = now
        distance, miss = bank.update(direction, now - time, value, stream.scatter.variance, self._statistics.share)
        if self._breaks(stream, distance[EARLIEST], miss[EARLIEST]):
            self.restart()
            return None
        known = bank.mixture()
        choice = choose(known, density.sum(axis=0))
        weight = self._weight = choice.weight
        self._rate_ppb = float(known.state[1] @ weight)
        period_s = self._hop * self._streams[Direction.SYNC].spacing_s
        return Fix(
            local_ns=self._epoch_ns + round(now * NS_PER_S),
            base_ns=self._base_ns,
            offset_ns=float(known.offset @ weight),
            rate_ppb=self._rate_ppb,
            delay_ns=float(known.state[2] @ weight),
            variance=choice.variance,
            covariance=float(known.covariance @ weight),
            rate_variance=float(known.rate_variance @ weight),
            wander=float(known.wander @ weight),
            memory_s=float((period_s / np.maximum(bank.gain, 1e-3)) @ weight),
            settled=True,
            generation=self._generation,
        )

    def _guess(self) -> Vector:
        return 2 * np.max([each.scatter.sd for each in self._streams if each.scatter is not None], axis=0)

    def _densities(self) -> NDArray[np.float64]:
        # Noise of each statistic in each direction as it averages down, ns**2 * s, shape (directions, 4).
        heard = [(each.scatter, each.spacing_s) for each in self._streams]
        found = [scatter.variance * (self._windows * apart_s) for scatter, apart_s in heard if scatter is not None]
        return np.stack(found)

    def _breaks(self, stream: _Stream, distance: float, miss: float) -> bool:
        if distance <= 9.0:
            stream.broken = 0
            return False
        self._gated += 1
        way = math.copysign(1, miss)
        stream.broken = int(stream.broken + way) if stream.broken * way > 0 else int(way)
        return stream.broken <= -BROKEN_EARLY or stream.broken >= BROKEN_LATE
