"""ffmpeg listens to an `http` sink, as VLC and browsers do: it finds the format, and hears the programme."""

from __future__ import annotations

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.support.addresses import free_port
from tests.support.kernel import kernel_running

pytestmark = [pytest.mark.peers, pytest.mark.realtime]
GRAPH = """schema = 1
[sources.tone]
kind = "tone"
frequency = "997Hz"
[sinks.listen]
kind = "http"
input = "tone"
port = {port}
listeners = 2
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    (tmp_path / "listen.toml").write_text(GRAPH.format(port=port))
    with kernel_running(["run", "listen.toml", "--for", "60s", "--no-control"], tmp_path) as run:
        run.wait_until(lambda: listens(port), "listening")
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("name", ["flac", "opus", "wav"])
def test_ffmpeg_hears_the_programme(ffmpeg: str, url: str, tmp_path: Path, name: str) -> None:
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", f"{url}/stream.{name}"]
    subprocess.run([*command, "-t", "2", "heard.wav"], cwd=tmp_path, check=True, timeout=30)
    heard, rate = soundfile.read(tmp_path / "heard.wav", always_2d=True)
    assert rate == 48_000
    assert heard.shape[1] == 2
    second = heard[24_000:72_000, 1]
    assert np.abs(np.fft.rfft(second * np.hanning(48_000))).argmax() == 997
    assert 20 * np.log10(np.abs(second).max()) == pytest.approx(-20, abs=0.5)


def test_a_third_listener_is_refused_and_the_others_go_on(url: str) -> None:
    first, second = (urllib.request.urlopen(f"{url}/stream.wav", timeout=10) for _ in range(2))
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{url}/stream.flac", timeout=10)
    assert len(first.read(100_000)) == len(second.read(100_000)) == 100_000
