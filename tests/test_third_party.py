"""A plugin that is no part of the workspace: built, installed from its wheel, listed, used, and tested with the kit."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "third_party"
KERNEL = [sys.executable, "-c", "import sys; from phasegraph._cli import main; sys.exit(main())"]

pytestmark = [
    pytest.mark.slow,  # a wheel is built, and each test starts other processes
    pytest.mark.skipif(find_spec("hatchling") is None, reason="building the wheel needs hatchling"),
]


class Installed:
    """The distribution in a folder of its own, and how to run things with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", "dist", "site"))
        self.run(sys.executable, "-m", "hatchling", "build", "-t", "wheel")
        (wheel,) = (folder / "dist").glob("phasegraph_meter-*.whl")
        site = folder / "site"
        if find_spec("pip") is not None:
            self.run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel)
        else:  # of a pure wheel, installing is unpacking
            zipfile.ZipFile(wheel).extractall(site)

    def run(self, *command: str | Path) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("third") / "party")


def test_is_listed(installed: Installed) -> None:
    plugins = json.loads(installed.run(*KERNEL, "plugins", "--format", "json"))["plugins"]
    (meter,) = (plugin for plugin in plugins if plugin["name"] == "meter")
    assert meter["version"] == "0.1.0"
    assert meter["status"] == "ok"
    assert sorted(meter["kinds"]) == ["compensators/proportional", "sinks/level-meter"]


def test_is_explained(installed: Installed) -> None:
    text = installed.run(*KERNEL, "explain", "level-meter")
    assert "Measures the peak of every channel." in text
    assert "interval" in text


def test_the_graph_of_the_page_is_right(installed: Installed) -> None:
    page = (SOURCE.parent.parent / "docs/write-a-plugin.md").read_text()
    (text,) = (block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[sinks.meter]" in block)
    (installed.folder / "page.toml").write_text("schema = 1\n" + text)
    installed.run(*KERNEL, "check", "page.toml")


GRAPH = """
schema = 1

[clocks.house]
kind = "system"

[clocks.away]
kind = "system"
rate-offset = "50ppm"

[sources.sine]
kind = "tone"
frequency = "997Hz"
level = "-20dBFS"
rate = "48kHz"
channels = 2

[sinks.out]
kind = "aes67"
clock = "house"
input = "sine"
interface = "127.0.0.1"
group = "127.0.0.1"
port = 15604
encoding = "L24"

[sources.in]
kind = "aes67"
clock = "house"
interface = "127.0.0.1"
group = "127.0.0.1"
port = 15604
encoding = "L24"
rate = "48kHz"
channels = 2
packet-time = "1ms"
link-offset = "600ms"

[compensators.align]
kind = "proportional"

[sinks.resampled]
kind = "aes67"
clock = "away"
input = "in"
compensator = "align"
interface = "127.0.0.1"
group = "127.0.0.1"
port = 15606
encoding = "L24"

[sinks.meter]
kind = "level-meter"
input = "in"
"""


@pytest.mark.realtime
def test_is_used_in_a_graph(installed: Installed) -> None:
    (installed.folder / "graph.toml").write_text(GRAPH)
    installed.run(*KERNEL, "run", "graph.toml", "--for", "4s", "--report", "report.json")  # a machine may stand still
    report: dict[str, Any] = json.loads((installed.folder / "report.json").read_text())
    meter = report["nodes"]["meter"]["metrics"]
    assert meter["frames_in"] > 48000
    assert abs(meter["channel_1_peak_dbfs"] + 20) < 0.1
    assert report["edges"]["in->resampled"]["compensator"] == "align"
    assert report["nodes"]["resampled"]["metrics"]["packets_sent"] > 1000


def test_passes_its_own_tests(installed: Installed) -> None:
    output = installed.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests")
    assert " passed" in output
    assert "skipped" not in output, output
