"""Clock and port identities as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import PortIdentity, format_clock_identity, parse_clock_identity

CLOCK = 0x001D_C1FF_FE51_2357


@pytest.mark.parametrize(
    "text", ["00-1D-C1-FF-FE-51-23-57", "00:1d:c1:ff:fe:51:23:57", "001dc1fffe512357", "00.1d.c1.ff.fe.51.23.57"]
)
def test_read(text: str) -> None:
    assert parse_clock_identity(text) == CLOCK


@pytest.mark.parametrize(
    "text",
    ["", "00-1D-C1-FF-FE-51-23", "00-1D:C1-FF-FE-51-23-57", "001dc1fffe5123570", "00-1D-C1-FF-FE-51-23-5g", "٠" * 16],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a clock identity"):
        parse_clock_identity(text)


@given(st.integers(0, 2**64 - 1))
def test_both_ways(clock: int) -> None:
    assert parse_clock_identity(format_clock_identity(clock)) == clock


def test_ports() -> None:
    assert str(PortIdentity(CLOCK, 3)) == "00-1D-C1-FF-FE-51-23-57/3"
    assert sorted([PortIdentity(2, 1), PortIdentity(1, 2), PortIdentity(1, 1)]) == [
        PortIdentity(1, 1),
        PortIdentity(1, 2),
        PortIdentity(2, 1),
    ]
