"""Actions that an engine asks for, in order."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from ..filters import TimingSample


class TimingRole(enum.StrEnum):
    """Whose time is the reference."""

    FOLLOW = "follow"
    LEAD = "lead"
    AUTO = "auto"
    """Ours, until a better clock insists on being the leader."""
    YIELD = "yield"
    """Ours, with the best priority, until a clock that never follows, whatever its priority, leads in our silence."""


class TimingPeer(msgspec.Struct, frozen=True, order=True):
    """A device that takes part in the timing."""

    address: str
    """As `ipaddress` writes it, without scope."""
    event_port: int
    general_port: int


class SendDatagram(msgspec.Struct, frozen=True, kw_only=True):
    """A datagram to be sent now."""

    data: bytes
    destination: tuple[str, int]
    event: bool = True
    """From the event port (the only one, but for PTP), else from the general one."""
    token: int | None = None
    """If set, `TimingEngine.departed` gets the time at which the datagram left."""


class SampleTaken(msgspec.Struct, frozen=True):
    """Something for the filter."""

    sample: TimingSample


class LeaderChanged(msgspec.Struct, frozen=True):
    """Whose time it is from now on; the samples to come are of it."""

    leader: str
    """Identity of its clock. Empty when no leader is followed: the last mapping goes on."""
    own: bool = False
    """We lead: our own local time is the reference."""


class EngineEvent(msgspec.Struct, frozen=True):
    """Something that an operator may want to know."""

    name: str
    fields: Mapping[str, int | float | str]


Action = SendDatagram | SampleTaken | LeaderChanged | EngineEvent
