"""The protocols without I/O: packets and local times in, actions out.

`PtpEngine`, `CompactEngine` and `NtpEngine` do the same for the three modes; `LeaderClock` makes a clock of what they
measure.
"""

from __future__ import annotations

from .compact_engine import CompactEngine
from .engine_actions import Action, EngineEvent, LeaderChanged, SampleTaken, SendDatagram, TimingPeer, TimingRole
from .leader_clock import LeaderClock
from .ntp_engine import NtpEngine
from .ptp_engine import PtpEngine
from .timing_engine import TimingEngine

__all__ = [
    "Action",
    "CompactEngine",
    "EngineEvent",
    "LeaderChanged",
    "LeaderClock",
    "NtpEngine",
    "PtpEngine",
    "SampleTaken",
    "SendDatagram",
    "TimingEngine",
    "TimingPeer",
    "TimingRole",
]
