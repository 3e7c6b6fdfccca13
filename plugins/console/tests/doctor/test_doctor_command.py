"""The command, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from phasegraph_console.doctor.doctor_command import doctor_command, render
from phasegraph_console.doctor.finding import Finding, Severity


def test_lines_fit_80_columns() -> None:
    finding = Finding("clocks.a-long-name", Severity.WRONG, "no Announce " * 20, "set domain = 0 " * 20)
    lines = click.unstyle(render(finding)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("WRONG     clocks.a-long-name")


def test_this_computer_as_json() -> None:
    result = CliRunner().invoke(doctor_command, ["--for", "0", "--format", "json"])
    findings = json.loads(result.stdout)
    assert {"lo", "port 319", "PTP ports", "sound"} <= {finding["check"] for finding in findings}
    assert result.exit_code == any(finding["severity"] == "wrong" for finding in findings)


def test_a_graph_is_read(tmp_path: Path) -> None:
    graph = tmp_path / "graph.toml"
    graph.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    result = CliRunner().invoke(doctor_command, [str(graph), "--for", "0"])
    assert result.exit_code in (0, 1)
    assert "need attention" in result.stdout or "Nothing stands in the way" in result.stdout


@pytest.mark.parametrize("argument", ["-1", "61", "long", "2min"])
def test_a_wrong_time_is_refused(argument: str) -> None:
    assert CliRunner().invoke(doctor_command, ["--for", argument]).exit_code == 2


@pytest.mark.parametrize("argument", ["0", "0s", "0.0"])
def test_a_time_has_a_unit_or_is_in_seconds(argument: str) -> None:
    result = CliRunner().invoke(doctor_command, ["--for", argument, "--format", "json"])
    assert (result.exit_code in (0, 1), result.stderr) == (True, "")
