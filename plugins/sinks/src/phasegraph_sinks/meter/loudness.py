"""Loudness by ITU-R BS.1770 and EBU R 128: momentary (400 ms) and short-term (3 s).

K-weighting is two second-order sections: a shelf for the head, and a high-pass. numpy has no recursive filter, and the
high-pass decays by 160 dB in 80 ms: both are one impulse response, applied block by block by FFT (overlap-save).
The mean square over a window, weighted by channel, is the loudness.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEPS_PER_S = 10
"""The windows advance by 100 ms (EBU Tech 3341, 2.3)."""
MOMENTARY_STEPS = 4
SHORT_TERM_STEPS = 30
_OFFSET_LU = -0.691
_SILENT_LUFS = -200.0
_RESPONSE_S = 0.08
CHANNEL_WEIGHTS = {"mono": (1.0,), "stereo": (1.0, 1.0), "5.1": (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)}
"""By layout, in the order L R C LFE Ls Rs (BS.1770, table 3)."""

Section = tuple[float, float, float, float, float]
"""b0, b1, b2, a1, a2 of a second-order section whose a0 is 1."""


def k_weighting(rate: int) -> tuple[Section, Section]:
    """The shelf and the high-pass at any rate: the analogue filters behind the table of BS.1770 for 48 kHz."""
    k, q, gain = math.tan(math.pi * 1681.974450955533 / rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = gain**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = (
        (gain + band * k / q + k * k) / a0,
        2 * (k * k - gain) / a0,
        (gain - band * k / q + k * k) / a0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    )
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    return shelf, (1.0, -2.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


def impulse_response(sections: Sequence[Section], count: int) -> NDArray[np.float64]:
    """The first ``count`` samples of what sections in series make of an impulse."""
    line = [1.0] + [0.0] * (count - 1)
    for b0, b1, b2, a1, a2 in sections:
        s1 = s2 = 0.0  # transposed direct form II
        for index, x in enumerate(line):
            line[index] = y = b0 * x + s1
            s1, s2 = b1 * x - a1 * y + s2, b2 * x - a2 * y
    return np.array(line)


def _fft_size(least: int) -> int:
    # The next product of small primes, for which the FFT is fast.
    sizes = (2**a * 3**b * 5**c for a in range(4, 20) for b in range(4) for c in range(4))
    return min((size for size in sizes if size >= least), default=least)


class LoudnessMeter:
    """Loudness of one programme."""

    def __init__(self, rate: int, weights: Sequence[float]) -> None:
        """``weights`` of the channels, from the first; those beyond are not part of the programme."""
        self._used = [channel for channel, weight in enumerate(weights) if weight]
        self._weights = [weights[channel] for channel in self._used]
        self._step = rate // STEPS_PER_S
        response = impulse_response(k_weighting(rate), round(rate * _RESPONSE_S))
        self._past = len(response) - 1
        self._size = _fft_size(self._past + rate // 4)  # of most blocks, at 48 kHz 16 000
        self._most = self._size - self._past
        self._spectrum = np.fft.rfft(response, self._size).astype(np.complex64)
        self._buffer = np.zeros((len(self._used), self._size), np.float32)
        self._steps: deque[float] = deque(maxlen=SHORT_TERM_STEPS)
        self._sum = 0.0
        self._count = 0

    def add_samples(self, lines: NDArray[np.float32]) -> None:
        """Add samples, a row a channel, in sequence; all of them finite."""
        for begin in range(0, lines.shape[1], self._most):
            self._add_block(lines[:, begin : begin + self._most])

    def _add_block(self, lines: NDArray[np.float32]) -> None:
        count = lines.shape[1]
        end = self._past + count
        buffer = self._buffer
        buffer[:, self._past : end] = lines[self._used]
        power = np.zeros(count, np.float32)
        for line, weight in zip(buffer, self._weights, strict=True):  # a row at a time: faster than all rows at once
            spectrum = np.fft.rfft(line[:end], self._size)
            spectrum *= self._spectrum
            weighted = np.fft.irfft(spectrum, self._size)[self._past : end]
            power += weight * np.square(weighted)
        buffer[:, : self._past] = buffer[:, count:end].copy()
        at = 0
        while at < len(power):
            part = power[at : at + self._step - self._count]
            self._sum += float(part.sum(dtype=np.float64))
            self._count += len(part)
            at += len(part)
            if self._count == self._step:
                self._steps.append(self._sum / self._step)
                self._sum, self._count = 0.0, 0

    def momentary_lufs(self) -> float | None:
        """Loudness of the last 400 ms; None before there are 400 ms."""
        return self._loudness(MOMENTARY_STEPS)

    def short_term_lufs(self) -> float | None:
        """Loudness of the last 3 s; None before there are 3 s."""
        return self._loudness(SHORT_TERM_STEPS)

    def _loudness(self, steps: int) -> float | None:
        if len(self._steps) < steps:
            return None
        mean = sum(list(self._steps)[-steps:]) / steps
        return max(_SILENT_LUFS, _OFFSET_LU + 10 * math.log10(mean)) if mean > 0 else _SILENT_LUFS
