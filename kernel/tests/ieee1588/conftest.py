"""Captures of real packets, where they are present: in the folder that PHASEGRAPH_VECTORS names."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ETHERTYPE_PTP = 0x88F7


def _folder() -> Path | None:
    named = os.environ.get("PHASEGRAPH_VECTORS")
    return Path(named) if named and Path(named).is_dir() else None


@pytest.fixture(scope="session")
def vector() -> Callable[[str], Path]:
    """Path of one file of the vectors; skips the test where it is not there."""

    def find(name: str) -> Path:
        folder = _folder()
        if folder is None:
            pytest.skip("PHASEGRAPH_VECTORS names no folder of captures")
        if not (folder / name).is_file():
            pytest.skip(f"{folder} has no {name}")
        return folder / name

    return find


@pytest.fixture(scope="session")
def ptp_payloads(vector: Callable[[str], Path]) -> Callable[[str], list[bytes]]:
    """The PTP datagrams in a capture: payloads of UDP 319 and 320, and of layer-2 PTP frames."""
    return lambda name: [
        payload for frame in _frames(vector(name).read_bytes()) if (payload := _payload(frame)) is not None
    ]


def _frames(pcap: bytes) -> Iterator[bytes]:
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[pcap[:4]]
    position = 24
    while position < len(pcap):
        length = struct.unpack_from(order + "I", pcap, position + 8)[0]
        position += 16
        yield pcap[position : position + length]
        position += length


def _payload(frame: bytes) -> bytes | None:
    ethertype, position = struct.unpack_from(">H", frame, 12)[0], 14
    if ethertype == 0x8100:
        ethertype, position = struct.unpack_from(">H", frame, 16)[0], 18
    if ethertype == ETHERTYPE_PTP:
        return frame[position:]
    if ethertype == 0x0800:
        protocol, udp = frame[position + 9], position + (frame[position] & 0xF) * 4
    elif ethertype == 0x86DD:
        protocol, udp = frame[position + 6], position + 40
    else:
        return None
    if protocol != 17:
        return None
    _source, port, length, _checksum = struct.unpack_from(">HHHH", frame, udp)
    return frame[udp + 8 : udp + length] if port in (319, 320) else None
