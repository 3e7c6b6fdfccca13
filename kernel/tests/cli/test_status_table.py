"""The status as an operator reads it: trouble first, in columns that fit."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from phasegraph._cli.status import Status, json_status, plain_status
from phasegraph._cli.status_table import node_details, phrases_of, status_lines
from phasegraph._core.terminal import printable_output
from phasegraph._run.logging import make_log
from phasegraph.control import EdgeStatus, NodeStatus, RunStatus

TROUBLE = (
    "no packet received for 2 s; the sender has stopped, or the network does not carry its group to this interface"
)


def node(role: str = "source", **more: Any) -> NodeStatus:
    return NodeStatus(
        **{"role": role, "kind": "any", "pace": "none", "state": "running", "severity": 0, "text": "", "metrics": {}}
        | more
    )


STAGE = {
    "packets_received": 63_000,
    "packets_lost": 12,
    "packets_late": 3,
    "lateness_p99_ns": 9_900_000,
    "lateness_recent_p99_ns": 3_100_000,
    "link_offset_ns": 10_000_000,
    "level_peak_dbfs_1": -20.5,
    "level_peak_dbfs_2": -18.25,
    "sender_rate_ppb": 1020.0,
    "sender": "10.77.0.2",
}


def snapshot(severity: int = 0, **more: Any) -> RunStatus:
    trouble = TROUBLE if severity else ""
    nodes = {
        "house": node("clock", metrics={"state": "locked", "bound_ns": 5200.0, "grandmaster": "gm", "rate_ppb": -10.0}),
        "stage": node(
            severity=severity,
            trouble=trouble,
            text=f"{trouble}; received 63 000 packets" if trouble else "received 63 000 packets",
            metrics=STAGE,
            rates={"1": {"packets_received": 1000.2}},
            recent={"packets_received": 10_000, "packets_lost": 2},
        ),
    }
    edge = EdgeStatus(crossing=True, metrics={"state": "locked", "phase_error_ns": -1200, "ratio_ppb": 50_119.0})
    return RunStatus(
        **{
            "name": "hall",
            "graph": "hall.toml",
            "profile": None,
            "pid": 1,
            "started_at": "",
            "duration_s": 63.4,
            "stopping": False,
            "trouble": [f"stage: {trouble}"] if trouble else [],
            "nodes": nodes,
            "edges": {"stage->speakers": edge, "stage->take": EdgeStatus(crossing=False, metrics={})},
        }
        | more
    )


def shown(status: RunStatus, width: int, height: int = 100) -> list[str]:
    return [line.text for line in status_lines(status, width, height)]


def test_all_is_well_at_80_columns() -> None:
    assert shown(snapshot(), 80) == [
        "  hall: running for 0:01:03, all 3 are well",
        "  NODE            STATE      NOW            LOST 10s/all      LATE  dBFS     PPM",
        "  house           locked     ±5.2 µs                                       -0.01",
        "  stage           running    1000 packets/s         2/15 █░░░  31% -18.2   +1.02",
        "  stage->speakers locked     -1.2 µs                                      +50.12",
    ]


def test_the_senders_are_shown_at_120_columns() -> None:
    lines = shown(snapshot(), 120)
    assert lines[1].endswith("FROM")
    assert lines[3].endswith("███░░░░░░░  31%  -18.2     +1.02 10.77.0.2")
    assert max(map(len, lines)) <= 120


def test_trouble_is_first_and_wrapped_not_cut() -> None:
    lines = status_lines(snapshot(1), 60)
    assert lines[0].severity == 1
    assert lines[0].text.startswith("! stage: no packet received for 2 s; the sender has")
    assert " ".join(line.text[2:] for line in lines[:2]) == f"stage: {TROUBLE}"
    assert lines[2].text == "  hall: running for 0:01:03, 1 of 3 in trouble"
    assert lines[4].text.split()[:2] == ["!", "stage"]


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("severity", [0, 1, 3])
def test_lines_fit_any_width(width: int, severity: int) -> None:
    lines = shown(snapshot(severity), width)
    assert max(map(len, lines)) <= width
    assert any("stage" in line for line in lines)


def test_what_does_not_fit_the_height_is_counted_with_its_worst_severity() -> None:
    status = snapshot(nodes={f"n{number:02}": node(severity=1, trouble="bad") for number in range(64)}, edges={})
    lines = status_lines(status, 80, 24)
    assert len(lines) == 24
    assert lines[-1] == (1, "! and 47 more: kernel status --format json")


def test_what_goes_on_is_above_what_was_lost() -> None:
    lossy = node(severity=1, trouble="5 lost in the last 10 s", recent={"packets_lost": 5})
    status = snapshot(nodes={"a": lossy, "b": node(severity=1, trouble="no packet received for 1 s")}, edges={})
    assert [line.text.split(":")[0] for line in status_lines(status, 80)][:2] == ["! b", "! a"]


def test_foreign_text_does_not_control_the_terminal() -> None:
    nodes = {"\x1b[31m": node(severity=1, trouble="\x1b]0;x\x07", text="\x1b[2J", metrics={"sender": "\x1b[1m"})}
    status = snapshot(nodes=nodes, edges={})
    lines = [*status_lines(status, 120), *(node_details(status, "\x1b[31m", 120) or [])]
    assert not any("\x1b" in line.text or "\x07" in line.text for line in lines)


def test_details_have_every_figure_beside_its_recent_rates() -> None:
    details = [line.text for line in node_details(snapshot(1), "stage", 80) or []]
    assert details[0] == "! source stage (any): running"
    assert any(line.split() == ["packets_received", "63000", "1000.2/s"] for line in details)
    assert any(line.split() == ["sender", "10.77.0.2"] for line in details)
    assert max(map(len, details)) <= 80
    assert node_details(snapshot(), "stage->speakers", 80)
    assert node_details(snapshot(), "nothing", 80) is None


def test_a_line_for_logs() -> None:
    line = json.loads(json_status(snapshot(1)))
    assert (line["event"], line["duration_s"], line["trouble"]) == ("status", 63.4, [f"stage: {TROUBLE}"])
    assert line["nodes"]["stage"]["severity"] == 1
    assert set(line["nodes"]) == {"house", "stage", "stage->speakers"}
    assert plain_status(snapshot(1)).startswith("hall: running for 0:01:03, 1 of 3 in trouble | stage: no packet")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_of_the_log_is_above_the_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with printable_output():
        log = make_log()
        with Status("live") as status:
            status.show(snapshot())
            rows = terminal.getvalue().count("\n") + 1
            log.info("stamps", node="house")
            status.show(snapshot())
    before, _, after = terminal.getvalue().partition("stamps")
    assert before.count("\x1b[1A\x1b[2K") == rows - 1, "the table is cleared first"
    assert "NODE" in after, "and drawn again below"
    assert "node" in after.split("NODE")[0]


def test_a_phrase_with_a_semicolon_in_brackets_stays_whole() -> None:
    phrases = [
        "received 9 packets",
        "arrived 1 ms late (median; 99 % (of all; also late) within 2 ms)",
        "link offset 20 ms",
    ]
    assert phrases_of("; ".join(phrases)) == phrases
    assert phrases_of("") == []


def test_a_run_of_one_node_is_well_and_one_that_ends_says_after_which_time() -> None:
    alone = snapshot(nodes={"house": node("clock")}, edges={}, stopping=True)
    assert shown(alone, 80)[0] == "  hall: ending after 0:01:03, all is well"


def test_digital_silence_has_no_level_of_its_own() -> None:
    nodes = {"take": node("sink", metrics={"frames_in": 0, "peak_dbfs": -200.0})}
    heading, row = shown(snapshot(nodes=nodes, edges={}), 80)[1:3]
    assert heading.split()[-1] == "dBFS"
    assert row.split()[-1] == "-inf"
