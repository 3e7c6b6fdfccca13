"""What the network says it has added to a message's time (correctionField), and what of it can be true."""

from __future__ import annotations

from .intervals import NS_PER_S

UNITS_PER_NS = 1 << 16
_LEAST = -1_000 * UNITS_PER_NS
_MOST = 10 * NS_PER_S * UNITS_PER_NS


def refusal(correction: int) -> str | None:
    """Why a correction (2**-16 ns) cannot be true, as a reason for dropping it; None if it can.

    Transparent clocks run on their own oscillators, so a little less than nothing is tolerated.
    """
    if correction < _LEAST:
        return "correction_negative"
    return "correction_huge" if correction > _MOST else None
