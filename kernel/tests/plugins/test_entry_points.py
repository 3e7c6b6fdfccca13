"""Entry points are found as importlib.metadata finds them, without it."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from phasegraph._plugins.entry_points import EntryPoint, entry_points


def _distribution(folder: Path, name: str, lines: str, metadata_file: str = "METADATA") -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / metadata_file).write_text("Metadata-Version: 2.1\nName: meters\nVersion: 1.5\n")
    (folder / name / "entry_points.txt").write_text(lines)


@pytest.mark.parametrize("group", ["phasegraph.plugins", "console_scripts", "pytest11"])
def test_the_installed_ones_are_those_of_importlib(group: str) -> None:
    expected = {
        (entry.name, entry.value, entry.dist.version) for entry in metadata.entry_points(group=group) if entry.dist
    }
    assert expected
    assert set(entry_points(group)) == expected


def test_every_layout_and_the_first_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    lines = (
        "# by hand\n[other]\na = b\n\n[meters]\n level=metering.level:make.it [vu]\n; = \n# c = d\npeak = metering\n"
    )
    _distribution(first, "Meter.S-1.5.dist-info", lines)
    _distribution(second, "meter_s-1.4.dist-info", "[meters]\nold = metering\n")
    _distribution(second, "scales.egg-info", "[meters]\nscale = scales\n", "PKG-INFO")
    (second / "text.egg-info").write_text("Name: text\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "missing"), str(first), str(second)])
    found = entry_points("meters")
    assert EntryPoint("level", "metering.level:make.it [vu]", "1.5") in found
    assert EntryPoint("scale", "scales", "1.5") in found
    assert {entry.name for entry in found} - {";"} == {"level", "peak", "scale"}


def test_a_zip_file_on_the_path_is_searched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("meters-2.dist-info/METADATA", "Metadata-Version: 2.1\nName: meters\nVersion: 2\n")
        archive.writestr("meters-2.dist-info/entry_points.txt", "[meters]\nlevel = metering\n")
    monkeypatch.syspath_prepend(tmp_path / "all.zip")
    assert entry_points("meters") == [EntryPoint("level", "metering", "2")]


def test_an_unpacked_egg_on_the_path_is_searched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _distribution(tmp_path / "meters.egg", "EGG-INFO", "[meters]\nlevel = metering\n", "PKG-INFO")
    monkeypatch.syspath_prepend(tmp_path / "meters.egg")
    assert entry_points("meters") == [EntryPoint("level", "metering", "1.5")]


def test_loading_gives_a_module_or_an_attribute() -> None:
    assert EntryPoint("path", "pathlib").load().Path is Path
    assert EntryPoint("cwd", "pathlib:Path.cwd [extra]").load() == Path.cwd
    with pytest.raises(ValueError, match="is not module:attribute"):
        EntryPoint("bad", "no module").load()
