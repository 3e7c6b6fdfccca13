"""The exposition: read by a strict parser, against its conventions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from phasegraph.control import RunStatus
from phasegraph_console.web.followed_run import FollowedRun
from phasegraph_console.web.lateness_buckets import EDGES_NS, lateness_buckets
from phasegraph_console.web.openmetrics import OpenMetricsPage

from .console_fakes import FakeRun, full_status, status, stream

WALL = datetime(2026, 11, 30, tzinfo=UTC)


def families(*statuses: RunStatus) -> dict[str, Any]:
    runs = []
    for each in statuses:
        run = FollowedRun(each.name, FakeRun(each.name).hello)
        run.add_status(each, 10.0, WALL)
        runs.append(run)
    text = OpenMetricsPage().text(runs, 10.5).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(family: Any, **labels: str) -> float:
    found = [sample for sample in family.samples if labels.items() <= sample.labels.items()]
    assert len(found) == 1, found
    return float(found[0].value)


def test_figures_are_in_base_units() -> None:
    found = families(full_status())
    assert value(found["phasegraph_clock_bound_seconds"]) == pytest.approx(4e-6)
    assert value(found["phasegraph_clock_rate_ratio"]) == pytest.approx(12e-6)
    assert value(found["phasegraph_stream_packets_lost"], node="stage") == 2
    assert value(found["phasegraph_leg_packets_lost"], leg="b") == 5
    assert value(found["phasegraph_sender_pacing_error_p99_seconds"]) == pytest.approx(90e-6)
    assert value(found["phasegraph_crossing_correction_ratio"]) == pytest.approx(50.119e-6)
    assert value(found["phasegraph_card_rate_ratio"]) == pytest.approx(23e-6)
    assert value(found["phasegraph_run_cpu_seconds"], part="engine") == 2.25
    assert value(found["phasegraph_run_status_age_seconds"]) == 0.5
    assert value(found["phasegraph_run_start_timestamp_seconds"]) == datetime(2026, 11, 30, 2, tzinfo=UTC).timestamp()
    assert value(found["phasegraph_level_peak_dbfs"], channel="2") == -60
    assert value(found["phasegraph_level_phase_correlation_ratio"], channels="1-2") == -0.25
    locked = found["phasegraph_clock_state"]
    assert value(locked, phasegraph_clock_state="locked") == 1
    assert value(locked, phasegraph_clock_state="holdover") == 0
    (info,) = found["phasegraph_clock"].samples
    assert (info.name, info.labels["grandmaster"]) == ("phasegraph_clock_info", "62-D2-11-FF-FE-00-00-01")
    assert len(found["phasegraph_node"].samples) == 4


def test_the_link_offset_is_an_edge_and_exact() -> None:
    samples = families(full_status())["phasegraph_stream_lateness_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert buckets["0.003"] == 10_000 - 1  # of the bin beyond 2.7 ms, packets_late tells that one was late
    assert buckets["0.002"] == 9000
    assert buckets["+Inf"] == 10_000
    assert {sample.name.rpartition("_")[2] for sample in samples} == {"bucket", "count", "sum"}


def test_names_follow_the_conventions() -> None:
    found = families(full_status(), full_status("attic"))
    for name, family in found.items():
        assert re.fullmatch(r"phasegraph_[a-z0-9_]+", name), name
        assert family.documentation, name
        assert not re.search(r"_(ns|ms|us|ppb|ppm)(_|$)", name), name
        assert not name.endswith("_total"), name
        for sample in family.samples:
            assert sample.labels["run"] in ("hall", "attic")
            if family.type == "counter":
                assert sample.name == f"{name}_total"


def test_a_run_that_has_ended_is_down_and_has_no_figures() -> None:
    run = FollowedRun("hall", FakeRun().hello)
    run.add_status(status(), 0.0, WALL)
    run.end("it was stopped", 1.0, WALL)
    text = OpenMetricsPage().text([run], 2.0).decode()
    assert 'phasegraph_run_up{run="hall"} 0' in text
    assert "phasegraph_clock" not in text
    assert OpenMetricsPage().text([], 0.0) == b"# EOF\n"


def test_what_is_kept_of_a_run_is_of_its_newest_status() -> None:
    page = OpenMetricsPage()
    hall, attic = FollowedRun("hall", FakeRun().hello), FollowedRun("attic", FakeRun().hello)
    for run in (hall, attic):
        run.add_status(full_status(), 0.0, WALL)
    first = page.text([hall, attic], 1.0)
    assert first.count(b"# TYPE phasegraph_stream_packets_lost counter") == 1
    assert page.text([hall, attic], 1.0) == first
    older = page.text([hall, attic], 3.0).decode()
    assert 'phasegraph_run_status_age_seconds{run="hall"} 3' in older
    hall.add_status(status(nodes={"stage": stream(packets_lost=77)}), 4.0, WALL)
    newer = page.text([hall, attic], 4.0).decode()
    assert 'phasegraph_stream_packets_lost_total{node="stage",run="hall"} 77' in newer
    assert 'phasegraph_stream_packets_lost_total{node="stage",run="attic"} 2' in newer
    assert newer == OpenMetricsPage().text([hall, attic], 4.0).decode()
    attic.end("it was stopped", 5.0, WALL)
    assert 'node="stage"' not in page.text([attic], 5.0).decode()


def test_a_stranger_s_text_stays_a_label() -> None:
    evil = '\u2028# x"} 1\nphasegraph_run_up{run="fake"} 1\\'
    found = families(status(nodes={"stage": stream(sender=evil)}))
    assert [sample.labels["sender"] for sample in found["phasegraph_stream_sender"].samples] == [evil]
    assert [sample.labels["run"] for sample in found["phasegraph_run_up"].samples] == ["hall"]


@given(
    bins=st.dictionaries(st.integers(-(10**9), 10**10), st.integers(1, 10**6), max_size=30),
    link_offset_ns=st.integers(1, 10**9),
    late=st.integers(0, 10**7),
)
def test_buckets_rise_whatever_the_figures_are(bins: dict[int, int], link_offset_ns: int, late: int) -> None:
    text = " ".join(f"{edge}:{bins[edge]}" for edge in sorted(bins))
    found = lateness_buckets({"lateness_histogram": text, "link_offset_ns": link_offset_ns, "packets_late": late})
    assert found is not None
    edges, counts = zip(*found.counts, strict=True)
    assert list(edges) == [*sorted({*EDGES_NS, link_offset_ns}), float("inf")]
    assert list(counts) == sorted(counts)
    assert counts[-1] == sum(bins.values())
    assert (found.sum_ns is None) == any(edge <= 0 for edge in bins)


@pytest.mark.parametrize("text", [5, "x:y", "1:2:3", "1", None])
def test_a_histogram_that_is_none(text: Any) -> None:
    assert lateness_buckets({} if text is None else {"lateness_histogram": text}) is None
