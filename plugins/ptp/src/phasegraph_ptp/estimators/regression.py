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
EARLY_SHARE = 0.1
"""Of a direction's packets: those that met no queue, where there are queues."""
ONE_SIDED = 4.0
"""How many times as far above its early packets as the other a direction lies that alone has a queue."""
_FEWEST = 4


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
        self._early = early

    def add_packet(self, observation: PathObservation) -> None:
        """Take a packet in; what has become too old leaves."""
        self.packets[observation.direction].append(observation)
        for packets in self.packets:
            while packets and packets[0].local_ns < observation.local_ns - self._span_ns:
                packets.popleft()

    def fit(self) -> FittedLine | None:
        """The line now; None without a Sync."""
        if not self.packets[Direction.SYNC]:
            return None
        # The middle one, since one of them may be absurd.
        values = sorted(packet.value_ns for packet in self.packets[Direction.SYNC])
        base = values[len(values) // 2]
        packets = tuple(
            [packet for packet in packets if abs(packet.value_ns - packet.direction.sign * base) < LONGEST_NS]
            for packets in self.packets
        )
        syncs, delays, peers = packets
        every = [*syncs, *delays, *peers]
        now = max(packet.local_ns for packet in every)
        ends = np.cumsum([len(syncs), len(delays), len(peers)])
        parts = [slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])]
        age = np.array([(now - packet.local_ns) / NS_PER_S for packet in every])
        value = np.array([float(packet.value_ns - packet.direction.sign * base) for packet in every])
        count = len(every)
        design = np.zeros((count + 2, 3))
        design[parts[0], 0], design[parts[1], 0] = 1.0, -1.0
        design[:count, 1] = -age * design[:count, 0]
        design[parts[1], 2], design[parts[2], 2] = 2.0, 1.0
        design[count, 1] = design[count + 1, 2] = 1.0
        target = np.append(value, (self._rate_ppb, 0.0))
        prior = np.array([1 / self._rate_sd_ppb, 1 / UNKNOWN_DELAY_NS])
        wandered = WANDER**2 * age**3 / 3
        trust = np.ones(count)
        noise = [UNSEEN_NOISE_NS] * 3
        # Least squares, again and again, in which what lies far off counts less each time.
        for _ in range(_ROUNDS):
            sure = 1 / np.sqrt(np.repeat(np.square(noise), [len(syncs), len(delays), len(peers)]) + wandered)
            weighted = design * np.append(sure * trust, prior)[:, None]
            scale = 1 / np.sqrt(np.square(weighted).sum(axis=0))
            weighted *= scale
            normal = weighted.T @ weighted
            state = scale * np.linalg.solve(normal, weighted.T @ (target * np.append(sure * trust, prior)))
            residual = (target - design @ state)[:count]
            noise = _noises([residual[part] for part in parts])
            distance = np.abs(residual) * sure
            trust = 1 / np.sqrt(np.maximum(1.0, distance / 1.5))
            trust[distance > 8] *= 0.1
        inflation = _inflation(len(syncs) - 2)
        residuals: tuple[Vector, ...] = (residual[parts[0]], residual[parts[1]], residual[parts[2]])
        doubt_ns = _doubt(residuals[0], residuals[1] if delays else residuals[2])
        if self._early:
            residuals, doubt_ns = _lowered(state, residuals, doubt_ns)
        return FittedLine(
            local_ns=now,
            base_ns=base,
            state=state,
            covariance=np.linalg.inv(normal) * np.outer(scale, scale) * inflation**2,
            packets=packets,
            residuals=residuals,
            doubt_ns=doubt_ns,
            delay_known=bool(delays or peers),
            times=-age[parts[0]],
        )


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
    size = np.abs(residual)
    cut = np.minimum(size, 3 * 1.4826 * float(np.median(size)) * math.sqrt(len(size) / free) + 1.0)
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
    lower, lower_back = (float(np.quantile(each, EARLY_SHARE)) for each in (there, back))
    less, more = sorted((abs(lower), abs(lower_back)))
    if more < ONE_SIDED * less:
        return residuals, doubt_ns
    state[0] += lower
    state[2] += (lower + lower_back) / 2
    return (there - lower, back - lower_back, peers), math.hypot(_blunt(there), _blunt(back)) / 2


def _blunt(residual: Vector) -> float:
    # How far the early packets are apart.
    least, more = np.quantile(residual, [0.0, 0.3])
    return float(more - least)


def _doubt(there: Vector, back: Vector) -> float:
    # Queues make packets late, never early: what the line lies above the earliest by is queue, or noise that both
    # directions share. Where they differ, it is off by half of that.
    if min(len(there), len(back)) < 3:
        return 0.0
    spread = [-float(np.quantile(each, EARLY_SHARE)) for each in (there, back)]
    return math.hypot((spread[0] - spread[1]) / 2, sum(spread) / 2 / math.sqrt(min(len(there), len(back))))
