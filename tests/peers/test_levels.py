"""The `meter` sink beside ffmpeg's `ebur128`: loudness and peaks of one file are the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phasegraph.testing import run_graph_now

pytestmark = pytest.mark.peers
GRAPH = """schema = 1
[sources.file]
kind = "file"
path = "programme.wav"
[sinks.levels]
kind = "meter"
input = "file"
"""


def programme(rate: int) -> np.ndarray:
    """Noise, louder by and by, with a tone: something in every band."""
    random = np.random.default_rng(5)
    count = 6 * rate
    noise = np.cumsum(random.normal(0, 1, (count, 2)), axis=0)
    noise -= np.apply_along_axis(lambda line: np.convolve(line, np.ones(rate // 20) / (rate // 20), "same"), 0, noise)
    tone = np.sin(2 * np.pi * 3000 * np.arange(count) / rate)[:, None]
    samples = (0.05 * noise / noise.std() + 0.02 * tone) * np.linspace(0.3, 1.5, count)[:, None]
    return np.clip(samples, -0.99, 0.99).astype(np.float32)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_they_agree(ffmpeg: str, tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "programme.wav", programme(rate), rate, subtype="FLOAT")
    command = [
        ffmpeg,
        "-hide_banner",
        "-nostdin",
        "-i",
        "programme.wav",
        "-af",
        "ebur128=peak=true+sample",
        "-f",
        "null",
        "-",
    ]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stderr
    momentary, short_term = (float(re.findall(rf" {letter}: *(-[0-9.]+)", told)[-1]) for letter in "MS")
    true_peak = float(re.search(r"True peak:\s+Peak:\s+(-?[0-9.]+)", told)[1])  # type: ignore[index]
    metrics = run_graph_now(GRAPH, folder=tmp_path).metrics("levels")
    assert metrics["loudness_momentary_lufs"] == pytest.approx(momentary, abs=0.1)
    assert metrics["loudness_short_term_lufs"] == pytest.approx(short_term, abs=0.1)
    assert metrics["level_true_peak_dbtp"] == pytest.approx(true_peak, abs=0.3)
