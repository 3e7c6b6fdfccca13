"""Who reads standard error may go away: what is said then is lost, and no run ends for it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from phasegraph._run.logging import make_log

HURRIED = "import phasegraph._cli.status as s; s.PLAIN_INTERVAL_S = 0.1; from phasegraph._cli import main; main()"


class Gone(io.StringIO):
    """A pipe without a reader."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_log_without_a_reader(monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    log = make_log(format)
    log.info("stream_ended", node="stage")
    monkeypatch.setattr(sys, "stderr", heard := io.StringIO())
    log.info("stream_ended", node="stage")
    assert "stream_ended" in heard.getvalue()


@pytest.mark.realtime
def test_a_run_without_a_reader(tmp_path: Path) -> None:
    (tmp_path / "graph.toml").write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    arguments = [sys.executable, "-c", HURRIED, "run", "graph.toml", "--for", "2s", "--report", "report.json"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        process.stdout.close()
        process.wait()
    assert json.loads((tmp_path / "report.json").read_text())["ended"] == "time"
