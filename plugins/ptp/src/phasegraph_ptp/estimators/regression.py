"""A robust straight line through the packets of both directions at once: offset, rate and delay, with their doubts.

It needs no history and no tuning, so that it also begins a Kalman filter: a rate that two packets do not determine is
replaced by the usual range of oscillators.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec
import numpy as np
from numpy.typing import NDArray

from .offset_estimate import DRIFT, LONGEST_NS, NS_PER_S, Direction, OffsetEstimate, PathObservation

Vector = NDArray[np.float64]

UNKNOWN_RATE_PPB = 100_000.0
KEPT_RATE_PPB = 10_000.0
"""How far a rate that is kept from another reference or path may be off: grandmasters differ too."""
UNKNOWN_DELAY_NS = 1e8
WANDER = 10.0
"""ppb / sqrt(s), which makes old packets count less."""
WANDER_UNSEEN = 30.0
"""The same, of what has no means to measure it."""
UNSEEN_NOISE_NS = 20_000.0
LEAST_NOISE_NS = 30.0
FEW = 9
"""Fewer packets of a direction do not determine its noise yet; a third of them say nothing of it."""
_ROUNDS = 8
_STILL = 1e-3
"""Rounds end once they move the line by less than this part of the noise."""
EARLY_SHARE = 0.1
"""Of a direction's packets: those that met no queue, where there are queues."""
ONE_SIDED = 4.0
"""How many times as far above its early packets as the other a direction lies that alone has a queue."""
_FEWEST = 4
_LEAST_PIVOT = 1e-15
"""Rounding makes no pivot of a matrix that packets of one instant determine hardly at all smaller than this."""


def kept_rate_sd(known_sd_ppb: float) -> float:
    """How sure a rate still is once another reference or path is followed, given how sure it was."""
    return min(math.hypot(known_sd_ppb, KEPT_RATE_PPB), UNKNOWN_RATE_PPB)


class Bend(msgspec.Struct, frozen=True):
    """What becomes of the end of a straight line through packets that lie on a bent one."""

    drift: float
    """How fast the rate moves, as far as can be seen, ppb / s."""
    variance: float
    """Of the offset, ns**2."""
    rate_variance: float
    """ppb**2."""

    @classmethod
    def from_residuals(cls, times: Vector, residuals: Vector) -> Bend:
        """Look for a parabola in the residuals."""
        centred = times - times.mean()
        span_s = float(np.ptp(times))
        square = centred * centred - float((centred * centred).mean())
        norm = float(square @ square)
        drift = DRIFT
        if len(times) > 8 and norm > 0:
            bent = float(square @ residuals) / norm
            unsure = float(residuals @ residuals) / len(times) / norm
            drift = max(drift, 2 * math.sqrt(max(bent * bent - unsure, 0.0)))
        turned = (drift * span_s / 2) ** 2 + WANDER_UNSEEN**2 * span_s / 2
        return cls(drift, (drift * span_s**2 / 12) ** 2, turned)


class FittedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A fit: ``state`` is offset + delay (less ``base_ns``), rate and delay at ``local_ns``."""

    local_ns: int
    base_ns: int
    state: Vector
    covariance: NDArray[np.float64]
    packets: tuple[list[PathObservation], ...]
    """By direction, oldest first; absurd ones left out."""
    residuals: tuple[Vector, ...]
    """Of those packets."""
    doubt_ns: float
    """How wrong the offset may be because one direction queues and the other does not."""
    delay_known: bool
    times: Vector
    """Of the Syncs, s."""

    def offset_estimate(self, *, settled: bool, generation: int) -> OffsetEstimate:
        """The line as an offset estimate."""
        offset, rate, delay = (float(value) for value in self.state)
        p = self.covariance
        bend = Bend.from_residuals(self.times, self.residuals[0])
        return OffsetEstimate(
            local_ns=self.local_ns,
            base_ns=self.base_ns,
            offset_ns=offset - delay,
            rate_ppb=rate,
            delay_ns=delay if self.delay_known else None,
            variance=float(p[0, 0] - 2 * p[0, 2] + p[2, 2]) + self.doubt_ns**2 + bend.variance,
            covariance=float(p[0, 1] - p[1, 2]),
            rate_variance=float(p[1, 1]) + bend.rate_variance,
            wander=WANDER_UNSEEN,
            drift=bend.drift,
            memory_s=float(np.ptp(self.times)) / 2,
            settled=settled,
            generation=generation,
        )


class Regression:
    """Keeps the newest packets of each direction, at most ``most`` and ``span_ns``, and draws the line."""

    def __init__(
        self,
        rate_ppb: float = 0.0,
        rate_sd_ppb: float = UNKNOWN_RATE_PPB,
        *,
        most: int = 128,
        span_ns: int = 2**62,
        early: bool = False,
    ) -> None:
        """With ``early`` the line is lowered to the early packets, where only one direction queues."""
        self.packets: tuple[deque[PathObservation], ...] = tuple(deque(maxlen=most) for _ in Direction)
        self._rate_ppb = rate_ppb
        self._rate_sd_ppb = rate_sd_ppb
        self._span_ns = span_ns
        self.early = early

    def add_packet(self, observation: PathObservation) -> None:
        """Take a packet in; what has become too old leaves."""
        self.packets[observation.direction].append(observation)
        for packets in self.packets:
            while packets and packets[0].local_ns < observation.local_ns - self._span_ns:
                packets.popleft()

    def keep(self, most: int, span_ns: int) -> None:
        """Keep other packets from the next one on: at most ``most`` of each direction, of ``span_ns``."""
        self._span_ns = span_ns
        self.packets = tuple(deque(packets, maxlen=most) for packets in self.packets)

    def fit(self, wander_ppb: float = WANDER) -> FittedLine | None:
        """The line now, on an oscillator whose rate walks by ``wander_ppb`` in a square root of a second; None without
        a Sync."""
        if not self.packets[Direction.SYNC]:
            return None
        # The middle one, since one of them may be absurd.
        ranked = sorted(packet.value_ns for packet in self.packets[Direction.SYNC])
        base = ranked[len(ranked) // 2]
        bases = [direction.sign * base for direction in Direction]
        packets = tuple(
            [packet for packet in packets if abs(packet.value_ns - far) < LONGEST_NS]
            for packets, far in zip(self.packets, bases, strict=True)
        )
        syncs, delays, peers = packets
        every = [*syncs, *delays, *peers]
        now = max(packet.local_ns for packet in every)
        ends = np.cumsum([len(syncs), len(delays), len(peers)])
        parts = [slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])]
        syncs_only, delays_only, peers_only = parts
        count = len(every)
        age = np.array([now - packet.local_ns for packet in every]) / NS_PER_S
        values = [packet.value_ns - far for part, far in zip(packets, bases, strict=True) for packet in part]
        value = np.array(values, dtype=float)
        # What each packet measures: sign * (first - age * rate) + lever * delay.
        sign, lever = np.zeros(count), np.zeros(count)
        sign[syncs_only], sign[delays_only], lever[delays_only], lever[peers_only] = 1.0, -1.0, 2.0, 1.0
        slope = -age * sign
        # By the weights of the packets, these make the normal equations: six of the matrix, three of the right side.
        products = np.stack(
            [
                *(sign * sign, sign * slope, sign * lever, slope * slope, slope * lever, lever * lever),
                *(sign * value, slope * value, lever * value),
            ]
        )
        wandered = wander_ppb**2 * age**3 / 3
        trust = np.ones(count)
        variance = np.empty(count)
        sure = np.full(count, 1 / LEAST_NOISE_NS)
        longest_s, before = float(age.max()), (math.inf, 0.0, 0.0)
        # Least squares, again and again, in which what lies far off counts less each time. At first the packets alone
        # determine the line, so that no rate that was assumed explains them by noise.
        for _ in range(_ROUNDS):
            normal = _Normal(*(products @ np.square(sure * trust)).tolist())
            normal.add_prior(self._rate_ppb, 1 / self._rate_sd_ppb**2, 1 / UNKNOWN_DELAY_NS**2)
            first, rate, delay = normal.solution()
            residual = value - first * sign - rate * slope - delay * lever
            noises = _noises([residual[part] for part in parts])
            moved = abs(first - before[0]) + longest_s * abs(rate - before[1]) + 2 * abs(delay - before[2])
            if moved < _STILL * min(noises):
                break
            before = first, rate, delay
            for part, noise in zip(parts, noises, strict=True):
                variance[part] = noise * noise
            sure = 1 / np.sqrt(variance + wandered)
            distance = np.abs(residual) * sure
            trust = 1 / np.sqrt(np.maximum(1.0, distance / 1.5))
            trust[distance > 8] *= 0.1
        state = np.array([first, rate, delay])
        inflation = _inflation(len(syncs) - 2)
        residuals: tuple[Vector, ...] = (residual[syncs_only], residual[delays_only], residual[peers_only])
        doubt_ns = _doubt(residuals[0], residuals[1] if delays else residuals[2])
        if self.early:
            residuals, doubt_ns = _lowered(state, residuals, doubt_ns)
        return FittedLine(
            local_ns=now,
            base_ns=base,
            state=state,
            covariance=normal.covariance() * inflation**2,
            packets=packets,
            residuals=residuals,
            doubt_ns=doubt_ns,
            delay_known=bool(delays or peers),
            times=-age[syncs_only],
        )


class _Normal:
    """Normal equations of three unknowns, in plain numbers: a tenth of what NumPy takes for a matrix of this size.

    Their matrix is scaled to a diagonal of ones, since an unknown delay and a known offset are 16 orders apart."""

    def __init__(
        self, n00: float, n01: float, n02: float, n11: float, n12: float, n22: float, b0: float, b1: float, b2: float
    ) -> None:
        self._matrix = [n00, n01, n02, n11, n12, n22]
        self._right = [b0, b1, b2]

    def add_prior(self, rate: float, rate_weight: float, delay_weight: float) -> None:
        """What is known without packets: a rate, and a delay of 0, with their weights."""
        self._matrix[3] += rate_weight
        self._matrix[5] += delay_weight
        self._right[1] += rate * rate_weight

    def solution(self) -> tuple[float, float, float]:
        """First, rate and delay."""
        (s0, s1, s2), (l10, l20, d1, l21, d2) = self._factor()
        b0, b1, b2 = self._right
        y0 = b0 * s0
        y1 = b1 * s1 - l10 * y0
        y2 = b2 * s2 - l20 * y0 - l21 * y1
        x2 = y2 / d2
        x1 = y1 / d1 - l21 * x2
        x0 = y0 - l10 * x1 - l20 * x2
        return s0 * x0, s1 * x1, s2 * x2

    def covariance(self) -> NDArray[np.float64]:
        """The inverse of the matrix."""
        (s0, s1, s2), (l10, l20, d1, l21, d2) = self._factor()
        # The inverse of the lower factor, of which all rows count by their part of the diagonal.
        low = np.array([[1.0, 0.0, 0.0], [-l10, 1.0, 0.0], [l10 * l21 - l20, -l21, 1.0]])
        scale = np.array([s0, s1, s2])
        whole: NDArray[np.float64] = (low.T / np.array([1.0, d1, d2])) @ low * np.outer(scale, scale)
        return whole

    def _factor(self) -> tuple[tuple[float, float, float], tuple[float, float, float, float, float]]:
        # Lower triangle, diagonal, its transpose; the first of the diagonal is one.
        n00, n01, n02, n11, n12, n22 = self._matrix
        s0, s1, s2 = 1 / math.sqrt(n00), 1 / math.sqrt(n11), 1 / math.sqrt(n22)
        l10, l20 = n01 * s0 * s1, n02 * s0 * s2
        d1 = max(1 - l10 * l10, _LEAST_PIVOT)
        l21 = (n12 * s1 * s2 - l10 * l20) / d1
        return (s0, s1, s2), (l10, l20, d1, l21, max(1 - l20 * l20 - l21 * l21 * d1, _LEAST_PIVOT))


def _noises(residuals: list[Vector]) -> list[float]:
    # Standard deviation of each direction. One with few packets is taken to be hardly better than the Syncs.
    syncs = _noise(residuals[0], 2) or UNSEEN_NOISE_NS
    noises = [syncs]
    for each in residuals[1:]:
        noise = _noise(each, 1) if len(each) >= FEW // 3 else 2 * syncs
        noises.append(max(noise, syncs / 3) if len(each) < FEW else noise)
    return noises


def _noise(residual: Vector, parameters: int) -> float:
    free = len(residual) - parameters
    if free < 1:
        return 0.0
    size = np.sort(np.abs(residual))
    middle = float(size[(len(size) - 1) // 2] + size[len(size) // 2]) / 2
    cut = np.minimum(size, 3 * 1.4826 * middle * math.sqrt(len(size) / free) + 1.0)
    return max(math.sqrt(float(cut @ cut) / free), LEAST_NOISE_NS)


def _inflation(free: int) -> float:
    # Brings three sigmas of few packets to the quantile of Student's t that three sigmas of many stand for.
    return (1 + 2.2 / max(free, 1)) ** 2


def _lowered(state: Vector, residuals: tuple[Vector, ...], doubt_ns: float) -> tuple[tuple[Vector, ...], float]:
    # Where one direction lies many times as far above its early packets as the other, it queues, and the early packets
    # are the better judges of both. Where both are noisy all packets are: chance makes them differ, too. The other
    # direction determines the rate meanwhile; peer delays do not, so they are of no use here.
    there, back, peers = residuals
    if min(len(there), len(back)) < _FEWEST:
        return residuals, doubt_ns
    lower, lower_back = (_quantile(np.sort(each), EARLY_SHARE) for each in (there, back))
    less, more = sorted((abs(lower), abs(lower_back)))
    if more < ONE_SIDED * less:
        return residuals, doubt_ns
    state[0] += lower
    state[2] += (lower + lower_back) / 2
    return (there - lower, back - lower_back, peers), math.hypot(_blunt(there), _blunt(back)) / 2


def _blunt(residual: Vector) -> float:
    # How far the early packets are apart.
    ranked = np.sort(residual)
    return _quantile(ranked, 0.3) - float(ranked[0])


def _quantile(ranked: Vector, share: float) -> float:
    # Of sorted values, as numpy.quantile finds it.
    at = share * (len(ranked) - 1)
    below = int(at)
    above = min(below + 1, len(ranked) - 1)
    return float(ranked[below] + (ranked[above] - ranked[below]) * (at - below))


def _doubt(there: Vector, back: Vector) -> float:
    # Queues make packets late, never early: what the line lies above the earliest by is queue, or noise that both
    # directions share. Where they differ, it is off by half of that.
    if min(len(there), len(back)) < 3:
        return 0.0
    spread = [-_quantile(np.sort(each), EARLY_SHARE) for each in (there, back)]
    return math.hypot((spread[0] - spread[1]) / 2, sum(spread) / 2 / math.sqrt(min(len(there), len(back))))
