"""Reads capture files: pcap (in us and ns) and pcapng, down to UDP datagrams. Octets in, datagrams out; no I/O.

Of a hostile file nothing is believed that its own sizes do not bear out: a record that does not fit ends the reading.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator

import msgspec

_PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""Byte order, and nanoseconds of a unit of the stamps."""
_SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
_ETHERNET, _LOOPBACK, _RAW, _COOKED, _IPV4, _IPV6, _COOKED_2 = 1, 0, 101, 113, 228, 229, 276
_VLANS = (0x8100, 0x88A8, 0x9100)
_CLOCK_COMMENT = re.compile(
    r"clock (?P<clock>\S+): (?P<state>\w+), timescale (?P<timescale>\w+), reference = stamp \+ (?P<ahead>-?\d+) ns, "
    r"rate (?P<rate>[+-][\d.]+) ppb"
)


class CapturedDatagram(msgspec.Struct, frozen=True, gc=False):
    """A UDP datagram of a capture."""

    stamp_ns: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    dscp: int
    ttl: int
    payload: bytes
    """As much of it as was captured."""
    length: int
    """Octets of the payload on the network."""


class ClockRemark(msgspec.Struct, frozen=True):
    """What a clock said at a stamp, in a comment of our flight recorder."""

    stamp_ns: int
    clock: str
    state: str
    timescale: str
    ahead_ns: int
    """Reference time less stamp."""
    rate_ppb: float


class CaptureFile(msgspec.Struct):
    """What a capture holds."""

    datagrams: list[CapturedDatagram] = []
    remarks: list[ClockRemark] = []
    packets: int = 0
    """Packets of every kind."""
    ns_stamps: bool = True
    """Whether stamps count nanoseconds."""
    fragments: int = 0
    """IP fragments, which are left out."""
    composed: bool = False
    """Whether headers were composed by our flight recorder: DSCP and TTL mean nothing."""
    notes: list[str] = []
    """What is odd about the file."""


class CaptureUnreadable(Exception):
    """A file is no capture. The message is a sentence."""


def read_capture(content: bytes, most_packets: int = 20_000_000) -> CaptureFile:
    """Everything of a capture file that is UDP. Raises CaptureUnreadable for what is no capture."""
    capture = CaptureFile()
    if content[:4] in _PCAP_MAGICS:
        packets = _pcap_packets(content, capture)
    elif content[:4] == _SECTION_MAGIC:
        packets = _pcapng_packets(content, capture)
    else:
        raise CaptureUnreadable("this is no pcap or pcapng file")
    for stamp_ns, link, octets, comment in packets:
        capture.packets += 1
        for found in _CLOCK_COMMENT.finditer(comment):
            capture.remarks.append(
                ClockRemark(
                    stamp_ns,
                    found["clock"],
                    found["state"],
                    found["timescale"],
                    int(found["ahead"]),
                    float(found["rate"]),
                )
            )
        network = _network_octets(link, octets)
        if network is not None:
            _add_datagram(capture, stamp_ns, network)
        if capture.packets >= most_packets:
            capture.notes.append(f"only the first {most_packets} packets were read")
            break
    return capture


_Packets = Iterator[tuple[int, int, bytes, str]]


def _pcap_packets(content: bytes, capture: CaptureFile) -> _Packets:
    order, unit_ns = _PCAP_MAGICS[content[:4]]
    capture.ns_stamps = unit_ns == 1
    if len(content) < 24:
        raise CaptureUnreadable("the file ends within its header")
    link = struct.unpack_from(order + "I", content, 20)[0] & 0xFFFF
    record = struct.Struct(order + "IIII")
    at = 24
    while at + record.size <= len(content):
        seconds, fraction, captured, _ = record.unpack_from(content, at)
        at += record.size
        if captured > len(content) - at:
            capture.notes.append("the file ends within a packet")
            return
        yield seconds * 1_000_000_000 + fraction * unit_ns, link, content[at : at + captured], ""
        at += captured


def _pcapng_packets(content: bytes, capture: CaptureFile) -> _Packets:
    order, at = "<", 0
    interfaces: list[tuple[int, int, int]] = []  # link, numerator and denominator of ns per unit
    while at + 12 <= len(content):
        if content[at : at + 4] == _SECTION_MAGIC:
            order = "<" if content[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, size = struct.unpack_from(order + "II", content, at)
        if size < 12 or size % 4 or size > len(content) - at:
            capture.notes.append("the file ends within a block")
            return
        body = content[at + 8 : at + size - 4]
        if kind == 0x0A0D0D0A and b"headers are composed" in body:
            capture.composed = True
        if kind == 1 and len(body) >= 8:
            link = struct.unpack_from(order + "H", body)[0]
            numerator, denominator = _resolution(order, body[8:])
            interfaces.append((link, numerator, denominator))
            capture.ns_stamps &= numerator <= denominator
        elif kind == 6 and len(body) >= 20:
            number, high, low, captured, _ = struct.unpack_from(order + "IIIII", body)
            if number >= len(interfaces) or captured > len(body) - 20:
                capture.notes.append("a packet does not fit into its block")
                return
            link, numerator, denominator = interfaces[number]
            comment = _comment(order, body[20 + captured + -captured % 4 :])
            yield ((high << 32) + low) * numerator // denominator, link, body[20 : 20 + captured], comment
        at += size


def _resolution(order: str, options: bytes) -> tuple[int, int]:
    # Nanoseconds of a unit of the stamps, as a fraction: 1 us without the option if_tsresol.
    for code, value in _options(order, options):
        if code == 9 and value:
            exponent = value[0] & 0x7F
            if value[0] & 0x80:
                return 10**9, 2**exponent
            return (10 ** (9 - exponent), 1) if exponent <= 9 else (1, 10 ** (exponent - 9))
    return 1000, 1


def _comment(order: str, options: bytes) -> str:
    return "\n".join(value.decode("utf-8", "replace") for code, value in _options(order, options) if code == 1)


def _options(order: str, options: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        if not code:
            return
        yield code, options[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def _network_octets(link: int, octets: bytes) -> bytes | None:
    # From the IP header on; None for what is no IP.
    if link in (_RAW, _IPV4, _IPV6, 12, 14):
        return octets
    if link == _LOOPBACK:
        return octets[4:]
    at = {_ETHERNET: 12, _COOKED: 14, _COOKED_2: 0}.get(link)
    if at is None:
        return None
    kind = int.from_bytes(octets[at : at + 2], "big")
    at += 20 if link == _COOKED_2 else 2
    while kind in _VLANS:
        kind = int.from_bytes(octets[at + 2 : at + 4], "big")
        at += 4
    return octets[at:] if kind in (0x0800, 0x86DD) else None


def _add_datagram(capture: CaptureFile, stamp_ns: int, octets: bytes) -> None:
    if len(octets) < 28:
        return
    if octets[0] >> 4 == 4:
        header = (octets[0] & 15) * 4
        if octets[9] != 17 or header < 20:
            return
        if int.from_bytes(octets[6:8], "big") & 0x3FFF:
            capture.fragments += 1
            return
        source, destination = ".".join(map(str, octets[12:16])), ".".join(map(str, octets[16:20]))
        dscp, ttl = octets[1] >> 2, octets[8]
    elif octets[0] >> 4 == 6 and octets[6] == 17 and len(octets) >= 48:
        header = 40
        source, destination = (str(ipaddress.IPv6Address(octets[at : at + 16])) for at in (8, 24))
        dscp, ttl = (octets[0] & 15) << 2 | octets[1] >> 6, octets[7]
    else:
        return
    if len(octets) < header + 8:
        return
    source_port, destination_port, length, _ = struct.unpack_from("!HHHH", octets, header)
    payload = octets[header + 8 : header + max(8, length)]
    addresses = (source, source_port, destination, destination_port)
    capture.datagrams.append(CapturedDatagram(stamp_ns, *addresses, dscp, ttl, payload, max(0, length - 8)))
