"""Programs of other vendors: where one is missing, its tests are skipped and say which package brings it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import netns


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return path


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The program ``ffmpeg``."""
    return _program("ffmpeg", "ffmpeg")


@pytest.fixture(scope="session")
def gstreamer() -> str:
    """The program ``gst-launch-1.0``, with the elements that the tests use."""
    path = _program("gst-launch-1.0", "gstreamer1.0-tools")
    inspect = _program("gst-inspect-1.0", "gstreamer1.0-tools")
    packages = {
        **dict.fromkeys(("audioconvert", "giosrc"), "gstreamer1.0-plugins-base"),
        **dict.fromkeys(("rtpL24depay", "rtpjitterbuffer", "udpsrc", "wavenc"), "gstreamer1.0-plugins-good"),
        "sdpdemux": "gstreamer1.0-plugins-bad",
    }
    for element, package in packages.items():
        if subprocess.run([inspect, "--exists", element], timeout=60, check=False).returncode != 0:
            pytest.skip(f"GStreamer has no element {element} (Debian package {package})")
    return path


@pytest.fixture(scope="session")
def tshark() -> str:
    """The program ``tshark``, where it may capture."""
    path = _program("tshark", "tshark")
    capture = [path, "-i", "lo", "-a", "duration:1", "-f", "udp port 1", "-w", os.devnull]
    tried = subprocess.run(capture, capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode != 0:
        pytest.skip(f"tshark may not capture here: {' '.join(tried.stderr.split())}")
    return path


@pytest.fixture(scope="session")
def linuxptp() -> None:
    """The programs ``ptp4l`` and ``pmc``."""
    for name in ("ptp4l", "pmc"):
        _program(name, "linuxptp")


@pytest.fixture(scope="session")
def shairport() -> str:
    """The program ``shairport-sync``, if it is built for AirPlay 2."""
    path = _program("shairport-sync", "shairport-sync, where that is built for AirPlay 2: Debian 12's is not")
    version = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    if "AirPlay2" not in version:
        pytest.skip(f"this shairport-sync is not built for AirPlay 2: {version}")
    return path


@pytest.fixture(scope="session")
def pipewire_rtp() -> None:
    """PipeWire, its programs, and its RTP modules."""
    _program("pipewire", "pipewire-bin")
    for name in ("pw-cli", "pw-link", "pw-play", "pw-record"):
        _program(name, "pipewire-bin")
    folders = [*Path("/usr").glob("lib/*/pipewire-0.3"), *Path("/usr").glob("lib*/pipewire-0.3")]
    for module in ("rtp-source", "rtp-sink"):
        if not any((folder / f"libpipewire-module-{module}.so").exists() for folder in folders):
            pytest.skip(f"PipeWire has no module {module} (Debian package libpipewire-0.3-modules)")


@pytest.fixture
def hosts() -> Iterator[netns.Network]:
    """Two hosts and a wire between them."""
    reason = netns.unavailable()
    if reason:
        pytest.skip(reason)
    with netns.network() as network:
        yield network
