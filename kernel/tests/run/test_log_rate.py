"""Log lines that strangers can cause are limited; the next line counts those that were dropped."""

from __future__ import annotations

import pytest
import structlog

from phasegraph._run.logging import LINES_OF_EVENT, LINES_OF_NODE, WINDOW_S, RateLimit


class Log:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[dict[str, object]] = []
        self._limit = RateLimit(lambda: self.now_s)

    def write(self, event: str, node: str = "stage") -> bool:
        try:
            self.lines.append(dict(self._limit(None, "info", {"event": event, "node": node})))
        except structlog.DropEvent:
            return False
        return True


def test_a_flood_of_one_event_costs_a_few_lines_and_is_counted() -> None:
    log = Log()
    assert sum(log.write("source_changed") for _ in range(10_319)) == LINES_OF_EVENT
    assert log.write("stream_silent"), "other events of the node are logged"
    assert log.write("source_changed", "other"), "and those of other nodes"
    log.now_s = WINDOW_S
    assert log.write("source_changed")
    assert log.lines[-1] == {"event": "source_changed", "node": "stage", "not_logged": 10_319 - LINES_OF_EVENT}
    assert log.write("source_changed")
    assert "not_logged" not in log.lines[-1]


def test_many_kinds_of_lines_are_limited_together() -> None:
    log = Log()
    assert sum(log.write(f"session {number}") for number in range(5000)) == LINES_OF_NODE


@pytest.mark.parametrize("nodes", [5000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_memory_is_bounded(nodes: int) -> None:
    log = Log()
    for number in range(nodes):
        log.write("event", f"node {number}")
    assert len(log._limit._windows) <= 1000
