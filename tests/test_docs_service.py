"""docs/service.md: what its commands make of the unit, and the files that they name."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "service.md").read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="sed")
def test_the_unit_of_a_tree_has_the_path_of_its_kernel_wherever_the_unit_has_one() -> None:
    (line,) = (line for line in PAGE.splitlines() if line.startswith("sed "))
    command = shlex.split(line.partition(" | ")[0])
    unit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    before = (ROOT / "packaging/systemd/phasegraph@.service").read_text("utf-8")
    commands = re.findall(r"^Exec\w+=(\S+)", unit, re.MULTILINE)
    assert set(commands) == {"/opt/phasegraph/bin/kernel"}
    assert unit.count("/opt/phasegraph/bin/kernel") == before.count("/usr/bin/kernel") == len(commands)


def test_the_files_that_are_copied_exist() -> None:
    files = re.findall(r"\bpackaging/\S+[^`\s]", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)))
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []
