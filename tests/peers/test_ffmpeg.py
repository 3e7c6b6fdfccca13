"""ffmpeg receives our streams, and we receive its own: the audio is the same, sample by sample.

Both ways by multicast on the loopback interface, which ffmpeg joins and sends through where ``localaddr`` names it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import material
from tests.support.addresses import free_port
from tests.support.peers import PEER_S, Format, receiving, same_audio, sending
from tests.support.process import running

pytestmark = pytest.mark.peers
QUIET = ("-hide_banner", "-nostdin", "-loglevel", "warning", "-y")


@pytest.mark.parametrize(
    "format",
    [
        Format(),
        Format(encoding="L16"),
        Format(channels=8, packet_time="125us"),
        Format(rate=96_000, multicast=False),
    ],
    ids=["L24", "L16", "8 channels, 125 us", "96 kHz, unicast"],
)
def test_it_receives_what_we_send(ffmpeg: str, tmp_path: Path, format: Format) -> None:
    """From the session description that we write. It joins when it likes, and records a second."""
    codec = f"pcm_s{format.encoding[1:]}le"

    def attempt() -> str:
        with sending(tmp_path, format) as ours:
            reading = ("-protocol_whitelist", "file,udp,rtp", "-localaddr", "127.0.0.1", "-i", str(ours.sdp))
            command = [ffmpeg, *QUIET, *reading, "-t", "1", "-c:a", codec, "ffmpeg.wav"]
            with running(command, tmp_path) as peer:
                assert peer.wait(PEER_S) == 0, peer.told()
            got = material.read(tmp_path / "ffmpeg.wav")
            if len(got) < 0.9 * format.rate:
                return f"ffmpeg recorded {len(got)} frames\n{peer.told()}"
            return material.excerpt(ours.material, got)

    same_audio(attempt)


@pytest.mark.parametrize(
    ("format", "packet_bytes"),
    [
        (Format(), None),
        (Format(), 12 + 48 * 6),
        (Format(encoding="L16"), None),
        (Format(encoding="L16", rate=44_100), None),
        (Format(channels=8), 12 + 48 * 24),
    ],
    ids=["L24, its own packet size", "L24, 1 ms", "L16", "L16 44.1 kHz, payload type 10", "8 channels"],
)
def test_we_receive_what_it_sends(ffmpeg: str, tmp_path: Path, format: Format, packet_bytes: int | None) -> None:
    """From the session description that it writes, which has no clock: timestamps count only themselves.

    It sends in bursts, in packets as large as fit unless told otherwise. A first ffmpeg writes the description; we
    listen before the second one begins, however slowly we start, and record to its end.
    """
    seconds = 2
    frames = seconds * format.rate
    sent = material.make(
        tmp_path / "source.wav", frames, format.channels, rate=format.rate, subtype=format.subtype, seed=3
    )
    sdp = tmp_path / "theirs.sdp"
    codec = f"pcm_s{format.encoding[1:]}be"

    def attempt() -> str:
        sdp.unlink(missing_ok=True)
        options = "localaddr=127.0.0.1" + (f"&pkt_size={packet_bytes}" if packet_bytes else "")
        group, port = format.address(), free_port()
        target = f"rtp://{group}:{port}?{options}"
        command = [ffmpeg, *QUIET, "-re", "-i", "source.wav", "-c:a", codec, "-f", "rtp", "-sdp_file", str(sdp), target]
        with running(command, tmp_path) as peer:
            peer.wait_until(lambda: sdp.exists() and b"m=audio" in sdp.read_bytes(), "its session description")
        with receiving(tmp_path, {"sdp": sdp.name}, at=(group, port)) as finish, running(command, tmp_path) as peer:
            assert peer.wait(PEER_S) == 0, peer.told()
            result, got = finish()
        assert result.metrics("stream")["packets_malformed"] == 0
        if len(got) < format.rate // 2:
            return f"only {len(got)} frames were recorded\n{result.stdout}"
        if (got[-1] != sent[-1]).any():
            return f"the recording does not end as the material does\n{result.stdout}"
        return material.excerpt(sent, got)

    same_audio(attempt)
