"""What a run has found is there for the next."""

from __future__ import annotations

import msgspec
import pytest

from phasegraph import StateFile


class Found(msgspec.Struct, frozen=True):
    cover_ns: int
    setting: str


FIRST, SECOND = Found(2_666_666, 'buffer = "2.688ms"'), Found(5_333_333, 'buffer = "0.021ms"')


@pytest.fixture
def file(tmp_path):
    return StateFile(tmp_path / "state" / "found.json", Found, most=2)


def test_each_key_has_its_own(file):
    assert file.load().get("speakers on the default card") is None
    file.keep({"speakers on the default card": FIRST})
    file.keep({"speakers on 3": SECOND})
    assert file.load() == {"speakers on the default card": FIRST, "speakers on 3": SECOND}
    file.keep({"speakers on 3": FIRST})
    assert file.load()["speakers on 3"] == FIRST


def test_a_damaged_file_counts_as_none_and_is_replaced(file):
    file.path.parent.mkdir()
    file.path.write_text('{"speakers": {"cover_ns": "many"}}')
    assert file.load().get("speakers") is None
    file.keep({"speakers": FIRST})
    assert file.load().get("speakers") == FIRST


def test_the_oldest_are_forgotten(file):
    for name in "abac":
        file.keep({name: FIRST})
    assert [file.load().get(name) for name in "abc"] == [FIRST, None, FIRST]
    assert [path.name for path in file.path.parent.iterdir()] == ["found.json"]


def test_a_folder_that_cannot_be_made_is_an_error(file):
    file.path.parent.write_text("in the way")
    with pytest.raises(OSError):
        file.keep({"speakers": FIRST})
