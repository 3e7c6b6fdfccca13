"""Session descriptions: tolerant in, strict out (RFC 8866, RFC 7273, RFC 4570, RFC 7104).

What devices leave out or misspell is taken as it is meant and said in ``problems``; what makes a stream unusable
is a `MalformedSdp`.
"""

from __future__ import annotations

from .grammar import MAX_SDP_BYTES, MalformedSdp
from .reading import Session, parse
from .refclk import ReferenceClock
from .words import describe
from .writing import PRESETS, Preset, write

__all__ = [
    "MAX_SDP_BYTES",
    "PRESETS",
    "MalformedSdp",
    "Preset",
    "ReferenceClock",
    "Session",
    "describe",
    "parse",
    "write",
]
