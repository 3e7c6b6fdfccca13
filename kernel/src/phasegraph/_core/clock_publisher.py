"""The line that is told to the world: reference time over local time, continuous, its corrections slewed."""

from __future__ import annotations

import math

from .offset_estimate import NS_PER_S


class Line:
    """A line of integers and a fraction, at a rate, with a slew on top that ends by itself.

    ``lag_ns`` is by how much it is ahead of where it should be; the slew takes it away.
    """

    def __init__(self, local_ns: int, reference_ns: int, fraction_ns: float, rate_ppb: float) -> None:
        self._local_ns = local_ns
        self._reference_ns = reference_ns
        self._fraction_ns = fraction_ns
        self._rate_ppb = rate_ppb
        self._lag_ns = 0.0
        self._slew_ppb = 0.0
        self._slew_s = 0.0

    def at(self, local_ns: int) -> tuple[int, float]:
        """Reference time at a local time: whole nanoseconds, and the fraction from 0 to 1."""
        seconds = (local_ns - self._local_ns) / NS_PER_S
        extra = self._fraction_ns + self._rate_ppb * seconds + self._slewed(seconds)
        whole = math.floor(extra)
        return self._reference_ns + local_ns - self._local_ns + whole, extra - whole

    def rate_at(self, local_ns: int) -> float:
        """Its momentary rate, reference against local, in ppb."""
        slewing = 0 <= local_ns - self._local_ns < self._slew_s * NS_PER_S
        return self._rate_ppb + (self._slew_ppb if slewing else 0.0)

    def lag_at(self, local_ns: int) -> float:
        """How far it is ahead of the fix that it was last steered to."""
        return self._lag_ns + self._slewed((local_ns - self._local_ns) / NS_PER_S)

    def ahead_of(self, local_ns: int, reference_ns: int, fraction_ns: float) -> float:
        """How far it is ahead of a reference time, at a local time."""
        whole, fraction = self.at(local_ns)
        return float(whole - reference_ns) + fraction - fraction_ns

    def steer(self, local_ns: int, lag_ns: float, rate_ppb: float, over_s: float, limit_ppb: float) -> None:
        """Go on from here at a new rate, and take a lag away over a time, or at a limit if that is longer."""
        self._reference_ns, self._fraction_ns = self.at(local_ns)
        self._local_ns = local_ns
        self._rate_ppb = rate_ppb
        self._lag_ns = lag_ns
        self._slew_ppb = max(-limit_ppb, min(limit_ppb, -lag_ns / over_s))
        self._slew_s = -lag_ns / self._slew_ppb if self._slew_ppb else 0.0

    def _slewed(self, seconds: float) -> float:
        return self._slew_ppb * min(max(seconds, 0.0), self._slew_s)
