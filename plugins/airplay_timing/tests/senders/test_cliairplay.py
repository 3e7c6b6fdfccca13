"""cliairplay's interface: commands, answers and samples."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_airplay_timing.senders.cliairplay import (
    MAIN,
    SECONDARY,
    SIZE,
    CliairplaySample,
    ControlRequest,
    ControlVerb,
    acknowledgement,
    encode_header,
    parse_control,
)

R, U, P = ControlVerb.REGISTER, ControlVerb.UNREGISTER, ControlVerb.PROBE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R 10.0.0.1", ControlRequest(R, ("10.0.0.1",))),
        ("T 10.0.0.1 fe80::1%eth0\0", ControlRequest(R, ("10.0.0.1", "fe80::1"))),
        ("U ::ffff:10.0.0.1", ControlRequest(U, ("10.0.0.1",))),
        ("?", ControlRequest(P)),
        ("PING", ControlRequest(P)),
        ("B", ControlRequest(P)),
    ],
)
def test_commands(text: str, expected: ControlRequest) -> None:
    assert parse_control(text.encode()) == expected


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "unknown command"),
        (b"X 10.0.0.1", "unknown command"),
        (b"R", "0 addresses"),
        (b"R nowhere", "not an IP address"),
        (b"R " + b"10.0.0.1 " * 65, "65 addresses"),
        (b"R \xff", "not ASCII"),
        (b"R" * 5000, "5000 octets"),
    ],
)
def test_refused_commands(octets: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_control(octets)


@given(st.binary(max_size=200))
def test_any_octets_are_a_command_or_refused(octets: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert parse_control(octets).verb in ControlVerb


def test_the_answer() -> None:
    assert acknowledgement(2, 0x0123_4567_89AB_CDEF) == b"OK peers=2 gm=0123456789abcdef role=grandmaster"


def test_the_layout() -> None:
    sample = CliairplaySample(updates=1, clock=2, realtime_ns=3, offset_ns=-4, started_ns=5)
    assert struct.unpack("@QQQqQII", sample.encode()) == (1, 2, 3, -4, 5, 3, 0)
    assert struct.unpack("@II", encode_header()) == (1, 0)
    assert (104, slice(8, 56), slice(56, 104)) == (SIZE, MAIN, SECONDARY)
