"""The unit files of docs/airplay.md: keys that systemd knows, and a command line that the command takes."""

from __future__ import annotations

import configparser
import re
import shlex
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("phasegraph_airplay_timing")

from phasegraph_airplay_timing.serve_command import serve_command

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "airplay.md").read_text("utf-8")
KEYS = {
    "Unit": {"Description", "Wants", "After", "Before", "Conflicts"},
    "Service": {"Type", "User", "ExecStart", "AmbientCapabilities", "StateDirectory", "Restart"},
    "Install": {"WantedBy"},
}


def units() -> list[configparser.ConfigParser]:
    found = []
    for indent, text in re.findall(r"^( *)```ini\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment]
        unit.read_string(textwrap.dedent(indent + text.removeprefix(indent)))
        found.append(unit)
    return found


def test_the_units_have_what_systemd_knows() -> None:
    assert len(units()) == 2
    for unit in units():
        for section in unit.sections():
            assert set(unit[section]) <= KEYS[section]


def test_the_server_of_the_unit_starts() -> None:
    (command,) = [unit["Service"]["ExecStart"] for unit in units() if "Service" in unit]
    program, *words = shlex.split(command)
    assert program.endswith("/kernel")
    assert words[:2] == ["airplay", "serve"]
    assert serve_command.make_context("serve", words[2:]).params["interface"] == "eth0"
