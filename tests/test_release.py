"""A release: one version in all files, written and checked; the bill of materials names what runs."""

from __future__ import annotations

import datetime
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from phasegraph import API_VERSION
from phasegraph._graph_file.parse_tables import SCHEMA
from phasegraph._run import report

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def release() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "release.py"), run_name="release")


def copied(release: dict[str, Any], folder: Path) -> Path:
    """The files that have the version, and the changelog."""
    for path in (*release["places"](ROOT), ROOT / "CHANGELOG.md"):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return folder


def test_all_files_have_one_version(release: dict[str, Any]) -> None:
    assert len(release["one_version"](release["versions"](ROOT))) == 1


def test_files_of_several_versions_are_named(release: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"several versions: 0\.1\.0 b, 0\.2\.0 a"):
        release["one_version"]({"a": "0.2.0", "b": "0.1.0"})


@pytest.mark.parametrize(("version", "asked"), [("0.4.2", ">=0.4,<0.5"), ("2.3.0", ">=2.3,<3.0")])
def test_a_version_is_written_everywhere(release: dict[str, Any], version: str, asked: str, tmp_path: Path) -> None:
    root = copied(release, tmp_path)
    assert release["prepare"](root, version, datetime.date(2027, 1, 31)) == 0
    assert set(release["versions"](root).values()) == {version}
    text = (root / "CHANGELOG.md").read_text("utf-8")
    assert f"\n## {version} (2027-01-31)\n" in text
    needed = tomllib.loads((root / "all" / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert {re.sub(r"^[\w\-\[\]]+", "", each) for each in needed} == {asked}
    with pytest.raises(SystemExit, match="no heading"):
        release["prepare"](root, version, datetime.date(2027, 1, 31))


def test_what_does_not_belong_into_a_release_is_named(release: dict[str, Any], tmp_path: Path) -> None:
    import zipfile

    wheel = tmp_path / "phasegraph-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("phasegraph/__pycache__/x.pyc", "")
        archive.writestr("phasegraph/__init__.py", "")
    assert release["problems_of"](wheel, "0.1.0") == [f"{wheel.name} has phasegraph/__pycache__/x.pyc"]
    assert release["problems_of"](wheel, "0.2.0") == [f"{wheel.name} is not of 0.2.0"]


def test_a_source_distribution_has_the_file_of_what_to_leave_out_and_nothing_else_of_git(
    release: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "phasegraph-0.1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for name in (".gitignore", ".gitattributes", "kernel.py"):
            archive.addfile(tarfile.TarInfo(f"phasegraph-0.1.0/{name}"))
    assert release["problems_of"](source, "0.1.0") == [f"{source.name} has phasegraph-0.1.0/.gitattributes"]


@pytest.mark.slow
def test_the_bill_of_materials_has_what_runs_and_is_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx")
    written = []
    for name in ("a", "b"):
        command = [sys.executable, ROOT / "tools" / "sbom.py", tmp_path / name]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"})
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    document = json.loads(written[0])
    assert document["specVersion"] == "1.6"
    components = {each["name"]: each for each in document["components"]}
    assert {"phasegraph", "phasegraph-aes67", "trio", "numpy", "soxr"} <= set(components)
    assert not {"pytest", "ruff", "mypy", "hypothesis"} & set(components)
    assert [name for name, each in components.items() if not each.get("licenses")] == []


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "versions.md").read_text("utf-8")
    assert f"`schema = {SCHEMA}` in the file" in page
    assert f"`schema` in the report (now {report.SCHEMA})" in page
    assert f"`API_VERSION` (now {API_VERSION})" in page
