"""Session descriptions: tolerant in, strict out (RFC 8866, RFC 7273, RFC 4570, RFC 7104).

What devices leave out or misspell is read as it is meant and listed in ``problems``; what makes a stream unusable
is a `MalformedSdp`.
"""

from __future__ import annotations

from .explanation import explain
from .reference_clock import ReferenceClock
from .sdp_reader import MAX_SDP_BYTES, MalformedSdp, SessionDescription, decode_sdp, parse, printable_text
from .sdp_writer import PRESETS, Preset, write

__all__ = [
    "MAX_SDP_BYTES",
    "PRESETS",
    "MalformedSdp",
    "Preset",
    "ReferenceClock",
    "SessionDescription",
    "decode_sdp",
    "explain",
    "parse",
    "printable_text",
    "write",
]
