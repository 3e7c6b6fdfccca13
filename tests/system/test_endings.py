"""How a run ends before its sources do: by a signal or when its time is up. Files are whole, and it counts as done."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.support import material
from tests.support.addresses import has_packet, listener
from tests.support.graphs import Loop, table, write_graph
from tests.support.kernel import LIMIT_S, Outcome, exact, kernel_running, outcome, run_kernel
from tests.support.machine import watched_machine

RECORDED_BYTES = 100_000
"""A third of a second of 24-bit stereo: the recording is under way."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """Mid-run: the sinks write what they have, files are finished, and the recording is what was sent until then."""
    sent = material.make(tmp_path / "source.wav")
    loop = Loop(source=tmp_path / "source.wav", file={"loop": True})
    graph = write_graph(tmp_path / "graph.toml", loop.toml)
    copy, report = tmp_path / "copy.wav", tmp_path / "report.json"

    def run() -> Outcome:
        copy.unlink(missing_ok=True)
        with kernel_running(["run", graph, "--report", report], tmp_path) as process:
            process.wait_until(lambda: copy.exists() and copy.stat().st_size > RECORDED_BYTES, "recording")
            process.signal(number)
            return outcome(process.wait(LIMIT_S), process, report)

    result = exact(run, lambda _: material.excerpt(sent, material.read(copy)))
    assert result.code == 0
    assert result.report["ended"] == "signal"
    assert result.stdout.startswith("Stopped by a signal after ")
    recorded = material.read(copy)
    assert len(recorded) == result.metrics("loop-copy")["frames_in"]
    assert 3 * 2 * len(recorded) > RECORDED_BYTES
    assert (recorded[0] == sent[0]).all(), "it begins with the first frame that was sent"


def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    """A recording that would take what is under way, for five seconds of link offset, ends at once when told twice."""
    material.make(tmp_path / "source.wav", 240_000)
    loop = Loop(source=tmp_path / "source.wav")
    graph = write_graph(tmp_path / "graph.toml", loop.toml)
    report = tmp_path / "report.json"
    run: list[str | Path] = ["run", graph, "--set", "sources.loop-in.link-offset=5s", "--report", report]
    with listener(loop.port, group=loop.group) as other, kernel_running(run, tmp_path) as process:
        process.wait_until(lambda: has_packet(other), "sending")
        began_s = time.monotonic()
        with watched_machine() as machine:
            process.signal(signal.SIGTERM)
            process.signal(signal.SIGINT)
            result = outcome(process.wait(LIMIT_S), process, report)
    assert result.code == 0
    assert result.report["ended"] == "signal"
    assert time.monotonic() - began_s < 3 + machine.lost_s


def test_a_run_ends_when_its_time_is_up(tmp_path: Path) -> None:
    """``--for`` counts from when everything has started; what was recorded until then is in the file."""
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "line-up", kind="tone", channels=1, level="-6dBFS"),
        table("sinks", "copy", kind="file", overwrite=True, input="line-up", path="copy.wav", subtype="PCM_24"),
    )
    with watched_machine() as machine:
        result = run_kernel(graph, tmp_path, "--for", "1s")
    assert result.code == 0, result.stderr
    assert result.report["ended"] == "time"
    assert result.stdout.startswith("Stopped after --for ")
    assert 1 <= result.report["duration_s"] < 3 + machine.lost_s
    assert len(material.read(tmp_path / "copy.wav")) >= 24_000 - 48_000 * machine.lost_s
