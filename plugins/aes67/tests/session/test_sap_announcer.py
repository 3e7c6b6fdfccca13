"""When a session is announced, and what its description says as its clock changes."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from phasegraph import ClockEstimate
from phasegraph.net import Interface
from phasegraph_aes67 import sdp
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.session import sap
from phasegraph_aes67.session.local_description import NTP_EPOCH_S, LocalDescription
from phasegraph_aes67.session.sap_announcer import DELETIONS, MEAN_INTERVAL_S, SapAnnouncer

S = 1_000_000_000
GM = "00-1D-C1-FF-FE-12-34-56"
ETH0 = Interface("eth0", 2, "10.0.0.1", mac=bytes.fromhex("02000a0b0c0d"))
ETH1 = Interface("eth1", 3, "10.0.1.1")
STREAM = StreamParameters(address="239.1.1.1", frames_per_packet=48, ttl=32)


def times(announcer: SapAnnouncer, until_ns: int, total_octets: int) -> list[int]:
    """When it announces."""
    told = []
    while announcer.due_ns is not None and announcer.due_ns <= until_ns:
        now = announcer.due_ns
        assert announcer.is_due(now)
        assert not announcer.is_due(now - 1)
        announcer.next_packet(now, total_octets)
        told.append(now)
    return told


def test_one_session_is_announced_every_15_to_30_s_and_never_in_step() -> None:
    rhythms = []
    for seed in range(3):
        announcer = SapAnnouncer("10.0.0.1", seed)
        assert announcer.due_ns is None
        announcer.announce("v=0\r\n", 5 * S)
        told = times(announcer, 3600 * S, announcer.octets)
        assert told[0] == 5 * S
        gaps = [later - earlier for earlier, later in pairwise(told)]
        assert 15 * S <= min(gaps) < 17 * S
        assert 28 * S < max(gaps) <= 30 * S
        rhythms.append(gaps)
    assert len({tuple(gaps) for gaps in rhythms}) == 3


def test_many_sessions_share_4000_bits_a_second() -> None:
    announcer = SapAnnouncer("10.0.0.1", 1)
    announcer.announce("v=0\r\n" + "a" * 500, 0)
    sessions = 200
    told = times(announcer, 86_400 * S, sessions * announcer.octets)
    rate = len(told) * sessions * announcer.octets * 8 / 86_400
    assert rate == pytest.approx(4000, rel=0.05)
    assert len(told) < 86_400 / MEAN_INTERVAL_S / 5


def test_the_packets() -> None:
    announcer = SapAnnouncer("10.0.0.1", 1)
    announcer.announce("v=0\r\ns=a\r\n", 0)
    first = sap.decode(announcer.next_packet(0, 0))
    announcer.announce("v=0\r\ns=b\r\n", S)
    assert announcer.is_due(S), "a new version is told at once"
    second = sap.decode(announcer.next_packet(S, 0))
    assert (first.origin, first.sdp, second.sdp) == ("10.0.0.1", "v=0\r\ns=a\r\n", "v=0\r\ns=b\r\n")
    assert first.hash != second.hash
    assert DELETIONS > 1
    last = sap.decode(announcer.deletion_packet())
    assert last == msgspec.structs.replace(second, deletion=True)
    assert announcer.due_ns is None


class Clock:
    """A clock whose grandmaster is set by hand."""

    def __init__(self, grandmaster: str = GM, domain: int | None = 0) -> None:
        self.now = ClockEstimate(local_ns=0, reference_ns=0, grandmaster=grandmaster, domain=domain)

    def estimate(self) -> ClockEstimate:
        return self.now

    def become(self, **fields: object) -> None:
        self.now = msgspec.structs.replace(self.now, **fields)


def described(clock: Clock, *legs: StreamParameters, preset: sdp.Preset = "aes67") -> LocalDescription:
    return LocalDescription(clock, legs or (STREAM,), name="stage", session_id=77, preset=preset)


def version(text: str) -> int:
    return int(text.split("o=- 77 ")[1].split()[0])


def test_a_change_of_grandmaster_is_a_new_version() -> None:
    clock = Clock()
    description = described(clock)
    description.set_interfaces([ETH0])
    first = description.new_version(100 * S)
    assert version(first) == NTP_EPOCH_S + 100
    assert f"a=ts-refclk:ptp=IEEE1588-2008:{GM}:0\r\n" in description.text()
    assert "o=- 77 2208988900 IN IP4 10.0.0.1\r\n" in description.text()
    clock.become(rate_ppb=3.0)
    assert not description.is_outdated(), "nothing new"
    clock.become(grandmaster="00-1D-C1-FF-FE-99-99-99")
    assert description.is_outdated()
    assert "99-99-99" not in description.text(), "a version says the same for ever"
    second = description.new_version(101 * S)
    assert "00-1D-C1-FF-FE-99-99-99:0\r\n" in second
    assert version(second) == NTP_EPOCH_S + 101
    clock.become(domain=12)
    assert version(description.new_version(50 * S)) == version(second) + 1, "the computer's clock was set back"
    assert ":12\r\n" in description.text()
    clock.become(grandmaster="")
    assert "a=ts-refclk:local\r\n" in description.new_version(200 * S)


@pytest.mark.parametrize(
    ("preset", "local", "filtered"),
    [("aes67", "local", True), ("dante", "local", False), ("ravenna", "local", True),
     ("st2110-30", "localmac=02-00-0A-0B-0C-0D", True)],
)  # fmt: skip
def test_presets(preset: sdp.Preset, local: str, filtered: bool) -> None:
    description = described(Clock("system", None), preset=preset)
    description.set_interfaces([ETH0])
    text = description.new_version(0)
    assert f"a=ts-refclk:{local}\r\n" in text
    assert sdp.parse(text).streams[0].source == ("10.0.0.1" if filtered else None)


def test_two_legs() -> None:
    second = msgspec.structs.replace(STREAM, address="239.2.1.1", port=5006)
    description = described(Clock(), STREAM, second, preset="st2110-30")
    description.set_interfaces([ETH0, ETH1])
    session = sdp.parse(description.new_version(0))
    assert session.problems == ()
    assert session.dup_of == (None, 0)
    assert [(leg.address, leg.port, leg.source) for leg in session.streams] == [
        ("239.1.1.1", 5004, "10.0.0.1"),
        ("239.2.1.1", 5006, "10.0.1.1"),
    ]


def test_no_source_is_named_where_the_routes_choose_it() -> None:
    description = described(Clock())
    description.set_interfaces([Interface("", 0, "0.0.0.0")])
    assert "source-filter" not in description.new_version(0)
