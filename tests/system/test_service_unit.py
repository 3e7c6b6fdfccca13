"""What the project ships for services: the unit, by systemd's own judgement, and the manual pages, by groff's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "systemd" / "phasegraph@.service"
MOST_EXPOSURE = 20
"""In tenths: 2.0 of 10."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian package systemd)"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as an instance, with a command that exists here."""
    path = tmp_path / "phasegraph@hall.service"
    path.write_text(UNIT.read_text().replace("/usr/bin/kernel", shutil.which("true") or "true"))
    return path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning", "SYSTEMD_COLORS": "0"}
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, env=environment, timeout=60)


@needs_systemd
def test_systemd_finds_no_fault_with_the_unit(unit: Path) -> None:
    found = analyze("verify", "--man=no", unit)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@needs_systemd
def test_the_unit_exposes_little(unit: Path) -> None:
    found = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", unit)
    assert found.returncode == 0, found.stdout[-2000:]


@needs_systemd
def test_a_unit_that_is_open_is_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "").replace("NoNewPrivileges=yes", "User=root"))
    assert analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", unit).returncode != 0


def test_every_command_has_a_manual_page_that_groff_reads(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "man_pages.py", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr
    pages = sorted(tmp_path.glob("*.1"))
    assert {"kernel", "kernel-run", "kernel-apply", "kernel-airplay-serve"} <= {page.stem for page in pages}
    for page in pages:
        text = page.read_text("utf-8")
        assert text.count("\n.SH ") >= 4, page
        if shutil.which("groff"):
            read = subprocess.run(
                ["groff", "-man", "-Tutf8", "-ww", "-z", "-k", page], capture_output=True, text=True, timeout=60
            )
            assert (read.returncode, read.stderr) == (0, ""), page
