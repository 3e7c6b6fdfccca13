"""What a run has found for a sink is there for the next."""

from __future__ import annotations

import pytest

from phasegraph_sinks.soundcard import found_buffers
from phasegraph_sinks.soundcard.found_buffers import FoundBuffer, found_buffer, keep_found_buffer

FIRST, SECOND = FoundBuffer(2_666_666, 'buffer = "2.688ms"'), FoundBuffer(5_333_333, 'buffer = "0.021ms"')


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    path = tmp_path / "state" / "card-buffers.json"
    monkeypatch.setattr(found_buffers, "state_file", lambda: path)
    return path


def test_each_sink_has_its_own():
    assert found_buffer("speakers on the default card") is None
    keep_found_buffer("speakers on the default card", FIRST)
    keep_found_buffer("speakers on 3", SECOND)
    assert (found_buffer("speakers on the default card"), found_buffer("speakers on 3")) == (FIRST, SECOND)
    keep_found_buffer("speakers on 3", FIRST)
    assert found_buffer("speakers on 3") == FIRST


def test_a_damaged_file_counts_as_none_and_is_replaced(file):
    file.parent.mkdir()
    file.write_text('{"speakers": {"cover_ns": "many"}}')
    assert found_buffer("speakers") is None
    keep_found_buffer("speakers", FIRST)
    assert found_buffer("speakers") == FIRST


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(found_buffers, "_MOST_SINKS", 2)
    for name in "abac":
        keep_found_buffer(name, FIRST)
    assert [found_buffer(name) for name in "abc"] == [FIRST, None, FIRST]
