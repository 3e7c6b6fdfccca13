"""The ``bext`` chunk of Broadcast Wave files (EBU Tech 3285), as libsndfile takes it: SF_BROADCAST_INFO."""

from __future__ import annotations

import struct
from datetime import datetime

_INFO = struct.Struct("<256s32s32s10s8s2xQH64s5h180xI256s")
"""With the gap before TimeReference that C leaves, which the chunk in the file has not."""
_UNMEASURED = 0x7FFF
"""A loudness field without a value (EBU Tech 3285, 2.4)."""
ORIGINATOR = b"Phasegraph"


def broadcast_info(start: datetime, samples_since_midnight: int, description: str) -> bytes:
    """The struct for a recording that begins at ``start`` (UTC). The same start and description give the same bytes.

    The time of origination is given to the second; the time reference places the first frame exactly.
    """
    return _INFO.pack(
        description.encode("ascii", "replace"),
        ORIGINATOR,
        b"",
        f"{start:%Y-%m-%d}".encode(),
        f"{start:%H:%M:%S}".encode(),
        samples_since_midnight,
        2,
        bytes(64),
        *(5 * (_UNMEASURED,)),
        0,
        b"",
    )
