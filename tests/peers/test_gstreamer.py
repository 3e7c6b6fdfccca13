"""GStreamer receives our streams, and we receive its own: the audio is the same, sample by sample.

Both ways by multicast on the loopback interface. ``sdpdemux`` has no option for the interface, but the ``udpsrc`` in it
does, and gst-launch sets it as soon as that is made.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.support import material
from tests.support.addresses import free_port
from tests.support.peers import PEER_S, Format, receiving, same_audio, sending
from tests.support.process import running

pytestmark = pytest.mark.peers


@pytest.mark.parametrize(
    "format",
    [Format(), Format(encoding="L16", channels=1, packet_time="125us"), Format(rate=96_000, multicast=False)],
    ids=["L24", "L16 mono, 125 us", "96 kHz, unicast"],
)
def test_it_receives_what_we_send_by_sdp(gstreamer: str, tmp_path: Path, format: Format) -> None:
    """From the session description that we write: ``sdpdemux`` finds everything in it. It records until it is told."""
    name, recorded = f"S{format.encoding[1:]}LE", tmp_path / "gst.wav"
    enough = format.rate * format.channels * int(format.encoding[1:]) // 8

    def attempt() -> str:
        recorded.unlink(missing_ok=True)
        with sending(tmp_path, format) as ours:
            pipeline = f"""
                filesrc location={ours.sdp.name} ! sdpdemux latency=200 udpsrc0::multicast-iface=lo
                ! rtp{format.encoding}depay ! audioconvert dithering=none ! audio/x-raw,format={name}
                ! wavenc ! filesink location={recorded.name} buffer-mode=unbuffered"""
            with running([gstreamer, "-e", "-q", *pipeline.split()], tmp_path) as peer:
                peer.wait_until(lambda: recorded.exists() and recorded.stat().st_size > enough, "a second is recorded")
                peer.signal(signal.SIGINT)
                assert peer.wait(PEER_S) == 0, peer.told()
            return material.excerpt(ours.material, material.read(recorded))

    same_audio(attempt)


def test_it_receives_what_we_send_by_caps(gstreamer: str, tmp_path: Path) -> None:
    """The pipeline that one writes by hand: ``udpsrc`` with capabilities, and a jitter buffer; a thousand packets.

    Four channels: of six or eight, GStreamer takes the order for that of a speaker layout, and turns it into its own.
    """
    format = Format(channels=4)

    def attempt() -> str:
        with sending(tmp_path, format) as ours:
            caps = "application/x-rtp,media=audio,clock-rate=48000,encoding-name=L24,channels=4,payload=98"
            pipeline = f"""
                udpsrc address={ours.group} port={ours.port} multicast-iface=lo num-buffers=1000 caps={caps}
                ! rtpjitterbuffer latency=200 ! rtpL24depay
                ! audioconvert dithering=none ! audio/x-raw,format=S24LE ! filesink location=gst.raw"""
            with running([gstreamer, "-q", *pipeline.split()], tmp_path) as peer:
                assert peer.wait(PEER_S) == 0, peer.told()
            raw = (tmp_path / "gst.raw").read_bytes()
            got = material.from_bytes(raw, 4, 24, order="little")
            return material.excerpt(ours.material, got) or ("" if len(got) == 48_000 else f"{len(got)} frames came")

    same_audio(attempt)


@pytest.mark.parametrize("by_sdp", [False, True], ids=["by options", "by SDP"])
@pytest.mark.parametrize(
    "format",
    [Format(), Format(encoding="L16", channels=1, packet_time="125us", multicast=False)],
    ids=["L24", "L16 mono, 125 us, unicast"],
)
def test_we_receive_what_it_sends(gstreamer: str, tmp_path: Path, format: Format, by_sdp: bool) -> None:
    """Its timestamps begin at random and have no relation to a clock. We are there before it: nothing is missing."""
    sent = material.make(tmp_path / "source.wav", 48_000, format.channels, subtype=format.subtype, seed=4)
    wire, packet_ns = f"S{format.encoding[1:]}BE", {"1ms": 1_000_000, "125us": 125_000}[format.packet_time]

    def attempt() -> str:
        group, port = format.address(), free_port()
        stream = {"group": group, "port": port, "encoding": format.encoding, "channels": format.channels}
        options: dict[str, object] = {**stream, "payload-type": 96, "media-clock": "relative"}
        if by_sdp:
            rtpmap = f"a=rtpmap:96 {format.encoding}/{format.rate}/{format.channels}"
            lines = ("v=0", "s=GStreamer", f"c=IN IP4 {group}", f"m=audio {port} RTP/AVP 96", rtpmap, "")
            (tmp_path / "theirs.sdp").write_text("\r\n".join(lines), newline="")
            options = {"sdp": "theirs.sdp"}
        with receiving(tmp_path, options, at=(group, port)) as finish:
            pipeline = f"""
                filesrc location=source.wav ! wavparse ! audioconvert dithering=none ! audio/x-raw,format={wire}
                ! rtp{format.encoding}pay pt=96 min-ptime={packet_ns} max-ptime={packet_ns}
                ! udpsink host={group} port={port} multicast-iface=lo bind-address=127.0.0.1"""
            with running([gstreamer, "-q", *pipeline.split()], tmp_path) as peer:
                assert peer.wait(PEER_S) == 0, peer.told()
            result, got = finish()
        assert result.metrics("stream")["packets_malformed"] == 0
        differs = material.difference(sent, got)
        return differs and f"{differs}; the report says: {result.hiccups or 'nothing was late or lost'}"

    same_audio(attempt)
