"""The file of a report is always a whole one, and an earlier report stays until there is a new one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from phasegraph import GraphError
from phasegraph._run.report import exit_code, silent_nodes
from phasegraph._run.report_file import ReportFile

full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to try it on")


def test_checking_leaves_the_last_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("the last run")
    ReportFile(path).check()
    assert path.read_text() == "the last run"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_replaces_the_last_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("the last run")
    path.chmod(0o640)
    with path.open() as open_before:
        ReportFile(path).write_report({"ended": "time"})
        assert open_before.read() == "the last run", "another file has its name now"
    assert json.loads(path.read_text()) == {"ended": "time"}
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "report.json"
    link.symlink_to(tmp_path / "there" / "report.json")
    ReportFile(link).write_report({})
    assert link.is_symlink()
    assert json.loads((tmp_path / "there" / "report.json").read_text()) == {}


@pytest.mark.parametrize("name", ["missing/report.json", "."])
def test_a_place_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(GraphError, match="cannot write"):
        ReportFile(tmp_path / name).check()


def test_a_pipe_without_a_reader_is_refused_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "report.fifo"
    os.mkfifo(path)
    with pytest.raises(GraphError, match="No such device or address"):
        ReportFile(path).check()


def test_a_pipe_gets_the_report_and_then_its_end(tmp_path: Path) -> None:
    path = tmp_path / "report.fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(reader, "rb") as pipe:
        file = ReportFile(path)
        file.check()
        assert not file.replaceable
        assert pipe.read() is None, "the end comes with the report"
        file.write_report({"ended": "time"})
        assert json.loads(pipe.read()) == {"ended": "time"}


@full
def test_a_device_is_written_and_not_replaced() -> None:
    file = ReportFile(Path("/dev/full"))
    file.check()
    with pytest.raises(OSError, match="No space left on device"):
        file.write_report({})


def report(ended: str = "time", **nodes: dict[str, int]) -> dict[str, object]:
    states = {"failing": "failed", "restarting": "restarting"}
    parts = {id: {"state": states.get(id, "ended"), "metrics": metrics} for id, metrics in nodes.items()}
    return {"ended": ended, "nodes": parts}


@pytest.mark.parametrize(
    ("nodes", "silent"),
    [
        ({"copy": {"frames_in": 0}}, ["copy"]),
        ({"copy": {"frames_in": 1}, "house": {}}, []),
        ({"out": {"packets_sent": 0, "send_errors": 4032}}, ["out"]),
        ({"stage": {"packets_received": 10, "packets_early": 10}}, ["stage"]),
        ({"stage": {"packets_received": 10, "packets_early": 4, "packets_late": 5}}, []),
    ],
)
def test_nodes_that_handled_nothing(nodes: dict[str, dict[str, int]], silent: list[str]) -> None:
    assert silent_nodes(report(**nodes)) == silent
    assert exit_code(report(**nodes)) == 0
    assert exit_code(report(**nodes), strict=True) == (1 if silent else 0)


def test_exit_codes() -> None:
    assert exit_code(report(failing={})) == 1
    assert exit_code(report(restarting={})) == 1
    assert exit_code(report("failed")) == 1
    assert exit_code(report("signal", fine={})) == 0
    assert exit_code(report("signal", speakers={"frames_out": 480, "device_lost": True})) == 1
