"""A sweep: its jobs, the file of its results, and what it says of them."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import msgspec
import pytest

from phasegraph import GraphError
from phasegraph.simulation.compare.seed_statistics import confidence_words, share_interval
from phasegraph.simulation.sweep.sweep_jobs import SweepJob, SweepOutcome, plan_jobs
from phasegraph.simulation.sweep.sweep_summary import summarise
from phasegraph.simulation.sweep.sweep_table import as_json, as_table
from phasegraph.simulation.sweep.worker_pools import default_processes

from .test_recommend import GOOD


def plan(folder: Path, *, seeds: int = 2, **changes: object) -> list[SweepJob]:
    path = folder / "graph.toml"
    path.write_text("schema = 1\n")
    options: dict[str, object] = {
        "profile": None,
        "overrides": ("sinks.card.rate=48kHz",),
        "over": {"compensators.align.time": ["5s", "20s"], "sinks.card.level": ["0dBFS"]},
        "strategies": ["combined", "feed-forward"],
        "scenarios": ["studio", "usb-card"],
        "seeds": range(1, seeds + 1),
        "for_ns": 10**9,
        **changes,
    }
    return plan_jobs(path, **options)  # type: ignore[arg-type]


def outcome(job: SweepJob, **figures: object) -> SweepOutcome:
    result = msgspec.structs.replace(GOOD, strategy=job.strategy, scenario=job.scenario, **figures)
    return SweepOutcome(key=job.key, result=result)


def test_every_combination_is_a_job_and_a_stopped_sweep_has_the_same_seeds_of_each_candidate(tmp_path: Path) -> None:
    jobs = plan(tmp_path)
    assert len(jobs) == len({job.key for job in jobs}) == 2 * 1 * 2 * 2 * 2
    assert [job.seed for job in jobs] == [1] * 8 + [2] * 8
    assert jobs[0].overrides == ("sinks.card.rate=48kHz", "compensators.align.time=5s", "sinks.card.level=0dBFS")
    assert jobs[0].candidate == "combined time=5s level=0dBFS"
    assert "summary" in jobs[0].scenario_text


def test_a_job_is_named_by_all_that_its_result_follows_from(tmp_path: Path) -> None:
    (first, *_), (again, *_) = plan(tmp_path), plan(tmp_path)
    assert first.key == again.key
    for change in ({"seed": 9}, {"graph_text": "schema = 1\n#"}, {"scenario_text": "x"}, {"for_ns": 1}):
        assert msgspec.structs.replace(first, **change).key != first.key


def test_a_scenario_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match='no scenario "studioo"'):
        plan(tmp_path, scenarios=["studioo"])


def test_quantiles_are_values_that_were_measured_and_an_event_that_never_came_is_the_greatest(tmp_path: Path) -> None:
    jobs = plan(tmp_path, over={}, strategies=["combined"], scenarios=["studio"], seeds=20)
    times: list[float | None] = [float(seed) for seed in range(1, 20)]
    outcomes = {job.key: outcome(job, time_to_lock_s=time) for job, time in zip(jobs, [*times, None], strict=True)}
    summary = summarise(jobs, outcomes)
    (spread,) = summary.spreads
    figure = spread.figures["time_to_lock_s"]
    assert (figure.low, figure.median, figure.high) == (1.0, 10.0, 19.0)
    assert figure.median_from < figure.median < figure.median_to
    assert summarise(jobs, outcomes) == summary
    never = {job.key: outcome(job, time_to_lock_s=None) for job in jobs}
    assert math.isinf(summarise(jobs, never).spreads[0].figures["time_to_lock_s"].median)
    plain = as_json(summarise(jobs, never), "r.arrows")
    assert plain["spreads"][0]["figures"]["time_to_lock_s"]["median"] is None
    assert "never (never..never)" in "\n".join(as_table(summarise(jobs, never), "r.arrows"))


def test_the_recommendation_says_how_sure_it_is(tmp_path: Path) -> None:
    jobs = plan(tmp_path, over={}, scenarios=["studio"], seeds=10)
    outcomes = {job.key: outcome(job, underruns=int((job.strategy == "combined") == (job.seed == 3))) for job in jobs}
    summary = summarise(jobs, outcomes)
    assert (summary.recommended, summary.seeds_won, summary.seeds) == ("combined", 9, 10)
    assert (round(summary.share_from, 2), round(summary.share_to, 2)) == (0.55, 1.0)
    words = " ".join(as_table(summary, "r.arrows"))
    assert "It is chosen with 9 of 10 seeds, so with 55 to 100 % of all seeds (95 % confidence). That is sure." in words
    few = [job for job in jobs if job.seed == 1]
    assert "That is not sure" in " ".join(as_table(summarise(few, outcomes), "r.arrows"))


def test_a_candidate_that_failed_is_not_recommended_and_a_seed_without_all_results_does_not_count(
    tmp_path: Path,
) -> None:
    jobs = plan(tmp_path, over={}, scenarios=["studio"], seeds=2)
    outcomes = {job.key: outcome(job) for job in jobs if job.strategy == "feed-forward" or job.seed == 1}
    outcomes[jobs[0].key] = SweepOutcome(key=jobs[0].key, failure="card: it burns")
    summary = summarise(jobs, outcomes)
    assert (summary.recommended, summary.seeds_won, summary.seeds) == ("feed-forward", 1, 1)
    assert "1 of 1 failed" in "\n".join(as_table(summary, "r.arrows"))
    nothing = summarise(jobs, {})
    assert nothing.recommended == ""
    assert "No recommendation" in " ".join(as_table(nothing, "r.arrows"))


def test_lines_fit_eighty_columns(tmp_path: Path) -> None:
    jobs = plan(tmp_path, seeds=2)
    outcomes = {job.key: outcome(job, time_to_lock_s=1234.5) for job in jobs}
    assert max(map(len, as_table(summarise(jobs, outcomes), "r.arrows"))) <= 80


def test_the_interval_of_a_share_is_exact() -> None:
    # Clopper and Pearson's closed form for all of them: the tenth root of 2.5 %.
    assert share_interval(10, 10) == pytest.approx((0.025**0.1, 1.0))
    assert share_interval(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert tuple(round(edge, 3) for edge in share_interval(5, 10)) == (0.187, 0.813)
    assert share_interval(50_000, 100_000) == pytest.approx((0.4969, 0.5031), abs=1e-4)


@pytest.mark.parametrize("seeds", range(1, 30))
def test_two_equal_candidates_are_seldom_called_sure(seeds: int) -> None:
    sure = [won for won in range(seeds + 1) if "That is sure" in confidence_words(max(won, seeds - won), seeds)]
    assert sum(math.comb(seeds, won) for won in sure) / 2**seeds <= 0.05


def test_processes_are_as_many_as_cores_where_the_system_does_not_say_which_may_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert default_processes() == os.cpu_count()


class TestFile:
    """Rows are kept as they come."""

    @pytest.fixture(autouse=True)
    def _needs_pyarrow(self) -> None:
        pytest.importorskip("pyarrow", reason="a sweep needs pyarrow: dev.py add 'phasegraph[sweep]'")

    def test_a_file_that_was_cut_anywhere_has_all_rows_before_the_cut(self, tmp_path: Path) -> None:
        from phasegraph.simulation.sweep.results_file import ResultsFile, read_outcomes

        jobs = plan(tmp_path, scenarios=["studio"])
        path = tmp_path / "r.arrows"
        ends = []
        with ResultsFile(path, []) as file:
            empty = path.stat().st_size
            for number, job in enumerate(jobs):
                failed = SweepOutcome(key=job.key, failure="card: it burns")
                file.append(job, failed if number == 1 else outcome(job, time_to_lock_s=None if number == 2 else 3.5))
                ends.append(path.stat().st_size)
        whole = path.read_bytes()
        assert list(read_outcomes(path)) == [job.key for job in jobs]
        kept: dict[str, SweepOutcome] = read_outcomes(path)
        assert kept[jobs[1].key].failure == "card: it burns"
        assert kept[jobs[3].key].result == outcome(jobs[3], time_to_lock_s=3.5).result
        for cut in range(empty, len(whole), 97):
            path.write_bytes(whole[:cut])
            rows = sum(end <= cut for end in ends)
            assert list(read_outcomes(path)) == [job.key for job in jobs[:rows]], cut

    def test_another_file_is_refused_with_a_remedy(self, tmp_path: Path) -> None:
        from phasegraph.simulation.sweep.results_file import read_outcomes

        (tmp_path / "r.arrows").write_bytes(b"RIFF" * 1000)
        with pytest.raises(GraphError, match="give the sweep another file"):
            read_outcomes(tmp_path / "r.arrows")

    def test_what_is_there_is_not_run_again_and_failures_are(self, tmp_path: Path) -> None:
        from phasegraph.simulation.sweep.sweep_run import run_sweep

        jobs = plan(tmp_path, scenarios=["studio"])
        ran: list[str] = []

        def pool(left):  # type: ignore[no-untyped-def]
            for job in left:
                ran.append(job.key)
                yield outcome(job) if job.seed == 1 else SweepOutcome(key=job.key, failure="no")

        first = run_sweep(jobs, tmp_path / "r.arrows", pool, lambda done: None)
        assert len(ran) == len(jobs) == len(first)
        ran.clear()
        again = run_sweep(jobs, tmp_path / "r.arrows", pool, lambda done: None)
        assert set(ran) == {job.key for job in jobs if job.seed == 2}
        assert again == first
        with pytest.raises(GraphError, match="results of another sweep"):
            run_sweep(plan(tmp_path, scenarios=["usb-card"]), tmp_path / "r.arrows", pool, lambda done: None)
