"""What a start imports: a graph costs the modules of its own kinds, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILE = "phasegraph_sinks.file.file_sink"
STREAM = "phasegraph_aes67.source"
OTHERS = {
    "phasegraph_aes67.sink",
    "phasegraph_airplay_timing.airplay_clock",
    "phasegraph_ptp.ptp_clock",
    "phasegraph_sinks.http.http_sink",
    "phasegraph_sinks.meter.meter_sink",
    "phasegraph_sinks.soundcard.soundcard_sink",
    "phasegraph_sinks.soundcard.soundcard_source",
    "phasegraph_compensation.resamplers.sinc",
    "asyncio",
    "cffi",
    "email.message",
    "h11",
    "importlib.metadata",
    "rich.console",
    "sounddevice",
    "soundfile",
}
TONE = """schema = 1
[clocks.house]
kind = "system"
[sources.line-up]
kind = "tone"
[sinks.take]
kind = "file"
input = "line-up"
path = "take.wav"
"""


def imported(*arguments: str | Path) -> set[str]:
    command = [sys.executable, "-X", "importtime", "-m", "phasegraph", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}


def test_check_imports_the_kinds_of_the_graph_and_no_event_loop() -> None:
    modules = imported("check", EXAMPLES / "receive.toml")
    assert {FILE, STREAM, "numpy"} <= modules
    assert not modules & (OTHERS | {"structlog", "trio._core"})


@pytest.mark.slow
def test_a_graph_without_a_network_imports_no_transport(tmp_path: Path) -> None:
    (tmp_path / "graph.toml").write_text(TONE)
    modules = imported("check", tmp_path / "graph.toml")
    assert {FILE, "phasegraph_sinks.tone"} <= modules
    assert not modules & (OTHERS | {STREAM, "phasegraph.net.system_network", "trio._core"})


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.slow
def test_a_run_imports_the_kinds_of_the_graph_alone(tmp_path: Path, log_format: str) -> None:
    (tmp_path / "graph.toml").write_text(TONE)
    modules = imported("run", tmp_path / "graph.toml", "--for", "1ms", "--no-control", "--log-format", log_format)
    assert {FILE, "trio._core", "structlog"} <= modules
    unwanted = OTHERS - {"cffi", "soundfile"}  # which write a file
    assert not modules & (unwanted | {STREAM})
