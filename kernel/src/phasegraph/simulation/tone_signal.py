"""The test tone of a simulation, the span of time in which it is rendered, and its distortion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S
from .._core.samples import Encoded
from .._core.stream import StreamFormat
from .local_clock import true_now_ns
from .signals import sine_frames

TONE_HZ = 10_000.0
"""The test tone: high, because an error of the ratio is louder at a higher frequency."""
LOW_TONE_HZ = 997.0
"""The test tone of streams whose rate is too low for the other one."""
NOTCH_HZ = 20.0
"""Energy within this distance of the tone counts as the tone."""
_TONE_LEADS_NS = NS_PER_S
_KAISER = 22.0  # sidelobes below -200 dB, a main lobe of 8 bins to each side


def tone_hz(rate: int) -> float:
    """The frequency of the test tone of a stream."""
    return TONE_HZ if rate >= 4 * TONE_HZ else LOW_TONE_HZ


class RenderedSpan:
    """The span of true time of which samples are rendered. In the rest of a run samples are only counted."""

    def __init__(self, begin_ns: int = 0, end_ns: int = 0) -> None:
        self.begin_ns = begin_ns
        self.end_ns = end_ns

    def contains(self, true_ns: int) -> bool:
        """Whether a sample that is played at a true time is rendered."""
        return self.begin_ns <= true_ns < self.end_ns


class ToneSignal:
    """The signal of a source: the tone from a second before the rendered span until its end, silence otherwise."""

    def __init__(self, format: StreamFormat, rendered: RenderedSpan, delay_ns: int) -> None:
        """``delay_ns`` is the time from sending a frame to playing it."""
        self._format = format
        self._rendered = rendered
        self._delay_ns = delay_ns
        self._silence: Encoded = np.zeros((0, format.channels * format.encoding.sample_bytes), np.uint8)

    def encoded(self, first: int, count: int) -> Encoded:
        """``count`` frames from an absolute index on, as they are sent now."""
        format, span = self._format, self._rendered
        if span.end_ns and span.begin_ns - self._delay_ns - _TONE_LEADS_NS <= true_now_ns() < span.end_ns:
            return format.encoding.encode(sine_frames(first, count, format.channels, tone_hz(format.rate), format.rate))
        if len(self._silence) < count:
            self._silence = np.zeros((count, self._silence.shape[1]), np.uint8)
        return self._silence[:count]


def thd_n_db(samples: NDArray[np.float32], rate: int) -> float | None:
    """Distortion and noise of a tone against the tone, from `NOTCH_HZ` to half the rate; None if there is no tone.

    The tone is the loudest component with all energy within `NOTCH_HZ` of it.
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
