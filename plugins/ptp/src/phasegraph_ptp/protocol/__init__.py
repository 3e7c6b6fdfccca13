"""The protocol without I/O: data sets, best master clock algorithm, port states, delay mechanisms (IEEE 1588-2019).

`OrdinaryClock` is one PTP instance. It gets messages and the time, and returns actions.
"""

from __future__ import annotations

from .data_sets import ClockQuality, CurrentDS, DataSets, DefaultDS, ParentDS, PortDS, PortState, TimeProperties
from .ordinary_clock import OrdinaryClock
from .port_actions import Action, Destination, NewMeasurement, Parent, ParentChanged, PortEvent, SendMessage
from .settings import DelayMechanism, PortRole, Settings, Unicast

__all__ = [
    "Action",
    "ClockQuality",
    "CurrentDS",
    "DataSets",
    "DefaultDS",
    "DelayMechanism",
    "Destination",
    "NewMeasurement",
    "OrdinaryClock",
    "Parent",
    "ParentChanged",
    "ParentDS",
    "PortDS",
    "PortEvent",
    "PortRole",
    "PortState",
    "SendMessage",
    "Settings",
    "TimeProperties",
    "Unicast",
]
