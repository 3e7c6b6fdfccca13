"""Actions that the engine asks its caller to perform, in their order."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from phasegraph.ieee1588 import Message, PortIdentity

from ..measurements import Sample


class Destination(enum.Enum):
    """A multicast group (annexes C to E)."""

    PRIMARY = enum.auto()
    """224.0.1.129, FF0E::181 and their like."""
    PEER = enum.auto()
    """224.0.0.107, FF02::6B: messages of the peer delay mechanism over multicast."""


class SendMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent."""

    message: Message
    event: bool
    """To the event port (319), else to the general one."""
    destination: Destination | str
    """A group, or a unicast address."""
    token: int | None = None
    """Where there is one, `OrdinaryClock.message_departed` is to be called when the message left."""


class NewMeasurement(msgspec.Struct, frozen=True):
    """A sample for the estimator."""

    sample: Sample


class Parent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The master that is followed."""

    port: PortIdentity
    """The port whose Syncs are used: the grandmaster's own, or one of a boundary clock."""
    grandmaster: int
    ptp_timescale: bool
    """TAI since 1970; False: an epoch of the grandmaster's own (ARB)."""
    address: str


class ParentChanged(msgspec.Struct, frozen=True):
    """Another port or grandmaster is followed from now on, or none: later samples are of it."""

    parent: Parent | None
    same_timescale: bool
    """Its time is that of the one before, by their Announces: both TAI, or the same grandmaster's own. True
    where there is no parent: what is known of the time goes on."""


class PortEvent(msgspec.Struct, frozen=True):
    """An event for the operator."""

    name: str
    fields: Mapping[str, int | float | str]


Action = SendMessage | NewMeasurement | ParentChanged | PortEvent
