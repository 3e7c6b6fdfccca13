"""The protocols without I/O: what comes in is told with its local time, and what is to be done comes out.

`PtpEngine`, `CompactEngine` and `NtpEngine` do the same for the three modes; `Tracker` makes a clock of what they
measure.
"""

from __future__ import annotations

from .actions import Action, Followed, Measured, Notice, Peer, Role, Send
from .base import Engine
from .compact import CompactEngine
from .ntp import NtpEngine
from .ptp import PtpEngine
from .tracker import Tracker

__all__ = [
    "Action",
    "CompactEngine",
    "Engine",
    "Followed",
    "Measured",
    "Notice",
    "NtpEngine",
    "Peer",
    "PtpEngine",
    "Role",
    "Send",
    "Tracker",
]
