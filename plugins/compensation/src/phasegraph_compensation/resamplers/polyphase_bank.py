"""The filter bank of the ``sinc`` resampler: a Kaiser-windowed sinc, kept as short polynomials.

The filter for a fractional position ``f`` is 64 samples of one continuous curve, taken at ``f + 31 - k``. The bank
holds, for each of 33 fractions ``p / 32``, polynomials in ``d = f - p / 32`` that give the 64 coefficients at once.
They are fitted at Chebyshev nodes, which spreads their error evenly: the worst gain error at any frequency is
-176 dB for ``|d| <= REACH_OF_FIT``, where three terms around 512 fractions would be at -97 dB.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

TAPS = 64
"""Input frames that one output frame is made of."""
PHASES = 32
"""Parts that the distance between two input frames is divided into."""
TERMS = 6
"""Coefficients of each polynomial."""
DRIFT = 0.1
"""How far, in frames, the fractional position may wander among the output frames that share one phase."""
REACH_OF_FIT = 0.5 / PHASES + DRIFT / 2
"""Largest distance from a phase, in frames, at which the polynomials hold."""
BETA = 14.4
"""Shape of the Kaiser window. With 64 taps every image of every tone up to 20.4 kHz (at 48 kHz) stays below -142 dB,
which is what float32 arithmetic leaves; 12.5, as it is often chosen for 64 taps, gives -126 dB at 19.6 kHz."""
CUTOFF = 0.4675
"""Where the response is down by 6 dB, in cycles per frame: 22.4 kHz at 48 kHz, with -0.017 dB at 20 kHz."""

_EXTRA_NODES = 2


def impulse(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """The continuous impulse response at distances ``t`` in frames, not yet normalised.

    The window is continued smoothly a little beyond its edges, where the fit needs it.
    """
    squared = BETA**2 * (1.0 - (2.0 * t / TAPS) ** 2)
    # I0(sqrt(s)) is a power series in s. Just outside the window s is slightly negative, and four terms are plenty.
    outside = 1.0 + squared / 4.0 + squared**2 / 64.0 + squared**3 / 2304.0
    window = np.where(squared > 0.0, np.i0(np.sqrt(np.maximum(squared, 0.0))), outside)
    response: NDArray[np.float64] = np.sinc(2.0 * CUTOFF * t) * window
    return response


def coefficients(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """The filters for fractional positions, computed directly: shape ``(*fraction.shape, TAPS)``.

    Tap ``k`` belongs to the input frame ``k - (TAPS / 2 - 1)`` after the position's whole part. Each filter is
    scaled to a gain of exactly one at 0 Hz, so that a constant stays constant at every position.
    """
    taps = impulse(fraction[..., np.newaxis] + (TAPS / 2 - 1) - np.arange(TAPS))
    normalised: NDArray[np.float64] = taps / taps.sum(-1, keepdims=True)
    return normalised


@functools.cache
def polyphase_bank() -> NDArray[np.float64]:
    """The polynomials, shape (PHASES + 1, TERMS, TAPS), lowest power first. Made once, in about 3 ms."""
    count = TERMS + _EXTRA_NODES
    nodes = np.cos((np.arange(count) + 0.5) * (np.pi / count))
    phases = np.arange(PHASES + 1)[:, np.newaxis] / PHASES
    powers = nodes[:, np.newaxis] ** np.arange(TERMS)
    # Least squares at Chebyshev nodes, in the variable d / REACH_OF_FIT; the powers are few enough to be well
    # conditioned (45). Scaling turns the result into powers of d itself.
    fitted = np.linalg.pinv(powers) @ coefficients(phases + REACH_OF_FIT * nodes)
    fitted /= (REACH_OF_FIT ** np.arange(TERMS))[:, np.newaxis]
    fitted.flags.writeable = False
    result: NDArray[np.float64] = fitted
    return result
