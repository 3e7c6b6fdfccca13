"""What a run has learned of a device is known to the next one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from phasegraph import Correction, DeviceRate, Stream, StreamFormat
from phasegraph._run.crossing import CrossingTap
from phasegraph._run.device_rates import DeviceRateStore


class Clock:
    def estimate(self):
        raise AssertionError("not asked")


def built(device="ALSA: card", *, clock="ptp", rate=None, locked=True):
    """A graph with one crossing, at the end of a run in which the card was found to be so fast."""
    stream = Stream(StreamFormat(48_000, 1), window_ns=10**8, clock=Clock(), playout_delay_ns=10**7)
    tap = CrossingTap(stream, None, SimpleNamespace(reach=1))
    tap.device = device
    tap.correction = Correction(0.0, locked=locked, device=rate)
    nodes = {"house": SimpleNamespace(kind=SimpleNamespace(kind=clock)), "stage": SimpleNamespace(domain="house")}
    return SimpleNamespace(
        graph=SimpleNamespace(nodes=nodes), edges=[SimpleNamespace(tap=tap, edge=SimpleNamespace(source="stage"))]
    )


@pytest.fixture
def learned(tmp_path):
    warnings = []
    made = DeviceRateStore(tmp_path / "state" / "devices.json", warnings.append)
    made.warnings = warnings
    return made


def recalled(learned, graph):
    learned.attach(graph)
    return graph.edges[0].tap.recall()


def test_the_next_run_knows(learned):
    learned.keep(built(rate=DeviceRate(37_300.5, 120.0)))
    assert recalled(learned, built()) == DeviceRate(37_300.5, 120.0)
    learned.keep(built(rate=DeviceRate(-5.0, 1.0)))
    assert recalled(learned, built()) == DeviceRate(-5.0, 1.0)


def test_another_device_or_another_kind_of_clock_is_another_thing(learned):
    learned.keep(built(rate=DeviceRate(37_300.5, 120.0)))
    assert recalled(learned, built("ALSA: other")) is None
    assert recalled(learned, built(clock="system")) is None
    assert recalled(learned, built("")) is None


@pytest.mark.parametrize("graph", [{"locked": False}, {"device": ""}, {"rate": None}])
def test_only_what_is_sure_is_kept(learned, tmp_path, graph):
    learned.keep(built(**{"rate": DeviceRate(1.0, 1.0), **graph}))
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"ALSA: card, by ptp": {"rate_ppb": "x"}}', b"\xff"])
def test_a_damaged_file_is_an_empty_one(learned, tmp_path, content):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "devices.json").write_bytes(content)
    assert recalled(learned, built()) is None
    learned.keep(built(rate=DeviceRate(2.0, 1.0)))
    assert recalled(learned, built()) == DeviceRate(2.0, 1.0)


def test_the_oldest_of_very_many_are_forgotten(learned, tmp_path):
    for number in range(203):
        learned.keep(built(f"card {number}", rate=DeviceRate(1.0, 1.0)))
    learned.keep(built("card 3", rate=DeviceRate(2.0, 1.0)))
    kept = list(json.loads((tmp_path / "state" / "devices.json").read_bytes()))
    assert kept == [f"card {number}, by ptp" for number in (*range(4, 203), 3)]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["devices.json"]


def test_what_cannot_be_kept_is_told_and_no_failure(learned, tmp_path):
    (tmp_path / "state").write_text("in the way")
    learned.keep(built(rate=DeviceRate(2.0, 1.0)))
    assert "state" in learned.warnings[0]
