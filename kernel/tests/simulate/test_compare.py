"""Strategies side by side, each with its options, on the same worlds."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegraph import CompensatorKind, Correction, GraphError, NodeError, hookimpl
from phasegraph._core.invocation import install_command
from phasegraph._graph_file import parse_graph
from phasegraph._run.logging import make_log
from phasegraph.simulation.compare.comparison import compare, with_strategy
from phasegraph.simulation.compare.plot import draw
from phasegraph.simulation.nodes.sim_align import SimAlignConfig
from phasegraph.simulation.scenario import parse_scenario
from phasegraph.testing import sim_registry

from .conftest import PLAYING, scenario


class Held:
    """Knows the ratio beforehand."""

    def __init__(self, config, rate):
        self.ppb = -config.time / 1e6  # as a test says it

    def observe(self, observation):
        pass

    def decide(self, local_ns):
        return Correction(ratio_ppb=self.ppb, locked=True)


def refuse(config, rate):
    raise NodeError("it cannot take this", "nothing helps")


class Strategies:
    @hookimpl
    def register_compensators(self):
        return [
            CompensatorKind(kind="held", summary="Holds.", config=SimAlignConfig, factory=Held),
            CompensatorKind(kind="refusing", summary="Refuses.", config=SimAlignConfig, factory=refuse),
        ]


@pytest.fixture
def registry():
    registry = sim_registry(only=["kernel"])
    registry.add("strategies", "1", Strategies())
    return registry


GRAPH = PLAYING + '[compensators.known]\nkind = "held"\ntime = "25s"\n'
WORLD = scenario(card='rate-offset = "25ppm"')


@pytest.fixture
def run(registry):
    def run(strategies, worlds=(WORLD,), graph=GRAPH, for_s=20, **options):
        return compare(
            parse_graph(graph, registry, Path.cwd()),
            registry,
            [parse_scenario(world, f"world-{number}") for number, world in enumerate(worlds)],
            strategies=strategies,
            for_ns=for_s * 10**9,
            seed=1,
            log=make_log(level="error"),
            **options,
        )

    return run


@pytest.mark.parametrize("for_s", [8, 20])
@pytest.mark.slow
def test_all_kinds_that_can_take_the_crossing_are_compared_and_the_others_named(run, for_s):
    found = run(None, (WORLD, scenario()), for_s=for_s)
    assert found.strategies == ["held", "sim-align"]
    assert found.scenarios == ["world-0", "world-1"]
    assert found.left_out == {"refusing": "it cannot take this"}
    assert (found.tone_hz, found.notch_hz) == (10_000, 20)
    held, align = (result for result in found.results if result.scenario == "world-0")
    # The one has the ratio from its options, the other a third of it and so 2.4 frames of error.
    assert held.ratio_error_rms_ppb < 2
    assert held.alignment_error_max_frames < 0.05
    assert held.time_to_rate_lock_s == held.time_to_lock_s == 0
    assert align.alignment_error_max_frames == pytest.approx(2.4, rel=0.02)
    assert align.time_to_lock_s is None
    assert align.pitch_slope_max_ppb_per_s > 1000
    assert held.latency_ns == pytest.approx(40_000_000, abs=2000)
    assert held.thd_n_db is not None


def test_options_are_kept_where_a_kind_or_an_id_matches(registry):
    graph = parse_graph(GRAPH, registry, Path.cwd())
    assert with_strategy(graph, registry, "held").nodes["align"].config.time == 25 * 10**9
    assert with_strategy(graph, registry, "known").nodes["align"].kind.kind == "held"
    assert with_strategy(graph, registry, "sim-align").nodes["align"].config.time == 2 * 10**9
    assert graph.nodes["align"].kind.kind == "sim-align"
    without = parse_graph(PLAYING, registry, Path.cwd())
    assert with_strategy(without, registry, "held").nodes["align"].config.time == 200_000_000


@pytest.mark.parametrize(
    ("strategies", "graph", "words"),
    [
        (["hold"], GRAPH, "--strategies hold: there is no kind or compensator"),
        (["refusing"], GRAPH, r"--strategies refusing: compensators.align: it cannot take this \(nothing helps\)"),
        (None, GRAPH.replace('"sim-card"', '"sim-recorder"').replace('"align"', '"known"'), "nothing to compare"),
    ],
)
def test_what_cannot_be_compared_is_said(run, strategies, graph, words):
    with pytest.raises(GraphError, match=words):
        run(strategies, graph=graph)


def test_two_scenarios_of_one_name_are_refused(registry):
    worlds = [parse_scenario(world, "hall") for world in (WORLD, scenario())]
    graph = parse_graph(GRAPH, registry, Path.cwd())
    with pytest.raises(GraphError, match='two scenarios have the name "hall" .*rename one'):
        compare(graph, registry, worlds, strategies=None, for_ns=10**9, seed=1, log=make_log(level="error"))


@pytest.mark.slow
def test_a_plot_is_drawn(run, tmp_path):
    pytest.importorskip("matplotlib", reason="phasegraph[plot] is not installed")
    found = run(["held", "sim-align"], keep_points=True)
    assert 180 < len(found.results[0].points) < 220
    draw(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(GraphError, match="--plot: cannot write"):
        draw(found, tmp_path / "no" / "plot.png")


def test_without_matplotlib_one_sentence_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(GraphError, match="--plot: drawing needs matplotlib, which is not installed") as raised:
        draw(run(["held"], for_s=1), tmp_path / "plot.png")
    assert raised.value.problems[0].hint == install_command("phasegraph[plot]")
