"""What ``latency = "lowest"`` makes of the responses of the data plane."""

from __future__ import annotations

import pytest

from phasegraph_sinks.soundcard.lowest_buffer import ROOM_NS, SETTLING_NS, START_NS, WINDOW_NS, LowestBuffer

RATE = 48_000
CYCLE = 48
"""A millisecond."""
MS = 1_000_000
PLENTY = 1 << 40


class Filled:
    """A ring that is filled once a millisecond."""

    def __init__(self, cover_ns: int = START_NS) -> None:
        self.lowest = LowestBuffer(RATE, cover_ns)
        self.now_ns = 0
        self.fill(0.1)
        self.now_ns += SETTLING_NS

    @property
    def cycles(self) -> int:
        return self.lowest.depth(CYCLE) // CYCLE

    def fill(
        self, response_ms: float, room: int = PLENTY, *, underrun: bool = False, count: int = 1, every_ns: int = MS
    ):
        changes = []
        for _ in range(count):
            self.now_ns += every_ns
            found = self.lowest.note_fill(self.now_ns, CYCLE, round(response_ms * MS), room, underrun=underrun)
            changes += [found.name] if found else []
        return changes


@pytest.mark.parametrize(("period", "depth"), [(64, 129), (96, 97), (128, 129), (1024, 1025), (24, 97)])
def test_begins_with_whole_cycles_that_cover_two_milliseconds(period, depth):
    assert LowestBuffer(RATE).depth(period) == depth


def test_holds_while_three_quarters_of_the_cycles_suffice():
    ring = Filled()
    assert ring.fill(1.5, count=1000) == []
    assert ring.cycles == 2


def test_is_raised_before_an_underrun_to_what_the_response_needs():
    ring = Filled()
    assert ring.fill(1.6) == ["buffer_raised"]
    assert ring.cycles == 3
    assert ring.fill(2.25, count=1000) == []
    assert ring.fill(3.0) == ["buffer_raised"]
    assert ring.cycles == 4


def test_an_underrun_that_no_response_explains_adds_one_cycle():
    ring = Filled()
    assert ring.fill(0.1, underrun=True) == ["buffer_raised"]
    assert ring.cycles == 3


def test_one_stall_doubles_it_at_most():
    ring = Filled()
    ring.fill(300.0, underrun=True)
    assert ring.cycles == 4


def test_it_is_never_more_than_a_quarter_of_a_second():
    ring = Filled()
    ring.fill(1000.0, underrun=True, count=50)
    assert ring.cycles == 250


def test_no_more_is_taken_than_the_input_has_had_ready_for_ten_seconds():
    ring = Filled()
    ring.fill(0.1, room=CYCLE)
    ring.fill(0.1)
    assert ring.fill(300.0) == ["buffer_raised"]
    assert ring.cycles == 3
    assert ring.fill(300.0, count=100) == ["buffer_short"], "said once"
    assert ring.cycles == 3
    ring.fill(0.1, count=20, every_ns=ROOM_NS // 10)
    ring.fill(300.0)
    assert ring.cycles == 6


def test_what_is_raised_is_taken_from_the_room_that_was_measured():
    ring = Filled()
    ring.fill(0.1, room=3 * CYCLE)
    for _ in range(10):
        ring.fill(300.0)
    assert ring.cycles == 5


def test_the_first_fills_decide_nothing():
    lowest = LowestBuffer(RATE)
    assert lowest.note_fill(0, CYCLE, 50 * MS, PLENTY, underrun=True) is None
    assert lowest.note_fill(SETTLING_NS - 1, CYCLE, 50 * MS, PLENTY, underrun=True) is None
    assert lowest.depth(CYCLE) == 2 * CYCLE + 1


@pytest.mark.parametrize(("room", "cycles"), [(0, 8), (-1, 7), (-3 * CYCLE, 5), (-100 * CYCLE, 1)])
def test_what_an_earlier_run_found_is_cut_to_what_the_input_has_ready(room, cycles):
    lowest = LowestBuffer(RATE, 8 * MS)
    lowest.note_fill(0, CYCLE, MS, room, underrun=False)
    change = lowest.note_fill(SETTLING_NS, CYCLE, MS, PLENTY, underrun=False)
    assert (change is not None and change.name == "buffer_lowered") == (cycles < 8)
    assert lowest.depth(CYCLE) == cycles * CYCLE + 1


def test_one_cycle_is_given_back_after_ten_minutes_of_short_responses():
    ring = Filled(cover_ns=4 * MS)
    assert ring.fill(1.5, count=10, every_ns=WINDOW_NS // 10) == ["buffer_lowered"]
    assert ring.cycles == 3
    assert ring.fill(1.1, count=20, every_ns=WINDOW_NS // 10) == []
    assert ring.cycles == 3


def test_one_long_response_keeps_it_for_the_window():
    ring = Filled(cover_ns=4 * MS)
    ring.fill(1.6)
    assert ring.fill(0.1, count=12, every_ns=WINDOW_NS // 10) == []
    assert ring.fill(0.1, count=8, every_ns=WINDOW_NS // 10) == ["buffer_lowered"]


def test_a_card_of_another_period_gets_as_much_time():
    ring = Filled(cover_ns=4 * MS)
    assert ring.lowest.depth(64) == 3 * 64 + 1
    assert ring.lowest.depth(1024) == 1025
