"""The system clock says whether the system's own time is right."""

from __future__ import annotations

from typing import Any

import pytest

from phasegraph import SystemLocalClock
from phasegraph._system_clock import NtpState, SystemClock, SystemClockConfig, read_ntp_state


class Context:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append((name, fields))


class Build:
    local = SystemLocalClock()


def clock(*states: NtpState | None) -> SystemClock:
    left = list(states)
    return SystemClock(SystemClockConfig(), Build(), lambda: left.pop(0))  # type: ignore[arg-type]


LOST, FOUND = NtpState(False, 16_000_000_000), NtpState(True, 1_200_000)


def test_what_ntp_knows_is_a_metric() -> None:
    assert clock(LOST).metrics() == {"ntp": "not synchronised"}
    assert clock(FOUND).metrics() == {"ntp": "synchronised", "ntp_max_error_ns": 1_200_000}
    assert clock(None).metrics() == {}


def test_changes_are_events() -> None:
    ctx = Context()
    it = clock(FOUND, FOUND, LOST, None, LOST, FOUND)
    for _ in range(5):
        it._check_ntp(ctx)  # type: ignore[arg-type]
    assert [name for name, _ in ctx.events] == ["ntp_lost", "ntp_synchronised"]
    assert "NTP" in ctx.events[0][1]["reason"]


@pytest.mark.skipif(read_ntp_state() is None, reason="the system does not tell")
def test_the_system_is_asked() -> None:
    state = read_ntp_state()
    assert state is not None
    assert state.max_error_ns >= 0
