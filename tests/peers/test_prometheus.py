"""Debian's Prometheus scrapes the console, alert rules fire on made faults, and the dashboard's queries are valid."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_control import clock, fake_control, stream
from tests.support.kernel import KERNEL
from tests.support.process import Running, running

MONITORING = Path(__file__).resolve().parents[2] / "examples" / "monitoring"
pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no Prometheus (Debian package prometheus)")
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: phasegraph
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    def __init__(self, port: int, process: Running) -> None:
        self._port = port
        self._process = process

    def get(self, path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except OSError:  # it has not begun to listen
                pass
            assert time.monotonic() < deadline, f"{what}\n{self._process.told()}"
            time.sleep(0.2)

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"}


@contextmanager
def prometheus(folder: Path, console_port: int) -> Iterator[Prometheus]:
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=MONITORING / "phasegraph-alerts.yml", port=console_port))
    port = free_port()
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(["prometheus", *options], folder, name="prometheus") as process:
        there = Prometheus(port, process)
        there.wait_until(lambda: there.get("query", query="up")["result"], "the first scrape")
        yield there


def test_the_files_are_what_promtool_accepts() -> None:
    for what, file in (("config", "prometheus.yml"), ("rules", "phasegraph-alerts.yml")):
        command = ["promtool", "check", what, MONITORING / file]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_scrapes_and_the_rules_fire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    port = free_port()
    with (
        fake_control(tmp_path / "r" / "phasegraph", "hall") as hall,
        running([*KERNEL, "console", "--port", str(port)], tmp_path, name="console") as console,
    ):
        console.wait_until(lambda: "The console is at" in console.stderr, "listening")
        with prometheus(tmp_path, port) as there:

            def value(query: str) -> float | None:
                result = there.get("query", query=query)["result"]
                return float(result[0]["value"][1]) if result else None

            there.wait_until(lambda: value("phasegraph_run_up") == 1, "the run is up")
            there.wait_until(lambda: value("phasegraph_stream_lateness_seconds_bucket{le='0.003'}") == 1000, "buckets")
            assert value("histogram_quantile(0.99, phasegraph_stream_lateness_seconds_bucket)")
            assert there.firing() == set()
            targets = there.get("targets")["activeTargets"]
            assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")]
            hall.nodes["stage"] = stream("nothing comes", 3)
            hall.nodes["house"] = clock("holdover", 1, state="holdover")
            there.wait_until(
                lambda: {"PhasegraphNodeFailed", "PhasegraphClockNotLocked"} <= there.firing(), "two alerts"
            )
            # Of a counter that stands still, the rate is zero when the window of 15 s holds nothing else.
            there.wait_until(lambda: "PhasegraphStreamSilent" in there.firing(), "the silent stream")
            hall.close()
            there.wait_until(lambda: "PhasegraphRunGone" in there.firing(), "the run that has gone")
            for title, query in panels():
                assert there.get("query", query=query)["resultType"] == "vector", title


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    return [(title, query.replace("$run", ".*").replace("$__rate_interval", "1m")) for title, query in found]
