"""The recommendation follows its rules, in their order, and says why."""

from __future__ import annotations

import msgspec
import pytest

from phasegraph.simulation.compare.comparison import Result, StrategyComparison
from phasegraph.simulation.compare.recommend import recommend
from phasegraph.simulation.compare.table import as_json, as_table

GOOD = Result(
    strategy="",
    scenario="studio",
    time_to_lock_s=2.0,
    time_to_rate_lock_s=5.0,
    alignment_error_rms_frames=0.1,
    alignment_error_max_frames=0.4,
    wander_rms_frames=0.1,
    wander_pp_frames=0.4,
    pitch_slope_max_ppb_per_s=150.0,
    ratio_error_rms_ppb=100.0,
    underruns=0,
    resyncs=0,
    missing_frames=0,
    latency_ns=40_000_000,
    thd_n_db=-130.0,
)


def comparison(*results: Result) -> StrategyComparison:
    return StrategyComparison(
        duration_s=600, seed=0, tone_hz=10_000, notch_hz=20, results=results, left_out={"none": "it refuses"}
    )


def of(strategy: str, scenario: str = "studio", **changes) -> Result:
    return msgspec.structs.replace(GOOD, strategy=strategy, scenario=scenario, **changes)


@pytest.mark.parametrize(
    ("one", "other", "because"),
    [
        ({"thd_n_db": -60.0}, {"underruns": 1}, "the fewest gaps in the audio (0 underruns and resyncs; b: 1 underrun"),
        ({"thd_n_db": -60.0}, {"resyncs": 3}, "b: 3 underruns and resyncs"),
        ({"thd_n_db": -60.0}, {"alignment_error_rms_frames": 7.0}, "the frames nearest to their time"),
        ({"thd_n_db": -60.0}, {"pitch_slope_max_ppb_per_s": 9000.0}, "the steadiest pitch (0.15 ppm/s; b: 9 ppm/s)"),
        ({"wander_rms_frames": 9.0}, {"thd_n_db": -100.0}, "the cleanest tone (THD+N -130 dB; b: THD+N -100 dB)"),
        ({"time_to_rate_lock_s": 60.0}, {"wander_rms_frames": 0.5}, "the least wander"),
        ({}, {"time_to_rate_lock_s": None}, "the quickest lock (5 s; b: never)"),
    ],
)
def test_an_earlier_rule_beats_all_later_ones(one, other, because):
    for order in (("a", "b"), ("b", "a")):
        changes = {"a": one, "b": other}
        found = recommend(comparison(*(of(name, **changes[name]) for name in order)))
        assert found.strategy == "a"
        assert because in found.reason


@pytest.mark.parametrize(
    "change",
    [
        {"alignment_error_rms_frames": 0.9},
        {"pitch_slope_max_ppb_per_s": 190.0},
        {"thd_n_db": -121.0},
        {"wander_rms_frames": 0.12},
    ],
)
def test_an_inaudible_difference_does_not_count(change):
    found = recommend(comparison(of("b", **change), of("a")))
    assert (found.strategy, found.reason) == ("b", "no rule separates them")


def test_the_worst_scenario_counts():
    results = (of("a", "studio"), of("a", "lossy", resyncs=2), of("b", "studio", resyncs=1), of("b", "lossy"))
    assert recommend(comparison(*results)).strategy == "b"


def test_one_alone_is_the_only_one():
    assert recommend(comparison(of("a"))).reason == "it is the only one"


def test_the_table_has_a_row_for_each_and_says_what_was_measured():
    results = comparison(of("a"), of("b", time_to_lock_s=None, thd_n_db=None), of("a", "lossy"), of("b", "lossy"))
    lines = as_table(results, recommend(results))
    assert [line.split() for line in lines if line.startswith(("studio", "lossy"))] == [
        ["studio", "a", "b"],
        ["lossy", "a", "b"],
    ]
    rows = [line for line in lines if line.startswith("  ")]
    assert len(rows) == 2 * 12
    assert rows[0].split()[:2] == ["aligned", "after"]
    assert rows[0].endswith(" never")
    assert rows[11].endswith(" -")
    assert {len(line) for line in rows[:12]} == {len(lines[0])}
    text = " ".join(lines)
    assert "10000 Hz" in text
    assert "+-20 Hz" in text
    assert "Left out is the strategy 'none': it refuses." in text
    assert "Recommended: a, because" in text


def test_where_every_strategy_has_underruns_the_table_says_that_the_link_offset_is_too_short():
    results = comparison(of("a", "lossy"), of("b", "lossy", underruns=2), *(of(n, "far", underruns=3) for n in "ab"))
    text = " ".join(as_table(results, recommend(results)))
    assert "In far frames arrive after their time with every strategy: the link offset is too short." in text
    assert "In lossy" not in text


def test_the_table_fits_a_terminal_of_80_columns_however_many_strategies_there_are():
    names = ["combined", "buffer-feedback", "ptp-feed-forward", "none", "a-strategy-with-a-long-name-of-its-own"]
    results = comparison(*(of(name) for name in names))
    lines = as_table(results, recommend(results))
    assert max(map(len, lines)) <= 80
    heads = [line.split()[1:] for line in lines if line.startswith("studio")]
    assert [name for head in heads for name in head] == names
    assert len(heads) == 2


def test_the_json_has_all_of_it_but_the_points():
    results = comparison(of("a", points=[(0.0, 1.0, 2.0)]), of("b", underruns=4))
    document = as_json(results, recommend(results), "graph.toml")
    assert [result["strategy"] for result in document["results"]] == ["a", "b"]
    assert "points" not in document["results"][0]
    assert document["recommendation"]["strategy"] == "a"
    assert document["left_out"] == {"none": "it refuses"}
    assert msgspec.json.decode(msgspec.json.encode(document))["results"] == document["results"]


def test_of_several_seeds_the_strategy_chosen_most_often_is_recommended_with_how_sure_that_is():
    seeds = [comparison(of("a", underruns=int(seed == 3)), of("b", underruns=int(seed != 3))) for seed in range(8)]
    first, *later = (each.results for each in seeds)
    several = msgspec.structs.replace(seeds[0], results=first, later=tuple(later))
    found = recommend(several)
    assert (found.strategy, found.won, found.seeds) == ("a", {"a": 7, "b": 1}, 8)
    words = " ".join(as_table(several, found))
    assert (
        "It is chosen with 7 of 8 seeds, so with 47 to 100 % of all seeds (95 % confidence). That is not sure" in words
    )
    assert "Chosen too: b with 1." in words
    assert "1 (0..1)" in words
    plain = as_json(several, found, "graph.toml")
    assert [result["seed"] for result in plain["results"]] == [seed for seed in range(8) for _ in "ab"]
    assert plain["spreads"][0]["figures"]["underruns"]["median"] == 0
    assert "one seed does not say" in " ".join(as_table(seeds[0], recommend(seeds[0])))


def test_a_table_of_several_seeds_fits_eighty_columns():
    several = msgspec.structs.replace(
        comparison(of("buffer-feedback"), of("ptp-feed-forward")),
        later=((of("buffer-feedback", time_to_lock_s=None), of("ptp-feed-forward", wander_pp_frames=700.0)),),
    )
    assert max(map(len, as_table(several, recommend(several)))) <= 80
