"""A bank of Kalman filters side by side: four order statistics by four models of how much the oscillator wanders.

State of each filter            x = (offset + delay, rate, delay)          ns, ns/s (ppb), ns
Transition over t seconds       F = [[1, t, 0], [0, 1, 0], [0, 0, 1]]
Process noise                   Q = WANDER**2 * [[t**3/3, t**2/2, 0], [t**2/2, t, 0], [0, 0, 0]]
                                    + diag(PHASE_WALK**2 * t, 0, delay_walk * t)
A Sync block, aged a seconds    H = ( 1, -a, 0)                            measures offset + delay
A Delay_Req block               H = (-1,  a, 2)                            measures delay - offset
A peer delay block              H = ( 0,  0, 1)                            measures delay
Measurement noise               R = the scatter of the statistic, measured from block to block (`Scatter`)

The two directions need not alternate or be equally frequent: Syncs alone carry the rate, and the delay, which hardly
changes, averages over all Delay_Reqs. The models are weighted by how well each predicted the measurements
(multiple-model estimation: Magill, IEEE Trans. Automatic Control 10 (1965) 434). Constants without a source were
chosen by benchmarks/ptp_estimators.py over the networks and oscillators in docs/validation/ptp_estimators.md.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from .offset_estimate import Direction

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

WANDERS = np.array([1.0, 5.0, 20.0, 100.0])
"""Random walk of the rate, ppb / sqrt(s)."""
PRIOR = np.log([0.05, 0.25, 0.4, 0.3])
"""Of the models. Where noise hides the oscillator this decides, and assuming a wander that is not there costs
less than missing one: with (0.25, 0.35, 0.25, 0.15) errors are a quarter less where the
oscillator is perfect, and a sixth more under load where temperature moves it by 2 ppb/s."""
PHASE_WALK = 3.0
"""Random walk of the phase, ns / sqrt(s)."""
MEMORY = 100.0
"""Blocks over which the evidence for the models fades."""
GATE = 9.0
"""Squared distance, in variances, beyond which a measurement counts as if it were at this distance."""


class Mixture(msgspec.Struct, frozen=True):
    """The weighted mean of the models, for each statistic: arrays of shape (statistics,) unless stated otherwise."""

    state: Array
    """(3, statistics)."""
    offset: Vector
    variance: Vector
    """Of the offset, the disagreement of the models included."""
    covariance: Vector
    rate_variance: Vector
    wander: Vector


class KalmanBank:
    """The filters. Arrays have the statistics in their last axis but one, and the models in their last."""

    def __init__(self, state: Array, covariance: Array) -> None:
        """Begin all models at ``state`` (3, statistics) with ``covariance`` (3, 3, statistics)."""
        models = len(WANDERS)
        self._state = np.repeat(state[..., None], models, axis=-1)
        self._covariance = np.repeat(covariance[..., None], models, axis=-1)
        self._evidence = np.zeros(self._state.shape[1:])
        self._rows = np.arange(state.shape[1])
        self.gain = np.ones(state.shape[1])
        """Of the last Sync block upon the first state."""

    def predict(self, seconds: float, delay_walk: Vector) -> None:
        """Let time pass. ``delay_walk`` is the random walk of the delay by statistic, ns**2 / s."""
        t, x, p = seconds, self._state, self._covariance
        x[0] += t * x[1]
        p[0] += t * p[1]
        p[:, 0] += t * p[:, 1]
        p[:2, :2] += np.array([[t**3 / 3, t * t / 2], [t * t / 2, t]])[..., None, None] * WANDERS**2
        p[0, 0] += PHASE_WALK**2 * t
        p[2, 2] += (delay_walk * t)[:, None]

    def update_with_block(
        self, direction: Direction, age_s: Vector, value: Vector, variance: Vector, share: Vector
    ) -> tuple[Vector, Vector]:
        """Digest a block, whose statistics are ``value``, ``age_s`` old, and of a ``variance``, each of shape (4,).

        Returns the squared innovations in variances, and the innovations in ns.
        """
        x, p = self._state, self._covariance
        one, none = np.ones_like(age_s), np.zeros_like(age_s)
        if direction is Direction.SYNC:
            design = np.array([one, -age_s, none])[..., None]
        elif direction is Direction.DELAY:
            design = np.array([-one, age_s, 2 * one])[..., None]
        else:
            design = np.array([none, none, one])[..., None]
        seen = (p * design).sum(axis=1)
        foreseen = np.maximum((design * seen).sum(axis=0), 0.0)
        miss = value[:, None] - (design * x).sum(axis=0)
        square = miss * miss
        total = foreseen + variance[:, None]
        distance = square / total
        part = share[:, None]
        self._evidence *= (1 - 1 / MEMORY) ** part
        self._evidence -= 0.5 * part * (np.log(total) + np.minimum(distance, GATE))
        self._evidence -= self._evidence.max(axis=1, keepdims=True)
        # Overlapping windows repeat packets: each counts for the share that is new.
        total = np.maximum(foreseen + variance[:, None] / part, square / GATE)
        gain = seen / total
        x += gain * miss
        root = seen / np.sqrt(total)
        p -= root[:, None] * root[None]
        best = (self._evidence + PRIOR).argmax(axis=1)
        if direction is Direction.SYNC:
            self.gain = gain[0, self._rows, best]
        return distance[self._rows, best], miss[self._rows, best]

    def mixture(self) -> Mixture:
        """The present estimate."""
        weight = np.exp(self._evidence + PRIOR)
        weight /= weight.sum(axis=1, keepdims=True)
        x, p = self._state, self._covariance
        state = (x * weight).sum(axis=2)
        apart = x - state[:, :, None]
        offset = apart[0] - apart[2]
        return Mixture(
            state=state,
            offset=state[0] - state[2],
            variance=((p[0, 0] - 2 * p[0, 2] + p[2, 2] + offset * offset) * weight).sum(axis=1),
            covariance=((p[0, 1] - p[1, 2] + offset * apart[1]) * weight).sum(axis=1),
            rate_variance=((p[1, 1] + apart[1] ** 2) * weight).sum(axis=1),
            wander=np.sqrt((WANDERS**2 * weight).sum(axis=1)),
        )
