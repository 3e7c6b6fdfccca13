"""The rate of a device that one run has measured is known to the next one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from phasegraph import Correction, DeviceRate, Stream, StreamFormat
from phasegraph._run.crossing import CrossingFigures, CrossingTap
from phasegraph._run.device_rates import DeviceRateStore


class Clock:
    def estimate(self):
        raise AssertionError("not asked")


def built(device="ALSA: card", *, clock="ptp", rate=None, locked=True):
    """A graph with one crossing, at the end of a run in which the card was found to be so fast."""
    stream = Stream(StreamFormat(48_000, 1), window_ns=10**8, clock=Clock(), playout_delay_ns=10**7)
    tap = CrossingTap(stream, None, SimpleNamespace(reach=1))
    tap.device = device
    tap.figures.publish(CrossingFigures(correction=Correction(0.0, locked=locked, device=rate)))
    house = SimpleNamespace(kind=SimpleNamespace(kind=clock))
    nodes = {"house": house, "stage": SimpleNamespace(domain="house")}
    return SimpleNamespace(
        graph=SimpleNamespace(nodes=nodes), edges=[SimpleNamespace(tap=tap, edge=SimpleNamespace(source="stage"))]
    )


@pytest.fixture
def store(tmp_path):
    warnings = []
    made = DeviceRateStore(tmp_path / "state" / "devices.json", warnings.append)
    made.warnings = warnings
    return made


def remembered(store, graph):
    """As a new process does."""
    again = DeviceRateStore(store._file.path, store.warnings.append)
    return again.remembered_rate(graph.edges[0].tap.device, graph.graph.nodes["house"].kind.kind)


def test_the_next_run_remembers(store):
    store.save(built(rate=DeviceRate(37_300.5, 120.0)))
    assert remembered(store, built()) == DeviceRate(37_300.5, 120.0)
    store.save(built(rate=DeviceRate(-5.0, 1.0)))
    assert remembered(store, built()) == DeviceRate(-5.0, 1.0)


def test_another_device_or_another_kind_of_clock_is_another_thing(store):
    store.save(built(rate=DeviceRate(37_300.5, 120.0)))
    assert remembered(store, built("ALSA: other")) is None
    assert remembered(store, built(clock="system")) is None
    assert remembered(store, built("")) is None


@pytest.mark.parametrize("graph", [{"locked": False}, {"device": ""}, {"rate": None}])
def test_only_locked_rates_of_named_devices_are_stored(store, tmp_path, graph):
    store.save(built(**{"rate": DeviceRate(1.0, 1.0), **graph}))
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"ALSA: card, by ptp": {"rate_ppb": "x"}}', b"\xff"])
def test_a_damaged_file_is_an_empty_one(store, tmp_path, content):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "devices.json").write_bytes(content)
    assert remembered(store, built()) is None
    store.save(built(rate=DeviceRate(2.0, 1.0)))
    assert remembered(store, built()) == DeviceRate(2.0, 1.0)


def test_the_oldest_of_very_many_are_forgotten(store, tmp_path):
    for number in range(203):
        store.save(built(f"card {number}", rate=DeviceRate(1.0, 1.0)))
    store.save(built("card 3", rate=DeviceRate(2.0, 1.0)))
    kept = list(json.loads((tmp_path / "state" / "devices.json").read_bytes()))
    assert kept == [f"card {number}, by ptp" for number in (*range(4, 203), 3)]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["devices.json"]


def test_a_file_that_cannot_be_written_is_a_warning_and_no_failure(store, tmp_path):
    (tmp_path / "state").write_text("in the way")
    store.save(built(rate=DeviceRate(2.0, 1.0)))
    assert "state" in store.warnings[0]
