"""Where each field lies: the common header, and the bodies as tables of fields."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .identity import PortIdentity
from .messages import (
    Announce,
    DelayReq,
    DelayResp,
    FollowUp,
    Management,
    Message,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    Signaling,
    Sync,
)

HEADER = struct.Struct(">BBHBBHqIQHHBb")
"""13.3: majorSdoId|messageType, minorVersionPTP|versionPTP, messageLength, domainNumber, minorSdoId, flagField,
correctionField, messageTypeSpecific, clockIdentity, portNumber, sequenceId, controlField, logMessageInterval."""

_NS_PER_S = 1_000_000_000
_MAX_TIME_NS = 2**48 * _NS_PER_S


class Kind(NamedTuple):
    """How one field of a message is made of numbers in its body, and back."""

    format: str
    read: Callable[[Iterator[int]], Any]
    write: Callable[[Any], list[int]]


class Field(NamedTuple):
    """One field of a body."""

    name: str
    kind: Kind


class Layout(NamedTuple):
    """The body of one type of message."""

    message: Callable[..., Message]
    body: struct.Struct
    fields: tuple[Field, ...]


def _read_time(values: Iterator[int]) -> int:
    # Timestamp (5.3.3): 48 bits of seconds, 32 of nanoseconds; struct has no 48-bit number.
    high, low, nanoseconds = next(values), next(values), next(values)
    if nanoseconds >= _NS_PER_S:
        raise ValueError(f"nanoseconds are {nanoseconds}")
    return (high << 32 | low) * _NS_PER_S + nanoseconds


def _write_time(time_ns: int) -> list[int]:
    if not 0 <= time_ns < _MAX_TIME_NS:
        raise ValueError(f"{time_ns} ns is not a PTP timestamp")
    seconds, nanoseconds = divmod(time_ns, _NS_PER_S)
    return [seconds >> 32, seconds & 0xFFFF_FFFF, nanoseconds]


def _read_nibble(values: Iterator[int]) -> int:
    return next(values) & 0xF


def _write_nibble(value: int) -> list[int]:
    if not 0 <= value <= 0xF:
        raise ValueError(f"{value} does not fit four bits")
    return [value]


def _number(format: str) -> Kind:
    return Kind(format, next, lambda value: [value])


_TIME = Kind("HII", _read_time, _write_time)
_PORT = Kind("QH", lambda values: PortIdentity(next(values), next(values)), lambda port: [port.clock, port.port])
_U8, _U16, _I16, _U64 = (_number(format) for format in "BHhQ")
_RESERVED_THEN_U8 = _number("xB")
_NIBBLE_THEN_RESERVED = Kind("Bx", _read_nibble, _write_nibble)
_TIME_THEN_RESERVED = Kind("HII10x", _read_time, _write_time)


def _layout(message: type[Message], **fields: Kind) -> tuple[int, Layout]:
    body = struct.Struct(">" + "".join(kind.format for kind in fields.values()))
    return message.type, Layout(message, body, tuple(Field(*item) for item in fields.items()))


BODIES: dict[int, Layout] = dict(
    [
        _layout(Sync, origin_ns=_TIME),
        _layout(DelayReq, origin_ns=_TIME),
        _layout(FollowUp, precise_origin_ns=_TIME),
        _layout(DelayResp, receive_ns=_TIME, requesting=_PORT),
        _layout(PDelayReq, origin_ns=_TIME_THEN_RESERVED),  # as long as its answer
        _layout(PDelayResp, request_receipt_ns=_TIME, requesting=_PORT),
        _layout(PDelayRespFollowUp, response_origin_ns=_TIME, requesting=_PORT),
        _layout(
            Announce,
            origin_ns=_TIME,
            utc_offset_s=_I16,
            priority1=_RESERVED_THEN_U8,
            clock_class=_U8,
            clock_accuracy=_U8,
            clock_variance=_U16,
            priority2=_U8,
            grandmaster=_U64,
            steps_removed=_U16,
            time_source=_U8,
        ),
        _layout(Signaling, target=_PORT),
        _layout(Management, target=_PORT, starting_hops=_U8, hops=_U8, action=_NIBBLE_THEN_RESERVED),
    ]
)
"""Layout of each messageType that is known."""
