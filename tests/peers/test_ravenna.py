"""A session that we offer as RAVENNA does, as other programs see it: players open it by its URL, tshark reads it."""

from __future__ import annotations

import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import material
from tests.support.addresses import LOOPBACK, free_port
from tests.support.peers import PEER_S, Format, Ours, same_audio, sending
from tests.support.process import running

pytestmark = pytest.mark.peers
pytest.importorskip("zeroconf", reason="the package zeroconf is not installed")


@contextmanager
def offering(folder: Path, name: str, format: Format) -> Iterator[tuple[Ours, str]]:
    """A stream that we send and offer, and its URL."""
    port = free_port()
    with sending(folder, format, **{"name": name, "ravenna": True, "rtsp-port": port}) as ours:
        ours.process.wait_until(lambda: "session_offered" in ours.process.stdout + ours.process.stderr, "offered")
        yield ours, f"rtsp://{LOOPBACK}:{port}/by-name/{name.replace(' ', '%20')}"


def test_ffprobe_reads_its_description(tmp_path: Path) -> None:
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        pytest.skip("ffprobe is not installed (Debian package ffmpeg)")
    name = f"Test {secrets.token_hex(4)}"
    with offering(tmp_path, name, Format(channels=4)) as (_, url):
        # It would join the group where the routes lead: that it is told where, and what, is enough.
        ask = [ffprobe, "-v", "debug", "-rtsp_transport", "udp_multicast", url]
        with running(ask, tmp_path) as peer:
            peer.wait_until(lambda: "hello state" in peer.stderr or "failed" in peer.stderr, "DESCRIBE and SETUP")
    for expected in (f"s={name}", "set to: pcm_s24be", "samplerate set to: 48000", "channels set to: 4"):
        assert expected in peer.stderr, peer.told()
    assert "failed" not in peer.stderr, peer.told()


def test_gstreamer_plays_it(gstreamer: str, tmp_path: Path) -> None:
    """``rtspsrc`` asks for everything: OPTIONS, DESCRIBE, SETUP, PLAY; and what it then receives is what we send."""
    format, recorded = Format(), tmp_path / "gst.wav"
    enough = format.rate * format.channels * 3

    def attempt() -> str:
        recorded.unlink(missing_ok=True)
        with offering(tmp_path, f"Test {secrets.token_hex(4)}", format) as (ours, url):
            pipeline = f"""
                rtspsrc location={url} protocols=udp-mcast multicast-iface=lo latency=200
                ! rtpL24depay ! audioconvert dithering=none ! audio/x-raw,format=S24LE
                ! wavenc ! filesink location={recorded.name} buffer-mode=unbuffered"""
            with running([gstreamer, "-e", "-q", *pipeline.split()], tmp_path) as peer:
                peer.wait_until(lambda: recorded.exists() and recorded.stat().st_size > enough, "a second is recorded")
                peer.signal(signal.SIGINT)
                assert peer.wait(PEER_S) == 0, peer.told()
            return material.excerpt(ours.material, material.read(recorded))

    same_audio(attempt)


FIELDS = ("dns.resp.name", "dns.ptr.domain_name", "dns.srv.name", "dns.srv.port", "dns.resp.ttl", "_ws.malformed")


def test_mdns_says_what_it_should(tshark: str, tmp_path: Path) -> None:
    """The service and its subtype, where it is, and at the end that it is gone (a time to live of zero)."""
    name = f"Test {secrets.token_hex(4)}"
    wanted = [word for field in FIELDS for word in ("-e", field)]
    capture = [tshark, "-l", "-i", "lo", "-f", "udp port 5353", "-n", "-Y", "dns.flags.response == 1"]
    with running([*capture, "-T", "fields", "-E", "separator=;", *wanted], tmp_path) as peer:
        peer.wait_until(lambda: "Capturing" in peer.stderr, "capturing")
        with offering(tmp_path, name, Format()) as (ours, url):
            ours.process.signal(signal.SIGINT)
            assert ours.process.wait(PEER_S) == 0, ours.process.told()
        peer.wait_until(
            lambda: any(name in line and "0" in line.split(";")[4].split(",") for line in told(peer)), "gone"
        )
    packets = [line.split(";") for line in told(peer) if name in line]
    assert {packet[5] for packet in packets} == {""}
    names = {each for packet in packets for each in packet[0].split(",")}
    assert {"_rtsp._tcp.local", "_ravenna_session._sub._rtsp._tcp.local", f"{name}._rtsp._tcp.local"} <= names
    assert {packet[1] for packet in packets if packet[1]} == {f"{name}._rtsp._tcp.local"}
    assert {packet[3] for packet in packets if packet[3]} == {url.split(":")[2].split("/")[0]}


def told(peer: object) -> list[str]:
    return str(getattr(peer, "stdout", "")).splitlines()
