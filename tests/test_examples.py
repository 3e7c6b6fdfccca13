"""The graphs in examples/ are right, under each of their profiles, and the recording is what its page says."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from phasegraph._cli.app import cli

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def graphs() -> Iterator[object]:
    for path in sorted(EXAMPLES.glob("*.toml")):
        for profile in (None, *tomllib.loads(path.read_text("utf-8")).get("profiles", {})):
            yield pytest.param(path, profile, id=path.stem + (f"-{profile}" if profile else ""))


@pytest.mark.parametrize(("path", "profile"), list(graphs()))
def test_an_example_is_right(path: Path, profile: str | None) -> None:
    result = CliRunner().invoke(cli, ["check", str(path), *(["--profile", profile] if profile else [])])
    assert (result.exit_code, result.stderr) == (0, "")


def test_every_example_has_its_line_in_the_page() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in EXAMPLES.glob("*.toml") if f"]({path.name})" not in page] == []


def test_the_recording_is_real_24_bit_stereo() -> None:
    path = EXAMPLES / "recording.flac"
    samples, rate = soundfile.read(path, dtype="int32", always_2d=True)
    words = samples >> 8
    assert (soundfile.info(path).subtype, rate, samples.shape[1]) == ("PCM_24", 48_000, 2)
    assert path.stat().st_size < 1.5 * 2**20
    assert 5 < len(samples) / rate < 7
    assert abs(20 * np.log10(np.abs(words).max() / 2**23) + 3) < 0.01
    assert (words[:, 0] == words[:, 1]).mean() < 0.1, "the channels are different"
    for bit in range(8):
        assert 0.45 < (words >> bit & 1).mean() < 0.55, "every bit is alive"


def test_two_demonstrations_on_one_host_do_not_meet(tmp_path: Path) -> None:
    """Each has a group, a port and a session description of its own."""
    demo = runpy.run_path(str(EXAMPLES.parent / "tools" / "demo.py"), run_name="demo")
    choices = [demo["overrides"](str(tmp_path / name)) for name in ("a", "b")]
    assert choices[0] != choices[1]
    for words in choices:
        result = CliRunner().invoke(cli, ["check", str(EXAMPLES / "loopback.toml"), *words])
        assert (result.exit_code, result.stderr) == (0, "")
        assert "sinks.network.group=239.69." in words[1]
    assert sum(first == second for first, second in zip(*choices, strict=True)) == 4, "the --set alone are the same"


def test_the_demonstration_draws_both_waveforms() -> None:
    demo = runpy.run_path(str(EXAMPLES.parent / "tools" / "demo.py"), run_name="demo")
    loud = np.full((48_000, 2), 2**31 - 1, np.int32)
    loud[::2] *= -1
    picture = ElementTree.fromstring(demo["waveforms"]({"sent": loud, "came back": loud[:24_000], "nothing": loud[:0]}))
    paths = [part.attrib["d"] for part in picture.iter() if part.tag.endswith("path")]
    texts = [part.text for part in picture.iter() if part.tag.endswith("text")]
    assert texts == ["sent", "came back", "nothing"]
    assert [path.count("M") for path in paths] == [760, 380], "half as long is half as wide"
    assert paths[0].startswith("M0 28.0V148.0"), "from the top of its row to the bottom"
