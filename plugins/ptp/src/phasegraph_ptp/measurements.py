"""Measurements of the protocol, for an estimator: pairs of a local and a reference stamp, one per direction.

The directions are never combined here: a queue that only one of them passes is visible only while they are apart.
A ``correction`` is what the network added, in 2**-16 ns, summed over the messages of the exchange (IEEE 1588-2019,
11.3.2), to be subtracted from the time that the packet took.
"""

from __future__ import annotations

import msgspec

from phasegraph import StampKind


class SyncSample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One Sync: from the grandmaster to us. ``local - reference`` is our offset plus the path's delay."""

    reference_ns: int
    """t1, its departure on the grandmaster's clock."""
    local_ns: int
    """t2, its arrival in local time."""
    correction: int = 0
    """correctionField of Sync plus that of Follow_Up (11.2); 2**-16 ns."""
    stamp: StampKind = StampKind.KERNEL
    interval_ns: int = 1_000_000_000
    """How often Syncs come, as far as is known."""


class DelaySample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One Delay_Req: from us to the grandmaster. ``reference - local`` is the path's delay less our offset."""

    local_ns: int
    """t3, its departure in local time."""
    reference_ns: int
    """t4, its arrival on the grandmaster's clock."""
    correction: int = 0
    """correctionField of Delay_Resp (11.3); 2**-16 ns."""
    stamp: StampKind = StampKind.KERNEL


class PeerDelaySample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One exchange of the peer delay mechanism: the mean delay of the link to the neighbour (11.4)."""

    local_ns: int
    """When the exchange ended."""
    delay_ns: float
    """``((t4 - t1) - (t3 - t2) - corrections) / 2``, with t1 and t4 taken in the neighbour's rate."""
    stamp: StampKind = StampKind.KERNEL


Sample = SyncSample | DelaySample | PeerDelaySample
