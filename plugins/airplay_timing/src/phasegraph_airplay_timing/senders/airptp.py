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
"""How often the status is renewed. Clients take a server for dead after 15 s."""
_STATUS = struct.Struct("@HH4xQqHH??2x")
STATUS_SIZE = _STATUS.size
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


def encode_status(clock: int, now_s: int, ports: tuple[int, int], *, ipv4: bool, ipv6: bool) -> bytes:
    """The status. ``now_s`` is the system's wall clock, by which clients judge whether the server is alive."""
    return _STATUS.pack(*_VERSION, clock, now_s, *ports, ipv4, ipv6)


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
