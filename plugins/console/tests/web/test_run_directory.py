"""Runs are found, followed, lost and found again; what they say reaches every reader, and none holds it up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from phasegraph_console.web.event_stream import COMMENT_S, send_changes
from phasegraph_console.web.followed_run import MOST_CLOCK_POINTS, MOST_EVENTS, FollowedRun
from phasegraph_console.web.run_directory import (
    ENDED_S,
    MOST_ENDED,
    MOST_WAITING_EVENTS,
    SILENT_S,
    ChangeFeed,
    RunChange,
    RunDirectory,
)
from phasegraph_console.web.run_headline import headline

from .console_fakes import FakeMachine, FakeRun, clock, event, status, stream

WALL = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)


@asynccontextmanager
async def following(machine: FakeMachine) -> AsyncIterator[RunDirectory]:
    directory = RunDirectory(machine.find, machine.connect)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(directory.run)
        await trio.sleep(0.5)
        yield directory
        nursery.cancel_scope.cancel()


async def test_a_run_is_found_lost_and_found_again(autojump_clock: MockClock) -> None:
    machine = FakeMachine(hall := FakeRun())
    async with following(machine) as directory:
        hall.send(status())
        await trio.sleep(0.1)
        overview = directory.runs["hall"].overview(trio.current_time())
        assert (overview.state, overview.ended_at, overview.age_s) == ("running", None, 0.1)
        with machine.gone("hall"):
            await trio.sleep(2)
        overview = directory.runs["hall"].overview(trio.current_time())
        assert overview.state == "ended"
        assert overview.ended_at is not None
        assert overview.headline == "The run ended: its process has closed the control socket."
        assert machine.followed == set()
        again = machine.runs["hall"] = FakeRun()
        await trio.sleep(2)
        again.send(status())
        await trio.sleep(0.1)
        assert directory.runs["hall"].overview(trio.current_time()).state == "running"
        await trio.sleep(2)
        assert machine.followed == {"hall"}, "what is followed needs no second connection each second"


async def test_a_run_that_was_stopped_says_so(autojump_clock: MockClock) -> None:
    machine = FakeMachine(hall := FakeRun())
    async with following(machine) as directory:
        hall.send(status(stopping=True))
        await trio.sleep(0.1)
        with machine.gone("hall"):
            await trio.sleep(1)
        assert directory.runs["hall"].ended_because == "it was stopped"


async def test_a_run_that_does_not_answer_is_unreachable_until_it_does(autojump_clock: MockClock) -> None:
    async with following(FakeMachine(hall := FakeRun())) as directory:
        hall.send(event("overrun"))
        await trio.sleep(SILENT_S - 0.6)
        assert directory.runs["hall"].state == "running"
        await trio.sleep(5)
        assert directory.runs["hall"].state == "unreachable"
        hall.send(status())
        await trio.sleep(0.1)
        assert directory.runs["hall"].state == "running"
        assert len(directory.runs["hall"].events) == 1


@pytest.mark.slow
async def test_old_runs_are_forgotten(autojump_clock: MockClock) -> None:
    machine = FakeMachine()
    async with following(machine) as directory:
        for number in range(MOST_ENDED + 5):
            run = machine.runs[f"run-{number}"] = FakeRun(f"run-{number}")
            await trio.sleep(1.1)
            with machine.gone(run.hello.name):
                await trio.sleep(1.1)
        assert list(directory.runs) == [f"run-{number}" for number in range(5, MOST_ENDED + 5)]
        await trio.sleep(ENDED_S)
        assert list(directory.runs) == []


async def test_a_large_run_is_asked_less_often_and_soon_after_an_event(autojump_clock: MockClock) -> None:
    machine = FakeMachine(hall := FakeRun())
    nodes = {f"stream-{number}": stream() for number in range(128)}
    async with following(machine) as directory:
        hall.send(status(nodes=nodes))
        await trio.sleep(0.1)
        assert directory.runs["hall"].interval_s == 4.0
        hall.send(event("stream_silent"))
        await trio.sleep(0.1)
        hall.send(status(nodes=nodes, trouble=["stage: silent"]))
        await trio.sleep(1)
        assert directory.runs["hall"].overview(trio.current_time()).headline == "stage: silent."


async def test_readers_get_overviews_and_events(autojump_clock: MockClock) -> None:
    machine = FakeMachine(hall := FakeRun())
    async with following(machine) as directory:
        hall.send(status())
        await trio.sleep(0.1)
        sent: list[str] = []

        async def send_lines(lines: bytes) -> None:
            sent.append(lines.decode())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_changes, directory, None, send_lines)
            await trio.sleep(0.1)
            assert sent[0] == "retry: 1000\n\n"
            assert sent[1].startswith('event: overview\ndata: {"name":"hall","state":"running"')
            assert sent[2:] == ["event: ready\ndata: {}\n\n"]
            hall.send(event("packets_come_late", reason="too \n short"))
            await trio.sleep(0.1)
            assert sent[3].startswith('event: event\ndata: {"run":"hall","event":{"number":1,')
            assert sent[3].count("\n") == 3  # a line feed in a stranger's text does not end the line
            await trio.sleep(COMMENT_S)
            assert sent[4:] == [": nothing new\n\n"]
            nursery.cancel_scope.cancel()
        assert directory.readers == 0


async def test_a_slow_reader_gets_the_newest_status_and_a_bounded_number_of_events() -> None:
    feed = ChangeFeed()
    run = FollowedRun("hall", FakeRun().hello)
    for number in range(MOST_WAITING_EVENTS + 7):
        feed.queue_change(RunChange("hall", None))
        feed.queue_change(RunChange("hall", run.add_event(event("overrun", number=number), 0, WALL)))
    changes = await feed.next_changes()
    assert len(changes) == MOST_WAITING_EVENTS + 1
    assert changes[-1] == RunChange("hall", None)
    assert feed.events_lost == 7


def test_what_is_remembered_of_a_run_is_bounded() -> None:
    run = FollowedRun("hall", FakeRun().hello)
    for number in range(MOST_CLOCK_POINTS + 10):
        run.add_status(status(), number, WALL)
        run.add_event(event("overrun"), 0, WALL)
    history = run.history()
    assert len(history.events) == MOST_EVENTS
    assert len(history.clocks["house"]) == MOST_CLOCK_POINTS
    run.add_status(status(nodes={}), 0, WALL)
    assert run.history().clocks == {}


def test_a_clock_s_correction_is_the_distance_from_where_it_was_expected() -> None:
    run = FollowedRun("hall", FakeRun().hello)
    second, offset = 1_000_000_000, 1_764_460_800_000_000_000
    readings = [(0, offset, 10_000.0), (second, offset + 10_000, 10_000.0), (2 * second, offset + 20_250, 10_000.0)]
    for local_ns, offset_ns, rate_ppb in readings:
        figures = clock(local_ns=local_ns, offset_ns=offset_ns, rate_ppb=rate_ppb)
        run.add_status(status(nodes={"house": figures}), 0, WALL)
    corrections = [point.correction_ns for point in run.history().clocks["house"]]
    assert corrections == [None, 0.0, 250.0]


def test_an_event_has_the_time_of_day_at_which_it_happened() -> None:
    run = FollowedRun("hall", FakeRun().hello)
    timed = run.add_event(event("overrun", at_ns=5_000_000_000), 7_500_000_000, WALL)
    assert timed.at == "2026-11-30T01:59:57.500Z"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "The run has not answered yet."),
        (status(stopping=True), "The run is ending: sinks write and send what they have."),
        (status(), "The stream is healthy: 400 µs to spare."),
        (
            status(nodes={"a": stream(), "b": stream(link_offset_ns=4_000_000)}),
            "Both streams are healthy. The tightest is a: 400 µs to spare.",
        ),
        (
            status(nodes={"a": stream(lateness_max_ns=5_000_000, lateness_p99_ns=4_000_000)}),
            "The stream is healthy now. Earlier, packets of a came later than its link offset.",
        ),
        (status(nodes={"house": clock()}), "No node of the run is in trouble."),
        (status(trouble=["stage: silent"]), "stage: silent."),
        (status(trouble=["stage: silent", "x: y", "z: z"]), "stage: silent. And two other nodes in trouble."),
    ],
)
def test_the_sentence_on_top(given: Any, sentence: str) -> None:
    assert headline(given) == sentence
