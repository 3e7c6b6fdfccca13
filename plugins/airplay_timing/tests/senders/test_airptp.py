"""airptp's interface, octet by octet."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.senders.airptp import STATUS_SIZE, AirptpCommand, encode_status, parse_command


def sockaddr(address: str) -> bytes:
    """As the system's ``sockaddr_in`` or ``sockaddr_in6`` has it, in 28 octets."""
    packed = ipaddress.ip_address(address).packed
    if len(packed) == 4:
        return (struct.pack("@H", socket.AF_INET) + bytes(2) + packed).ljust(28, b"\0")
    return struct.pack("@H", socket.AF_INET6) + bytes(6) + packed + bytes(4)


def command(subtype: int, peer: int, address: str = "") -> bytes:
    """A Signaling message with one TLV of organization 99:99:99."""
    value = bytes.fromhex("9999990000") + bytes([subtype]) + struct.pack(">I", peer)
    octets = sockaddr(address) if address else bytes(28)
    value += bytes([28 if ":" in address else 16]) + octets
    tlv = struct.pack(">HH", 3, len(value)) + value
    header = bytes([0x1C, 2]) + struct.pack(">H", 44 + len(tlv)) + bytes(40)
    return header + tlv


@pytest.mark.parametrize("address", ["192.168.1.20", "fe80::7", "127.0.0.1"])
def test_a_receiver_is_added(address: str) -> None:
    assert len(command(1, 7, address)) == 87
    assert parse_command(command(1, 7, address)) == AirptpCommand(7, address)


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert parse_command(command(1, 7, "::ffff:10.0.0.1")) == AirptpCommand(7, "10.0.0.1")


def test_a_receiver_is_removed() -> None:
    assert parse_command(command(2, 0xFFFF_FFFF)) == AirptpCommand(0xFFFF_FFFF, None)


@pytest.mark.parametrize("length", range(87))
def test_a_shortened_command_is_none_or_refused(length: int) -> None:
    assert parse_command(command(1, 7, "10.0.0.1")[:length]) is None


@pytest.mark.parametrize("subtype", [0, 3, 255])
def test_another_subtype_is_no_command(subtype: int) -> None:
    assert parse_command(command(subtype, 7, "10.0.0.1")) is None


@given(st.binary(max_size=120))
def test_any_octets_are_a_command_or_none(octets: bytes) -> None:
    found = parse_command(command(1, 7, "10.0.0.1")[:44] + octets)
    if found is not None and found.address is not None:
        ipaddress.ip_address(found.address)


@pytest.mark.skipif(sys.byteorder != "little", reason="the octets below are little-endian")
def test_the_status() -> None:
    status = encode_status(0x0102_0304_0506_0708, 1_700_000_000, (319, 320), ipv4=True, ipv6=False)
    assert len(status) == STATUS_SIZE == 32
    assert status.hex() == "000001000000000008070605040302010" + "0f15365000000003f0140010100" + "0000"
