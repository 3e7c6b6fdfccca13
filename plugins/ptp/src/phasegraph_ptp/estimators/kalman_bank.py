"""A bank of Kalman filters side by side: four order statistics by twelve models, of how much the oscillator wanders and
whether the path's delay does.

State of each filter            x = (offset + delay, rate, delay)          ns, ns/s (ppb), ns
Transition over t seconds       F = [[1, t, 0], [0, 1, 0], [0, 0, 1]]
Process noise                   Q = WANDER**2 * [[t**3/3, t**2/2, 0], [t**2/2, t, 0], [0, 0, 0]]
                                    + PHASE**2 * t * [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
                                    + delay_walk * t * [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
A Sync block, aged a seconds    H = ( 1, -a, 0)                            measures offset + delay
A Delay_Req block               H = (-1,  a, 2)                            measures delay - offset
A peer delay block              H = ( 0,  0, 1)                            measures delay
Measurement noise               R = the scatter of the statistic, measured from block to block (`Scatter`)

The two directions need not alternate or be equally frequent: on a steady path Syncs alone carry the rate, and the delay
averages over all Delay_Reqs. On a restless one both directions slow down and speed up together, as stacks of a machine
do, which half of their difference does not see. The models are weighted by how well each predicted the measurements
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

_RATE_WALKS = np.array([0.02, 0.3, 1.0, 5.0, 20.0, 100.0])
_PHASE_WALKS = np.array([0.3, 1.0, 3.0, 3.0, 3.0, 3.0])
_SHARES = np.array([0.003, 0.02, 0.07, 0.25, 0.4, 0.257])
"""Oscillators, from one that both ends share to a bad one. Where noise hides the oscillator the shares decide, and
assuming a wander that is not there costs less than missing one."""
RESTLESS_S = 3.0
"""For how long a restless path's delay stays the same."""
_RESTLESS_SHARE = 0.1
WANDERS = np.tile(_RATE_WALKS, 2)
"""Random walk of the rate, ppb / sqrt(s), by model: each oscillator with a steady path, then with a restless one."""
PHASES = np.tile(_PHASE_WALKS, 2)
"""Random walk of the phase, ns / sqrt(s), by model."""
PRIOR = np.log(np.concatenate([_SHARES * (1 - _RESTLESS_SHARE), _SHARES * _RESTLESS_SHARE]))
"""Of the models."""
MEMORY = 60.0
"""Blocks over which the evidence for the models fades. Longer, it tells good oscillators apart better, and lags behind
ordinary ones when temperature moves them."""
LEAST_EVIDENCE = -7.0
"""No model is refuted further than this, so that a handful of blocks can bring it back: when temperature begins to move
the oscillator, for one. With -8 the error of a calm one that begins to move by 10 ppb/s is up to 3.0 sigmas, with -7
up to 2.3; with -6 that of one that stays calm is a third larger."""
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

    def __init__(self, state: Array, covariance: Array, memory_s: float) -> None:
        """Begin all models at ``state`` (3, statistics) with ``covariance`` (3, 3, statistics). A steady path's delay
        stays the same for ``memory_s``."""
        models = len(WANDERS)
        self._memories_s = np.repeat([memory_s, RESTLESS_S], len(_RATE_WALKS))
        self._state = np.repeat(state[..., None], models, axis=-1)
        self._covariance = np.repeat(covariance[..., None], models, axis=-1)
        self._evidence = np.zeros(self._state.shape[1:])
        self._rows = np.arange(state.shape[1])
        self.gain = np.ones(state.shape[1])
        """Of the last Sync block upon the first state."""

    def predict(self, seconds: float, density: Vector) -> None:
        """Let time pass. ``density`` is the noise of each statistic as it averages down, ns**2 * s: the delay walks so
        far that averaging over its memory is best."""
        t, x, p = seconds, self._state, self._covariance
        x[0] += t * x[1]
        p[0] += t * p[1]
        p[:, 0] += t * p[:, 1]
        p[:2, :2] += np.array([[t**3 / 3, t * t / 2], [t * t / 2, t]])[..., None, None] * WANDERS**2
        walk = density[:, None] * t / 4 / self._memories_s**2
        p[0, 0] += PHASES**2 * t + walk
        p[0, 2] += walk
        p[2, 0] += walk
        p[2, 2] += walk

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
        np.maximum(self._evidence, LEAST_EVIDENCE, out=self._evidence)
        # Overlapping windows repeat packets: each counts for the share that is new.
        total = np.maximum(foreseen + variance[:, None] / part, square / GATE)
        gain = seen / total
        x += gain * miss
        root = seen / np.sqrt(total)
        p -= root[:, None] * root[None]
        best = (self._evidence + PRIOR).argmax(axis=1)
        # A refuted model that does not follow is off by more and more, which the least weight carries into the mean.
        lost = (self._evidence <= LEAST_EVIDENCE) & (distance > GATE)
        if lost.any():
            x[:] = np.where(lost, x[:, self._rows, best][..., None], x)
            p[:] = np.where(lost, p[:, :, self._rows, best][..., None], p)
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
