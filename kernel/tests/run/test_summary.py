"""The sentences about a run and its nodes."""

from __future__ import annotations

from typing import Any

import pytest

from phasegraph._cli.status import status_form
from phasegraph._run.summary import edge_phrases, node_phrases, severity, summary_lines

HOUR_NS = 3_600_000_000_000


def node(role: str = "source", state: str = "running", pace: str = "clock", **more: Any) -> dict[str, Any]:
    metrics = more.pop("metrics", {})
    return {"role": role, "kind": "any", "state": state, "pace": pace, "metrics": metrics, **more}


@pytest.mark.parametrize(
    ("metrics", "phrases"),
    [
        ({"state": "unlocked"}, "unlocked"),
        ({"state": "acquiring", "bound_ns": HOUR_NS}, "acquiring"),
        ({"state": "locked", "bound_ns": 18_600.0}, "locked, accurate to ±18.6 µs"),
        ({"state": "locked", "bound_ns": 5_000.0, "grandmaster": "system"}, "locked, accurate to ±5 µs"),
        (
            {"state": "locked", "grandmaster": "00-1D-C1-FF-FE-00-00-01", "domain": 3, "path_delay_ns": 2500.0},
            "locked; grandmaster 00-1D-C1-FF-FE-00-00-01, domain 3; path delay 2.5 µs",
        ),
        (
            {"state": "locked", "ntp": "not synchronised"},
            "locked; the system's time is not synchronised by NTP: start chrony or the like if others go by it",
        ),
        (
            {"state": "unlocked", "trouble": "no Announce in domain 3 on eth0"},
            "no Announce in domain 3 on eth0; unlocked",
        ),
    ],
)
def test_a_clock(metrics: dict[str, Any], phrases: str) -> None:
    assert "; ".join(node_phrases(node("clock", metrics=metrics))) == phrases


@pytest.mark.parametrize(
    ("metrics", "phrases"),
    [
        ({"packets_received": 1200}, "received 1 200 packets; none lost or late"),
        ({"packets_received": 9, "packets_lost": 1, "packets_late": 2}, "received 9 packets; 1 lost, 2 late"),
        ({"packets_received": 0}, "received 0 packets"),  # its trouble says why
        ({"packets_received": 0, "packets_foreign": 7}, "received 0 packets; 7 ignored from another sender"),
        (
            {"packets_received": 5, "packets_foreign": 6369, "foreign_sender": "10.77.0.2"},
            "received 5 packets; 6 369 ignored from another sender (10.77.0.2)",
        ),
        ({"packets_received": 0, "trouble": "nothing comes"}, "nothing comes; received 0 packets"),
        (
            {"packets_received": 5, "lateness_p50_ns": -5_790_000, "lateness_p99_ns": 9, "lateness_max_ns": 9},
            "received 5 packets; none lost or late; arrived 5.79 ms before media time (median; 99 % within 9 ns, at "
            "most 9 ns)",
        ),
        (
            {
                "packets_received": 5,
                "lateness_p50_ns": 1_070_000,
                "lateness_p99_ns": 1_580_000,
                "lateness_max_ns": 2_880_000,
                "link_offset_ns": 10**9,
            },
            "received 5 packets; none lost or late; arrived 1.07 ms after media time (median; 99 % within 1.58 ms, at "
            "most 2.88 ms); link offset 1 s",
        ),
    ],
)
def test_a_receiver(metrics: dict[str, Any], phrases: str) -> None:
    assert "; ".join(node_phrases(node(metrics=metrics))) == phrases


def test_a_recorder_without_a_frame_has_made_no_file() -> None:
    metrics = {"frames_in": 0, "file": "/takes/a.wav"}
    assert node_phrases(node("sink", metrics=metrics)) == ["recorded 0 frames", "no file so far: /takes/a.wav"]
    metrics["frames_in"] = 1
    assert node_phrases(node("sink", metrics=metrics)) == ["recorded 1 frame", "/takes/a.wav"]


@pytest.mark.parametrize(
    ("role", "pace", "name", "phrase"),
    [
        ("source", "none", "frames_out", "read 297 600 frames"),
        ("source", "device", "frames_out", "captured 297 600 frames"),
        ("sink", "none", "frames_in", "received 297 600 frames"),
        ("sink", "device", "frames_in", "played 297 600 frames"),
    ],
)
def test_files_and_cards(role: str, pace: str, name: str, phrase: str) -> None:
    assert node_phrases(node(role, pace=pace, metrics={name: 297_600})) == [phrase]


def test_trouble_is_more_urgent_than_health_and_failure_than_trouble() -> None:
    nodes = [
        node(),
        node(metrics={"trouble": "nothing comes"}),
        node(state="restarting"),
        node(state="failed"),
        node("clock", metrics={"state": "unlocked"}),
        node("clock", metrics={"state": "locked"}),
    ]
    assert [severity(each) for each in nodes] == [0, 1, 2, 3, 1, 0]


def test_a_crossing() -> None:
    metrics = {"ratio_ppb": 50_119.0, "resyncs": 1, "state": "locked", "phase_error_rms_frames": 0.0132}
    edge = {"crossing": True, "compensator": "align", "metrics": metrics}
    assert "; ".join(edge_phrases(edge)) == (
        "resampled at +50.119 ppm (align), locked; alignment rms 0.0132 frames; 1 resync"
    )


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        ("completed", "Completed after 10 s."),
        ("time", "Stopped after --for 10 s."),
        ("signal", "Stopped by a signal after 10 s."),
        ("failed", "Failed after 10 s."),
    ],
)
def test_how_a_run_ended(ended: str, line: str) -> None:
    report = {"ended": ended, "duration_s": 10.0, "virtual": False, "nodes": {}, "edges": {}}
    assert summary_lines(report) == [line]


@pytest.mark.parametrize(
    ("wanted", "log_format", "form"),
    [
        ("none", "json", "none"),
        (None, "json", "json"),
        ("live", "json", "json"),
        ("plain", "text", "plain"),
        ("live", "text", "live"),
        (None, "text", "plain"),
    ],
)
def test_the_form_of_the_status(wanted: str | None, log_format: str, form: str) -> None:
    assert status_form(wanted, log_format) == form


def test_a_failed_node_says_why_first() -> None:
    failed = node(
        "sink",
        state="failed",
        pace="none",
        failure="No space left on device",
        metrics={"frames_in": 5, "file": "a.wav"},
    )
    assert node_phrases(failed) == ["failed: No space left on device", "recorded 5 frames", "a.wav"]
    assert node_phrases(node("sink", state="ended")) == ["ended"]


@pytest.mark.parametrize(
    ("pacing", "phrase"),
    [
        ("thread", "left 20 µs after the planned time (median; 99 % within 50 µs)"),
        ("io-uring", "given to io_uring to leave 20 µs after the planned time (median; 99 % within 50 µs)"),
        ("queue", "given to the interface's queue to leave 20 µs after the planned time (median; 99 % within 50 µs)"),
    ],
)
def test_a_sender(pacing: str, phrase: str) -> None:
    figures = {"packets_sent": 1000, "pacing_error_p50_ns": 20_000, "pacing_error_p99_ns": 50_000, "pacing": pacing}
    assert node_phrases(node("sink", metrics=figures)) == ["sent 1 000 packets", phrase]
