"""The interface of airptp 0.1, which OwnTone uses: a status in shared memory, and commands to the general port.

A client finds the server by ``/airptp_shm``, takes its clock identity, and adds the receivers that it plays to. A
command is a Signaling message from this computer with one TLV of organization 99:99:99, subtype 1 (add) or 2 (remove):

======  ======  ====================================================================
offset  octets  in the TLV's value
======  ======  ====================================================================
0       6       organizationId and subtype
6       4       peer id, which the client chooses
10      1       octets of the address that count: 16 (IPv4) or 28 (IPv6)
11      28      the address as a ``sockaddr_in`` or ``sockaddr_in6`` of this system
======  ======  ====================================================================

The TLV has an odd length, which IEEE 1588 does not allow (14.1), so it is read here and not by the codec.
"""

from __future__ import annotations

import ipaddress
import struct

import msgspec

NAME = "/airptp_shm"
FRESH_S = 5
"""How often the status is renewed."""
STALE_S = 15
"""Clients take a server for dead after this long."""
_STATUS = struct.Struct("@HH4xQqHH??2x")
_TIME = struct.Struct("@q")
STATUS_SIZE = _STATUS.size
WRITTEN_AT = slice(16, 24)
"""Octets of the time of the status. It is written last, and 0 while there is no server."""
_VERSION = 0, 1
_SIGNALING, _HEADER, _TARGET = 0x0C, 34, 10
_ORGANIZATION = 0x0003
_AF_INET, _AF_INET6 = 2, 10
"""Address families of Linux, where serving is possible."""
_ADD, _REMOVE = bytes.fromhex("999999000001"), bytes.fromhex("999999000002")


class AirptpCommand(msgspec.Struct, frozen=True):
    """A client adds or removes a receiver."""

    peer: int
    """The client's number of it, 32 bits."""
    address: str | None
    """Its IP address; None where it is removed."""


class AirptpStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a server of airptp writes about itself."""

    clock: int
    """Identity of the clock that it leads."""
    written_s: int
    """When it was written, by the system's wall clock."""
    general_port: int
    """UDP port to which commands are sent."""


def encode_status(clock: int, now_s: int, ports: tuple[int, int], *, ipv4: bool, ipv6: bool) -> bytes:
    """The status. ``now_s`` is the system's wall clock, by which clients judge whether the server is alive."""
    return _STATUS.pack(*_VERSION, clock, now_s, *ports, ipv4, ipv6)


def encode_time(now_s: int) -> bytes:
    """The octets `WRITTEN_AT`."""
    return _TIME.pack(now_s)


def decode_status(octets: bytes) -> AirptpStatus | None:
    """The status; None for another size or version, or without a server."""
    if len(octets) != STATUS_SIZE:
        return None
    major, minor, clock, written_s, _, general_port, _, _ = _STATUS.unpack(octets)
    if (major, minor) != _VERSION or not clock or not written_s:
        return None
    return AirptpStatus(clock=clock, written_s=written_s, general_port=general_port)


def encode_command(command: AirptpCommand) -> bytes:
    """A command, as a client sends it."""
    packed = b"" if command.address is None else ipaddress.ip_address(command.address).packed
    if len(packed) == 16:
        socket_address = struct.pack("@H", _AF_INET6) + bytes(6) + packed + bytes(4)
    else:
        socket_address = struct.pack("@H", _AF_INET) + bytes(2) + packed.ljust(24, b"\0")
    subtype = _REMOVE if command.address is None else _ADD
    value = subtype + struct.pack(">IB", command.peer, 28 if len(packed) == 16 else 16) + socket_address
    tlv = struct.pack(">HH", _ORGANIZATION, len(value)) + value
    length = _HEADER + _TARGET + len(tlv)
    return bytes([0x10 | _SIGNALING, 2]) + struct.pack(">H", length) + bytes(_HEADER + _TARGET - 4) + tlv


def parse_command(datagram: bytes) -> AirptpCommand | None:
    """The command in a datagram of this computer; None where there is none. Raises nothing, whatever the octets."""
    start = _HEADER + _TARGET
    if len(datagram) < start + 14 or datagram[0] & 0x0F != _SIGNALING:
        return None
    kind, length = struct.unpack_from(">HH", datagram, start)
    value = datagram[start + 4 : start + 4 + length]
    if kind != _ORGANIZATION or len(value) != length or length < 10:
        return None
    subtype, (peer,) = value[:6], struct.unpack_from(">I", value, 6)
    if subtype == _REMOVE:
        return AirptpCommand(peer, None)
    address = _address(value[11:], value[10]) if subtype == _ADD and length > 11 else None
    return None if address is None else AirptpCommand(peer, address)


def _address(octets: bytes, length: int) -> str | None:
    if len(octets) < length:
        return None
    family = int.from_bytes(octets[:2], "little" if struct.pack("@H", 1)[0] else "big")
    if family == _AF_INET and length >= 16:
        return str(ipaddress.IPv4Address(octets[4:8]))
    if family == _AF_INET6 and length >= 28:
        address = ipaddress.IPv6Address(octets[8:24])
        return str(address.ipv4_mapped or address)
    return None
