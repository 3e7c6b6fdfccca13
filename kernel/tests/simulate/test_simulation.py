"""Whole graphs against a simulated world: which node runs, what is counted, and that the seed determines the run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trio

from phasegraph import (
    ClockConfig,
    ClockKind,
    GraphError,
    SinkConfig,
    SinkKind,
    SourceConfig,
    SourceKind,
    Stream,
    StreamFormat,
    hookimpl,
)
from phasegraph.testing import sim_registry

from .conftest import IDEAL, PLAYING, scenario

MS = 10**6
BUSY = """
[clock]
noise = "2us"
[network]
jitter = "100us"
loss = 0.01
loss-burst = 3
reorder = 0.005
duplicate = 0.002
[local]
rate-offset = "-12ppm"
[card]
rate-offset = "37.3ppm"
warm-up = "3ppm"
stalls = [{at = "5s", lasts = "30ms"}]
"""


FILE_AND_SECOND_CARD = """
[sources.line]
kind = "sim-sequence"
duration = "3s"
[sinks.file]
kind = "scroll"
input = "line"
[sinks.monitor]
kind = "mouth"
input = ["stage", "line"]
compensator = "align"
"""


class Refusing:
    """A node that must not run."""

    def __init__(self, config, build, input=None):
        clock = build.clock(config.clock) if isinstance(config, OnAClock) else _NoClock()
        self.stream = Stream(StreamFormat(48_000, 3), window_ns=10**9, clock=clock, playout_delay_ns=100 * MS)

    async def run(self, ctx, *, task_status=trio.TASK_STATUS_IGNORED):
        raise AssertionError("it touches the world")

    def metrics(self):
        raise AssertionError("it touches the world")


class _NoClock:
    def estimate(self):
        raise AssertionError("a card's own clock is used")


class OnAClock(SourceConfig, frozen=True, kw_only=True):
    clock: str | None = None


MADE = {"config": SinkConfig, "factory": Refusing}


class ThirdParty:
    """A plugin that Phasegraph does not know."""

    @hookimpl
    def register_clocks(self):
        return [ClockKind(kind="own", summary="Own.", config=ClockConfig, factory=Refusing)]

    @hookimpl
    def register_sources(self):
        return [
            SourceKind(kind="ether", summary="In.", config=OnAClock, factory=Refusing),
            SourceKind(kind="ear", summary="In.", config=SourceConfig, factory=Refusing, domain="device"),
        ]

    @hookimpl
    def register_sinks(self):
        return [
            SinkKind(kind="radio", summary="Out.", **MADE),
            SinkKind(kind="mouth", summary="Out.", domain="device", **MADE),
            SinkKind(kind="scroll", summary="Out.", domain="none", **MADE),
        ]


@pytest.fixture
def strange():
    registry = sim_registry()
    registry.add("strange", "1", ThirdParty())
    return registry


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(simulate):
    graph = PLAYING.replace('kind = "sim-align"', 'kind = "sim-align"\nresampler = "sim-linear"')
    reports = [json.dumps(simulate(graph, BUSY, for_s=12, seed=seed, audio_s=2)) for seed in (5, 5, 6)]
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]


@pytest.mark.slow
def test_the_order_in_which_trio_runs_tasks_changes_nothing(simulate, strange):
    # Trio draws that order at random. Here several nodes and the run's own tasks wake together.
    graph = PLAYING.replace('"sim-clock"', '"own"') + FILE_AND_SECOND_CARD
    reports = {json.dumps(simulate(graph, BUSY, registry=strange, for_s=5)) for _ in range(4)}
    assert len(reports) == 1


def test_every_node_that_touches_the_world_is_substituted(simulate, strange):
    graph = """
    schema = 1
    [clocks.house]
    kind = "own"
    [sources.net]
    kind = "ether"
    [sources.mic]
    kind = "ear"
    [sources.line]
    kind = "sim-sequence"
    channels = 1
    [compensators.align]
    kind = "sim-align"
    [sinks.speakers]
    kind = "mouth"
    input = ["net", "line"]
    compensator = "align"
    [sinks.air]
    kind = "radio"
    input = ["mic", "net"]
    compensator = "align"
    [sinks.file]
    kind = "scroll"
    input = "net"
    """
    report = simulate(graph.replace('"ether"', '"ether"\n clock = "house"'), scenario(), registry=strange, for_s=3)
    assert set(report["simulation"]["substituted"]) == {"house", "net", "mic", "speakers", "air", "file"}
    metrics = {id: node["metrics"] for id, node in report["nodes"].items()}
    assert {node["state"] for node in report["nodes"].values()} <= {"running", "ended"}
    assert metrics["house"]["true_offset_error_max_ns"] <= 2
    assert metrics["net"]["packets_received"] == pytest.approx(3000, abs=500)
    assert metrics["mic"]["frames_in"] == pytest.approx(144_000, abs=24_000)
    assert metrics["speakers"]["frames_out"] == pytest.approx(144_000, abs=24_000)
    assert metrics["air"]["packets_sent"] == pytest.approx(3000, abs=500)
    assert metrics["file"]["frames_in"] == pytest.approx(144_000, abs=24_000)
    assert metrics["line"]["frames_in"] > 144_000


@pytest.mark.parametrize("ppm", [-60, pytest.param(80, marks=pytest.mark.slow)])
def test_a_card_that_records_is_followed_by_a_sender(simulate, strange, ppm):
    graph = PLAYING.replace('"sim-source"\nclock = "house"\nlink-offset = "40ms"', '"ear"').replace("sim-card", "radio")
    report = simulate(graph, scenario(card=f'rate-offset = "{ppm}ppm"'), registry=strange, for_s=20)
    edge = report["edges"]["stage->card"]["metrics"]
    # Of a card that is fast more frames come than are sent: the ratio is above one.
    assert edge["ratio_ppb"] == pytest.approx(1000 * ppm, rel=0.02)
    assert edge["true_alignment_error_max_frames"] == pytest.approx(2 * 48e-3 * abs(ppm), rel=0.1)
    assert (edge["underruns"], edge["missing_frames"], edge["resyncs"]) == (0, 0, 0)
    assert report["nodes"]["stage"]["metrics"]["device_rate_ppb"] == pytest.approx(1000 * ppm, abs=10)


def test_what_a_network_loses_is_missing_and_counted_once(simulate):
    report = simulate(world=scenario(network="loss = 0.02\nloss-burst = 2"), for_s=10)
    source, edge = report["nodes"]["stage"]["metrics"], report["edges"]["stage->card"]["metrics"]
    assert source["packets_lost"] + source["packets_received"] == pytest.approx(10_000, abs=60)
    assert source["packets_lost"] == pytest.approx(200, rel=0.2)
    assert edge["missing_frames"] == pytest.approx(48 * source["packets_lost"], abs=48 * 12)
    assert edge["underruns"] == 0  # what is lost is no reason to be late
    assert source["frames_concealed"] == 48 * source["packets_lost"]


def test_a_link_offset_that_is_too_short_starves_the_card_and_says_by_how_much(simulate):
    report = simulate(PLAYING.replace("40ms", "10ms"), for_s=10)
    edge = report["edges"]["stage->card"]["metrics"]
    # Two blocks in the card, the one that is read, a packet, and up to a quantum until it is found: 21 ms.
    assert edge["underruns"] > 1500
    assert -11.6 * 48 <= edge["true_margin_min_frames"] <= -6 * 48


def test_late_packets_are_late_for_source_and_sink(simulate):
    report = simulate(world=scenario(network='burst = "60ms"'), for_s=10)
    assert report["nodes"]["stage"]["metrics"]["packets_late"] > 2000
    assert report["nodes"]["stage"]["metrics"]["lateness_max_ns"] == pytest.approx(61 * MS, abs=MS)
    assert report["edges"]["stage->card"]["metrics"]["missing_frames"] > 0


def test_an_xrun_is_an_event_and_costs_no_alignment(simulate):
    report = simulate(world=scenario(card='rate-offset = "20ppm"\nstalls = [{at = "8s", lasts = "100ms"}]'), for_s=12)
    (xrun,) = [event for event in report["events"] if event["name"] == "xrun"]
    metrics = report["nodes"]["card"]["metrics"]
    assert (metrics["xruns"], metrics["lost_frames"]) == (1, xrun["lost_frames"])
    # At the stall, two blocks of 256 frames and what is left of one are in the card.
    assert 100 * 48 - 3 * 256 <= xrun["lost_frames"] <= 100 * 48 - 2 * 256
    edge = report["edges"]["stage->card"]["metrics"]
    assert edge["true_overall_alignment_error_max_frames"] < 2.1
    assert edge["resyncs"] == 0


def test_a_new_grandmaster_within_the_bound_costs_nothing(simulate):
    world = scenario(grandmaster='changes = [{at = "7s", step = "20us"}]')
    edge = simulate(world=world, for_s=12)["edges"]["stage->card"]["metrics"]
    assert (edge["resyncs"], edge["underruns"], edge["missing_frames"]) == (0, 0, 0)
    assert edge["true_alignment_error_max_frames"] == pytest.approx(0.96, abs=0.05)


def test_a_new_grandmaster_hours_away_is_jumped_to(simulate):
    world = scenario(grandmaster='changes = [{at = "7s", step = "2h", silence = "1s"}]')
    report = simulate(world=world, for_s=12)
    assert report["nodes"]["house"]["metrics"]["true_overall_offset_error_max_ns"] == 7200 * 10**9
    edge = report["edges"]["stage->card"]["metrics"]
    assert edge["true_time_to_lock_s"] == 0
    assert abs(edge["phase_error_ns"]) < 100


@pytest.mark.slow
def test_two_cards_with_their_own_clocks_stay_together(simulate):
    graph = PLAYING + "".join(
        line.replace("house]", "annex]")
        .replace('"house"', '"annex"')
        .replace("stage", "other")
        .replace("card]", "left]")
        for line in PLAYING.replace("schema = 1", "").replace("compensators.align", "compensators.too").splitlines(True)
    )
    world = (
        scenario(clock='noise = "1us"') + '[cards.card]\nrate-offset = "8ppm"\n[cards.left]\nrate-offset = "-6ppm"\n'
    )
    report = simulate(graph, world.replace('[clock]\nnoise = "1us"\nnoise = "0ns"', '[clock]\nnoise = "1us"'), for_s=36)
    # Each is off by what its compensator needs: 16 us and -12 us.
    assert report["simulation"]["true_apart_rms_ns"] == pytest.approx(28_000, rel=0.1)
    assert report["simulation"]["true_apart_max_ns"] < 36_000
    assert 0 < report["simulation"]["true_clocks_apart_p99_ns"] <= report["simulation"]["true_clocks_apart_max_ns"]
    metrics = [report["nodes"][id]["metrics"] for id in ("house", "annex")]
    assert metrics[0]["apart_ns"] == metrics[1]["apart_ns"] == abs(metrics[0]["offset_ns"] - metrics[1]["offset_ns"])


@pytest.mark.slow
def test_the_same_tone_comes_out_whatever_was_only_counted_before(simulate):
    report = simulate(world=IDEAL, for_s=20, audio_s=5)
    assert report["nodes"]["card"]["metrics"]["true_thd_n_db"] < -130  # nothing to resample: whole frames


def test_a_file_is_read_and_none_is_written(simulate, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("phasegraph_sinks")
    samples = np.zeros((48_000, 2), np.float32)
    soundfile.write(tmp_path / "in.wav", samples, 48_000)
    graph = """
    schema = 1
    [clocks.house]
    kind = "sim-clock"
    [sources.programme]
    kind = "file"
    path = "in.wav"
    [sinks.copy]
    kind = "file"
    input = "programme"
    path = "out.wav"
    [sinks.card]
    kind = "sim-card"
    input = "programme"
    """
    report = simulate(graph, folder=tmp_path)
    assert report["ended"] == "completed"
    assert [report["nodes"][id]["metrics"][name] for id, name in (("copy", "frames_in"), ("card", "frames_out"))] == [
        48_000,
        48_000,
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ("[cards.spekers]\nblock = 64\n", "cards.spekers: the graph has no node"),
        ("[clocks.card]\nnoise = '1us'\n", "clocks.card: the graph has no node"),
        ("[networks.card]\nloss = 0.5\n", "networks.card: the graph has no node"),
    ],
)
def test_a_scenario_names_nodes_that_are_there(make, tables, words):
    with pytest.raises(GraphError, match=words):
        make(world=IDEAL + tables)
