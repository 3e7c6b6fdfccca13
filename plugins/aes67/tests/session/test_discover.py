"""``kernel discover``: on a simulated network, and on the loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from phasegraph.testing import SimLocalClock, SimNetwork, SimWire
from phasegraph_aes67.session import sap
from phasegraph_aes67.session.discover import browse_sap, discover_command
from phasegraph_aes67.session.sap_listener import SapListener

pytestmark = pytest.mark.realtime

SDP = (
    "v=0\r\no=- 77 {version} IN IP4 192.0.2.1\r\ns=desk\r\nc=IN IP4 239.1.0.1/15\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/2\r\na=ptime:1\r\n"
)


def announcement(version: int, *, deletion: bool = False) -> bytes:
    text = SDP.format(version=version)
    return sap.encode(sap.Announcement("192.0.2.1", sap.message_hash(text), text, deletion))


async def test_a_session_comes_changes_and_goes(autojump_clock: object) -> None:
    wire = SimWire()
    device, listener = SimNetwork(SimLocalClock(), wire), SimNetwork(SimLocalClock(), wire)
    browser = SapListener(listener, listener.local, listener.interface("eth0"))
    sender = device.sender(device.interface("eth0"), ttl=1, dscp=0)
    told: list[str] = []

    async def send(octets: bytes) -> None:
        buffer = sender.buffer(1, len(octets), [(sap.GROUPS[0], sap.PORT)])
        buffer.data[0, : len(octets)] = list(octets)
        buffer.length[0] = len(octets)
        sender.send(buffer, 0, 1)
        await browse_sap(browser, 1.0, lambda change: told.append(change.kind))

    for octets in (announcement(1), announcement(1), announcement(2), b"junk", announcement(2, deletion=True)):
        await send(octets)
    assert told == ["added", "changed", "deleted"]
    assert browser.refused == {"truncated": 1}


@contextmanager
def announced(packet: bytes) -> Iterator[None]:
    """A packet is sent ten times a second, over the loopback."""
    done = threading.Event()

    def announce() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            while not done.wait(0.1):
                device.sendto(packet, (sap.GROUPS[0], sap.PORT))

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_the_command_hears_the_loopback() -> None:
    with announced(announcement(1)):
        result = CliRunner().invoke(discover_command, ["--interface", "lo", "--for", "1s", "--format", "json"])
    assert result.exit_code == 0, result.output
    (session,) = [session for session in json.loads(result.output) if session["key"] == "- 77 IN IP4 192.0.2.1"]
    assert (session["name"], session["ok"], session["streams"][0]["group"]) == ("desk", True, "239.1.0.1")


def test_what_it_says_to_people() -> None:
    text = SDP.format(version=1).replace("desk", "desk\x1b[31m")
    with announced(sap.encode(sap.Announcement("192.0.2.1", 1, text))):
        result = CliRunner().invoke(discover_command, ["--interface", "lo", "--for", "1s"], color=True)
    assert result.exit_code == 0, result.output
    assert "+ desk\ufffd[31m, from 192.0.2.1: L24 48 kHz 2 ch, 48 frames a packet, 239.1.0.1:5004\n" in result.output


def test_one_that_goes_is_told_by_its_name() -> None:
    with announced(announcement(1)), announced(announcement(1, deletion=True)):
        result = CliRunner().invoke(discover_command, ["--interface", "lo", "--for", "1s"])
    assert "- desk, from 192.0.2.1: L24 48 kHz 2 ch, 48 frames a packet, 239.1.0.1:5004: deleted\n" in result.output
    assert "nothing was received" not in result.output


def test_a_wrong_duration() -> None:
    result = CliRunner().invoke(discover_command, ["--for", "soon"])
    assert result.exit_code == 2
    assert "expected a duration with a unit" in result.output
