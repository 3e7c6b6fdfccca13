"""What tshark makes of our packets: RTP without a flaw, with the audio that was sent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tests.support import material
from tests.support.peers import Format, same_audio, sending
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


def captured(tshark: str, folder: Path, port: int) -> list[Packet]:
    """Packets to a port of the loopback interface, decoded as RTP."""
    decoding = ("-n", "-d", f"udp.port=={port},rtp", "-T", "fields", "-E", "separator=;")
    wanted = [word for field in FIELDS for word in ("-e", field)]
    count = str(HEAD + PACKETS)
    with running([tshark, "-i", "lo", "-f", f"udp port {port}", "-c", count, *decoding, *wanted], folder) as peer:
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
