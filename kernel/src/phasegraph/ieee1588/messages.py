"""PTP messages as values (IEEE 1588-2019, clause 13).

Every message carries the fields of the common header (13.3) beside its own. Times are whole nanoseconds; a
correction is kept whole, in units of 2**-16 ns. The defaults are what a sender of that type should write.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from .identity import ALL_PORTS, PortIdentity
from .tlv import Tlv

LOG_INTERVAL_UNKNOWN = 0x7F
"""logMessageInterval of messages that have no interval, and of unicast ones: it says nothing (13.3.2)."""


class MessageType(enum.IntEnum):
    """messageType (13.3.2). Values below 8 are event messages: they are timestamped, and go to the event port."""

    SYNC = 0x0
    DELAY_REQ = 0x1
    PDELAY_REQ = 0x2
    PDELAY_RESP = 0x3
    FOLLOW_UP = 0x8
    DELAY_RESP = 0x9
    PDELAY_RESP_FOLLOW_UP = 0xA
    ANNOUNCE = 0xB
    SIGNALING = 0xC
    MANAGEMENT = 0xD


EVENT_MESSAGES = frozenset(kind for kind in MessageType if kind < 8)
"""The types that go to the event port (319 on UDP)."""


class Flag(enum.IntFlag):
    """Bits of flagField (13.3.2), the first octet as the high one, as they lie in the message."""

    ALTERNATE_MASTER = 0x0100
    TWO_STEP = 0x0200
    UNICAST = 0x0400
    PROFILE_SPECIFIC_1 = 0x2000
    PROFILE_SPECIFIC_2 = 0x4000
    LEAP_61 = 0x0001
    LEAP_59 = 0x0002
    UTC_OFFSET_VALID = 0x0004
    PTP_TIMESCALE = 0x0008
    TIME_TRACEABLE = 0x0010
    FREQUENCY_TRACEABLE = 0x0020
    SYNCHRONIZATION_UNCERTAIN = 0x0040


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The common header (13.3). Only its subclasses are messages."""

    type: ClassVar[MessageType]

    source: PortIdentity
    """sourcePortIdentity."""
    sequence: int
    """sequenceId, 16 bits, wraps."""
    domain: int = 0
    """domainNumber, 8 bits."""
    flags: int = 0
    """flagField, 16 bits; compare with `Flag`."""
    correction: int = 0
    """correctionField, signed 64 bits, in 2**-16 ns."""
    log_interval: int = LOG_INTERVAL_UNKNOWN
    """logMessageInterval, signed 8 bits: the base-2 logarithm of seconds, or `LOG_INTERVAL_UNKNOWN`."""
    major_sdo: int = 0
    """majorSdoId, 4 bits; 1 in IEEE 802.1AS and AirPlay (transportSpecific in version 2.0)."""
    minor_sdo: int = 0
    """minorSdoId, 8 bits; reserved in version 2.0."""
    minor_version: int = 0
    """minorVersionPTP, 4 bits. Zero, since some devices drop messages of version 2.1."""
    type_specific: int = 0
    """messageTypeSpecific, 32 bits; reserved in version 2.0."""
    control: int = 5
    """controlField, 8 bits: to be ignored on receipt, written for hardware of version 1 (13.3.2)."""
    tlvs: tuple[Tlv, ...] = ()
    """What follows the body."""

    @property
    def two_step(self) -> bool:
        """Whether a Follow_Up, or a Pdelay_Resp_Follow_Up, will bring the precise time."""
        return bool(self.flags & Flag.TWO_STEP)


class Sync(Message, frozen=True, kw_only=True, gc=False):
    """13.6. ``origin_ns`` is the time of its departure, or zero where a Follow_Up brings it."""

    type = MessageType.SYNC
    control: int = 0
    origin_ns: int = 0


class DelayReq(Message, frozen=True, kw_only=True, gc=False):
    """13.6. Asks for the time of its arrival at the grandmaster."""

    type = MessageType.DELAY_REQ
    control: int = 1
    origin_ns: int = 0


class FollowUp(Message, frozen=True, kw_only=True, gc=False):
    """13.7. The precise departure time of the Sync of the same sequence."""

    type = MessageType.FOLLOW_UP
    control: int = 2
    precise_origin_ns: int


class DelayResp(Message, frozen=True, kw_only=True, gc=False):
    """13.8. When the Delay_Req of the same sequence from ``requesting`` arrived."""

    type = MessageType.DELAY_RESP
    control: int = 3
    receive_ns: int
    requesting: PortIdentity


class PDelayReq(Message, frozen=True, kw_only=True, gc=False):
    """13.9. Asks the neighbour for the link's delay."""

    type = MessageType.PDELAY_REQ
    origin_ns: int = 0


class PDelayResp(Message, frozen=True, kw_only=True, gc=False):
    """13.10. When the Pdelay_Req arrived, or zero where the correction holds the turnaround."""

    type = MessageType.PDELAY_RESP
    request_receipt_ns: int
    requesting: PortIdentity


class PDelayRespFollowUp(Message, frozen=True, kw_only=True, gc=False):
    """13.11. The precise departure time of the Pdelay_Resp."""

    type = MessageType.PDELAY_RESP_FOLLOW_UP
    response_origin_ns: int
    requesting: PortIdentity


class Announce(Message, frozen=True, kw_only=True, gc=False):
    """13.5. How good a clock the sender's grandmaster is: the data that the best master is chosen by."""

    type = MessageType.ANNOUNCE
    origin_ns: int = 0
    utc_offset_s: int
    """currentUtcOffset, signed 16 bits: TAI less UTC; holds only with `Flag.UTC_OFFSET_VALID`."""
    priority1: int
    clock_class: int
    """clockClass (7.6.2): 6 locked to a primary reference, 248 the default."""
    clock_accuracy: int
    """clockAccuracy (7.6.2): 0x20 is 25 ns, 0xFE unknown."""
    clock_variance: int
    """offsetScaledLogVariance (7.6.3), 16 bits."""
    priority2: int
    grandmaster: int
    """grandmasterIdentity, 64 bits."""
    steps_removed: int
    """Boundary clocks between the grandmaster and the receiver."""
    time_source: int
    """timeSource (7.6.2): 0x20 GNSS, 0xA0 internal oscillator."""


class Signaling(Message, frozen=True, kw_only=True, gc=False):
    """13.12. TLVs for one port, or all."""

    type = MessageType.SIGNALING
    target: PortIdentity = ALL_PORTS


class Management(Message, frozen=True, kw_only=True, gc=False):
    """15.4. A question to, or an answer from, the management of a clock; the matter itself is the first TLV."""

    type = MessageType.MANAGEMENT
    control: int = 4
    target: PortIdentity = ALL_PORTS
    starting_hops: int = 1
    """startingBoundaryHops: how many boundary clocks the message may pass in all."""
    hops: int = 1
    """boundaryHops: how many are left."""
    action: int
    """actionField, 4 bits: 0 GET, 1 SET, 2 RESPONSE, 3 COMMAND, 4 ACKNOWLEDGE."""


_INTERVAL_LIMIT = 2**63 - 1  # of a TimeInterval (5.3.2): 48 bits of nanoseconds, and 16 of their fraction


def to_interval(ns: float) -> int:
    """Nanoseconds as a TimeInterval, in 2**-16 ns. Too large a value becomes the largest, as the standard requires."""
    scaled = ns << 16 if isinstance(ns, int) else round(ns * 2**16)
    return max(-_INTERVAL_LIMIT, min(_INTERVAL_LIMIT, scaled))


def interval_ns(interval: int) -> int:
    """The nearest whole number of nanoseconds; halves go up."""
    return (interval + 0x8000) >> 16
