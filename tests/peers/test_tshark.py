"""What tshark makes of our packets: RTP without a flaw, with the audio that was sent."""

from __future__ import annotations

import secrets
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.peers import PEER_S, Format, same_audio, sending
from tests.support.process import START_S, running

pytestmark = pytest.mark.peers
HEAD = 50
"""Packets that are left out: libpcap may give some from before its filter was in place, and then lose a few."""
PACKETS = 400
FIELDS = (
    *("rtp.version", "rtp.padding", "rtp.ext", "rtp.cc", "rtp.marker", "rtp.p_type", "rtp.seq", "rtp.timestamp"),
    *("rtp.ssrc", "rtp.payload", "ip.dst", "ip.ttl", "ip.dsfield.dscp", "_ws.malformed"),
)
Packet = dict[str, str]


@pytest.mark.parametrize(
    ("format", "frames"),
    [(Format(), 48), (Format(encoding="L16", channels=1, packet_time="125us"), 6)],
    ids=["L24, 1 ms", "L16 mono, 125 us"],
)
def test_every_packet_is_as_it_should_be(tshark: str, tmp_path: Path, format: Format, frames: int) -> None:
    """Payload type, contiguous sequence numbers and timestamps, one source, the graph's DSCP and TTL, and the audio."""

    def attempt() -> str:
        with sending(tmp_path, format) as ours:
            packets = captured(tshark, tmp_path, ours.port)
        constant = {
            **dict.fromkeys(("rtp.padding", "rtp.ext", "rtp.cc", "rtp.marker"), "0"),
            "rtp.version": "2",
            "rtp.p_type": "98",
            "ip.dst": ours.group,
            "ip.ttl": "32",
            "ip.dsfield.dscp": "34",
            "_ws.malformed": "",
        }
        for field, expected in constant.items():
            assert {packet[field] for packet in packets} == {expected}, field
        assert len({packet["rtp.ssrc"] for packet in packets}) == 1
        payload = bytes.fromhex("".join(packet["rtp.payload"] for packet in packets))
        got = material.from_bytes(payload, format.channels, int(format.encoding[1:]), order="big")
        assert len(got) == PACKETS * frames
        return gaps(packets, frames) or material.excerpt(ours.material, got)

    same_audio(attempt)


SAP_FIELDS = (
    *("sap.flags.v", "sap.flags.t", "sap.flags.c", "sap.payload_type", "sap.originating_source", "ip.dst", "ip.ttl"),
    *("sap.message_identifier_hash", "sdp.session_name", "sdp.media.port_string", "_ws.malformed"),
)


@pytest.mark.parametrize("preset", ["aes67", "dante", "ravenna", "st2110-30"])
def test_every_announcement_is_as_it_should_be(tshark: str, tmp_path: Path, preset: str) -> None:
    """Both groups, time to live 255, a payload type, a description without a flaw; and its deletion at the end."""
    name = f"Test {secrets.token_hex(4)}"
    wanted = [word for field in SAP_FIELDS for word in ("-e", field)]
    capture = [tshark, "-l", "-i", "lo", "-f", "udp port 9875", "-n", "-T", "fields", "-E", "separator=;", *wanted]
    with running(capture, tmp_path) as peer:
        peer.wait_until(lambda: "Capturing" in peer.stderr or "permission" in peer.stderr.lower(), "capturing")
        if "permission" in peer.stderr.lower():
            pytest.skip(f"tshark may not capture here: {peer.stderr.strip().splitlines()[-1]}")
        with sending(tmp_path, Format(), name=name, announce=True, preset=preset) as ours:
            peer.wait_until(lambda: peer.stdout.count(name) >= 2, "the session is announced")
            ours.process.signal(signal.SIGINT)
            assert ours.process.wait(PEER_S) == 0, ours.process.told()
        peer.wait_until(lambda: peer.stdout.count(name) >= 4, "it is deleted")
    packets = [dict(zip(SAP_FIELDS, line.split(";"), strict=True)) for line in peer.stdout.splitlines() if name in line]
    constant = {
        "sap.flags.v": "1",
        "sap.flags.c": "0",
        "sap.payload_type": "application/sdp",
        "sap.originating_source": "127.0.0.1",
        "ip.ttl": "255",
        "sdp.session_name": name,
        "sdp.media.port_string": str(ours.port),
        "_ws.malformed": "",
    }
    for field, expected in constant.items():
        assert {packet[field] for packet in packets} == {expected}, field
    assert len({packet["sap.message_identifier_hash"] for packet in packets}) == 1
    told = [(packet["ip.dst"], packet["sap.flags.t"]) for packet in packets]
    groups = ("239.255.255.255", "224.2.127.254")
    assert told[:4] == [(group, deletion) for deletion in ("0", "1") for group in groups]


def test_both_legs_are_the_same(tshark: str, tmp_path: Path) -> None:
    """ST 2022-7: every packet leaves twice, to the bit."""
    group, port = free_group(), free_port()
    second = {"leg-b": {"interface": LOOPBACK, "group": group, "port": port}}

    with sending(tmp_path, Format(channels=8), **second) as ours:
        packets = captured(tshark, tmp_path, ours.port, port)
    legs: list[dict[str, Packet]] = [{}, {}]
    for packet in packets:
        legs[(ours.group, group).index(packet.pop("ip.dst"))][packet["rtp.seq"]] = packet
    both = legs[0].keys() & legs[1].keys()
    assert len(both) >= PACKETS // 2 - 1, "the capture may begin and end between the two"
    assert all(legs[0][number] == legs[1][number] for number in both)


def captured(tshark: str, folder: Path, *ports: int) -> list[Packet]:
    """Packets to ports of the loopback interface, decoded as RTP."""
    decoding = [word for port in ports for word in ("-d", f"udp.port=={port},rtp")]
    wanted = ["-n", "-T", "fields", "-E", "separator=;", *(word for field in FIELDS for word in ("-e", field))]
    only = " or ".join(f"udp port {port}" for port in ports)
    with running([tshark, "-i", "lo", "-f", only, "-c", str(HEAD + PACKETS), *decoding, *wanted], folder) as peer:
        code = peer.wait(START_S)
    if "permission" in peer.stderr.lower():
        pytest.skip(f"tshark may not capture here: {peer.stderr.strip().splitlines()[-1]}")
    assert code == 0, peer.told()
    packets = [dict(zip(FIELDS, line.split(";"), strict=True)) for line in peer.stdout.splitlines()]
    assert len(packets) == HEAD + PACKETS
    return packets[HEAD:]


def gaps(packets: list[Packet], frames: int) -> str:
    """Where sequence numbers or timestamps do not follow each other; empty if nowhere."""
    numbers = [(int(packet["rtp.seq"]), int(packet["rtp.timestamp"])) for packet in packets]
    return "; ".join(
        f"sequence number {sequence}, timestamp {timestamp} is followed by {following}"
        for (sequence, timestamp), following in pairwise(numbers)
        if following != ((sequence + 1) % 2**16, (timestamp + frames) % 2**32)
    )
