"""Octets to messages and back (IEEE 1588-2019, 13.3 to 13.12 and 15.4).

Tolerant when reading: a datagram may be longer than its message (UDP over IPv6 pads by two octets, Annex D),
reserved fields and controlField may hold anything, intervals and flags are not judged. Strict when writing.
"""

from __future__ import annotations

import struct
from typing import Any

from .identity import PortIdentity
from .layout import BODIES, HEADER, Layout
from .malformed import MalformedMessage, Reason
from .messages import Message
from .tlv import join_tlvs, split_tlvs

_VERSION = 2


def decode(datagram: bytes) -> Message:
    """The message in a datagram (the payload of UDP port 319 or 320, or of ethertype 0x88F7).

    Raises MalformedMessage, and nothing else, for octets that are not one.
    """
    if len(datagram) < HEADER.size:
        raise MalformedMessage(Reason.TRUNCATED, f"{len(datagram)} octets, a header has {HEADER.size}")
    header = HEADER.unpack_from(datagram)
    sdo_type, version, length, domain, minor_sdo, flags, correction, type_specific = header[:8]
    clock, port, sequence, control, log_interval = header[8:]
    if version & 0xF != _VERSION:
        raise MalformedMessage(Reason.VERSION, f"PTP version {version & 0xF}, this is {_VERSION}")
    layout = BODIES.get(sdo_type & 0xF)
    if layout is None:
        raise MalformedMessage(Reason.TYPE, f"message type {sdo_type & 0xF:#x} is reserved")
    if length > len(datagram):
        raise MalformedMessage(Reason.TRUNCATED, f"messageLength is {length}, {len(datagram)} octets came")
    body_end = HEADER.size + layout.body.size
    if length < body_end:
        raise MalformedMessage(
            Reason.LENGTH, f"messageLength is {length}, {layout.message.__name__} has {body_end} octets or more"
        )
    message: Message = layout.message(
        source=PortIdentity(clock, port),
        sequence=sequence,
        domain=domain,
        flags=flags,
        correction=correction,
        log_interval=log_interval,
        major_sdo=sdo_type >> 4,
        minor_sdo=minor_sdo,
        minor_version=version >> 4,
        type_specific=type_specific,
        control=control,
        tlvs=split_tlvs(bytes(datagram[body_end:length])) if length > body_end else (),
        **_read_body(layout, datagram),
    )
    return message


def encode(message: Message) -> bytes:
    """The octets of a message; messageLength is set, reserved fields are zero.

    Raises ValueError where a field does not fit its place on the wire.
    """
    layout = BODIES[message.type]
    tlvs = join_tlvs(message.tlvs)
    if not 0 <= message.major_sdo <= 0xF or not 0 <= message.minor_version <= 0xF:
        raise ValueError("majorSdoId and minorVersionPTP have four bits")
    try:
        header = HEADER.pack(
            message.major_sdo << 4 | message.type,
            message.minor_version << 4 | _VERSION,
            HEADER.size + layout.body.size + len(tlvs),
            message.domain,
            message.minor_sdo,
            message.flags,
            message.correction,
            message.type_specific,
            message.source.clock,
            message.source.port,
            message.sequence,
            message.control,
            message.log_interval,
        )
        return header + layout.body.pack(*_body_values(layout, message)) + tlvs
    except struct.error as error:
        raise ValueError(f"{type(message).__name__} does not fit the wire: {error}") from error


def _read_body(layout: Layout, datagram: bytes) -> dict[str, Any]:
    values = iter(layout.body.unpack_from(datagram, HEADER.size))
    fields: dict[str, Any] = {}
    for field in layout.fields:
        try:
            fields[field.name] = field.kind.read(values)
        except ValueError as error:
            raise MalformedMessage(Reason.TIMESTAMP, f"{field.name}: {error}") from None
    return fields


def _body_values(layout: Layout, message: Message) -> list[int]:
    values: list[int] = []
    for field in layout.fields:
        values += field.kind.write(getattr(message, field.name))
    return values
