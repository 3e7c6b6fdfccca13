"""The test tone: what simulated sources send while somebody listens, and how clean it comes out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S
from .._core.samples import Encoded
from .._core.stream import StreamFormat
from .local_clock import true_now_ns
from .nodes.sim_source import sine_frames

TONE_HZ = 10_000.0
"""High, because what is wrong with a ratio is louder the higher the tone."""
LOW_TONE_HZ = 997.0
"""Of streams that do not carry the other one well."""
NOTCH_HZ = 20.0
"""What lies so near to the tone is taken for the tone."""
_BEFORE_NS = NS_PER_S
_KAISER = 22.0  # sidelobes below -200 dB, a main lobe of 8 bins to each side


def tone_hz(rate: int) -> float:
    """The frequency of the test tone of a stream."""
    return TONE_HZ if rate >= 4 * TONE_HZ else LOW_TONE_HZ


class Listening:
    """A stretch of true time of which samples are rendered. All the rest of a run they are only counted."""

    def __init__(self, begin_ns: int = 0, end_ns: int = 0) -> None:
        self.begin_ns = begin_ns
        self.end_ns = end_ns

    def at(self, true_ns: int) -> bool:
        """Whether what sounds at a true time is rendered."""
        return self.begin_ns <= true_ns < self.end_ns


class Signal:
    """What a source sends: the tone from a second before somebody listens, and silence otherwise."""

    def __init__(self, format: StreamFormat, listening: Listening, delay_ns: int) -> None:
        """``delay_ns`` passes until what is sent sounds."""
        self._format = format
        self._listening = listening
        self._delay_ns = delay_ns
        self._silence: Encoded = np.zeros((0, format.channels * format.encoding.sample_bytes), np.uint8)

    def encoded(self, first: int, count: int) -> Encoded:
        """``count`` frames from an absolute index on, as they are sent now."""
        format, listening = self._format, self._listening
        if listening.end_ns and listening.begin_ns - self._delay_ns - _BEFORE_NS <= true_now_ns() < listening.end_ns:
            return format.encoding.encode(sine_frames(first, count, format.channels, tone_hz(format.rate), format.rate))
        if len(self._silence) < count:
            self._silence = np.zeros((count, self._silence.shape[1]), np.uint8)
        return self._silence[:count]


def thd_n_db(samples: NDArray[np.float32], rate: int) -> float | None:
    """Distortion and noise of a tone against the tone, from `NOTCH_HZ` to half the rate; None if there is no tone.

    The tone is what is loudest, and what is within `NOTCH_HZ` of it.
    """
    seconds = len(samples) / rate
    if seconds < 1.0:
        return None
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.kaiser(len(samples), _KAISER))) ** 2
    notch = round(NOTCH_HZ * seconds)
    spectrum[:notch] = 0.0
    peak = int(spectrum.argmax())
    tone = float(spectrum[max(0, peak - notch) : peak + notch + 1].sum())
    if tone <= 0.0:
        return None
    spectrum[max(0, peak - notch) : peak + notch + 1] = 0.0
    rest = float(spectrum.sum())
    return float(10.0 * np.log10(max(rest, tone * 1e-20) / tone))
