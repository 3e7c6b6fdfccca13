"""The site: consoles that are read with their tokens, found by mDNS, and put together with the worst first."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph.control import RunStatus
from phasegraph_console.web.console_process import ConsoleSettings, run_console
from phasegraph_console.web.fleet_overview import ConsoleReading, site_overview
from phasegraph_console.web.fleet_watch import FleetConsole, FleetError, FleetWatch, read_fleet_file
from phasegraph_console.web.followed_run import FollowedRun
from phasegraph_console.web.run_directory import RunDirectory

from .console_fakes import FakeMachine, FakeRun, clock, status, stream
from .served import READ_ONLY, TOKENS, served

MASTER, OTHER = "62-D2-11-FF-FE-00-00-01", "62-D2-11-FF-FE-00-00-02"


def reading(console: str, *statuses: RunStatus, problem: str = "") -> ConsoleReading:
    runs = []
    for each in statuses:
        run = FollowedRun(each.name, FakeRun(each.name).hello)
        run.add_status(each, 0.0, datetime.now(UTC))
        runs.append(run.overview(0.0))
    return ConsoleReading(name=console, url="", problem=problem, runs=runs)


def room(name: str, grandmaster: str = MASTER, state: str = "locked", **figures: Any) -> RunStatus:
    return status(name, nodes={"house": clock(grandmaster=grandmaster, state=state), "stage": stream(**figures)})


@pytest.mark.parametrize(
    ("readings", "sentence"),
    [
        ([reading("here")], "No run on any console."),
        (
            [reading("here", room("hall")), reading("attic", room("bar", link_offset_ns=2_700_000))],
            f"All rooms follow {MASTER}. All streams are healthy; the tightest is attic/bar: stage, with 100 µs to",
        ),
        (
            [reading("a", room("hall")), reading("b", room("bar")), reading("c", room("pit", OTHER))],
            f"Rooms do not agree: c/pit follows {OTHER}, the others {MASTER}. ",
        ),
        ([reading("here", room("hall", state="holdover"))], "Not locked: here/hall."),
        (
            [reading("here", room("hall")), reading("b", room("bar", severity=1, text="silent"))],
            f"All rooms follow {MASTER}. The worst stream is b/bar: stage: silent.",
        ),
        ([reading("here", room("hall")), reading("b", problem="it answered 500")], "Not read: b. All rooms follow"),
    ],
)
def test_the_sentence_of_the_site(readings: list[ConsoleReading], sentence: str) -> None:
    assert site_overview(readings).headline.startswith(sentence)


def test_the_worst_stream_comes_first() -> None:
    tight = room("bar", link_offset_ns=2_700_000)
    silent = room("pit", severity=1, text="silent")
    site = site_overview([reading("here", room("hall")), reading("b", tight, silent)])
    assert [each.run for each in site.streams] == ["pit", "bar", "hall"]
    assert [(each.grandmaster, len(each.clocks)) for each in site.grandmasters] == [(MASTER, 3)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[consoles.hall]\nurl = 'ftp://hall'\n", "url"),
        ("[consoles.hall]\nurl = 'http://user@hall'\n", "url"),
        ("[consoles.hall]\nport = 5\n", "port"),
        ("consoles = 5", "consoles"),
        ("[", "fleet.toml"),
    ],
)
def test_a_wrong_file_of_the_fleet(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(FleetError, match=problem):
        read_fleet_file(path)
    with pytest.raises(FleetError, match="cannot read"):
        read_fleet_file(tmp_path / "nothing.toml")


def test_a_file_of_the_fleet(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(
        '[consoles.hall]\nurl = "https://hall.example:8420"\ntoken = "abc"\n[consoles.attic]\ntoken = "def"\n'
    )
    consoles = read_fleet_file(path)
    assert consoles["hall"] == FleetConsole(url="https://hall.example:8420", token="abc")
    assert consoles["attic"].url == ""


@pytest.mark.realtime
async def test_other_consoles_are_read_with_their_tokens_and_no_stranger_gets_one() -> None:
    def machine(name: str, *statuses: RunStatus) -> FakeMachine:
        runs = []
        for each in statuses:
            runs.append(FakeRun(each.name))
            runs[-1].send(each)
        return FakeMachine(*runs)

    asked = 0

    async def stranger(stream_: trio.SocketStream) -> None:
        nonlocal asked
        asked += 1

    async with (
        served(machine("hall", room("hall")), host="0.0.0.0") as hall,
        served(machine("attic", room("bar", OTHER)), host="0.0.0.0") as attic,
        trio.open_nursery() as nursery,
    ):
        (unknown,) = await nursery.start(partial(trio.serve_tcp, stranger, 0, host="127.0.0.1"))
        found = {
            "attic": f"http://127.0.0.1:{attic.port}",
            "evil": f"http://127.0.0.1:{unknown.socket.getsockname()[1]}",
        }
        fleet = FleetWatch(
            {
                "hall": FleetConsole(url=f"http://127.0.0.1:{hall.port}/", token=READ_ONLY),
                "attic": FleetConsole(token=READ_ONLY),  # where mDNS finds it
                "wrong": FleetConsole(url=f"http://127.0.0.1:{hall.port}", token="x"),
                "gone": FleetConsole(url="http://127.0.0.1:9", token="x"),
                "lost": FleetConsole(token="x"),
            },
            lambda: found,
        )
        nursery.start_soon(fleet.run)
        with trio.fail_after(20):
            while len([each for each in fleet.readings() if each.runs and each.runs[0].status]) < 2:
                await trio.sleep(0.05)
        by_name = {each.name: each for each in fleet.readings()}
        assert by_name["hall"].runs[0].name == "hall"
        assert by_name["attic"].runs[0].name == "bar"
        assert "refuses the token" in by_name["wrong"].problem
        assert by_name["gone"].problem
        assert by_name["lost"].problem == "not found by mDNS yet"
        assert "does not name it" in by_name["evil"].problem
        assert asked == 0
        assert site_overview(fleet.readings()).headline.startswith("Not read: ")
        nursery.cancel_scope.cancel()


@pytest.mark.realtime
async def test_a_console_with_a_fleet_serves_the_site() -> None:
    run = FakeRun()
    run.send(room("hall"))
    other = FakeMachine(run)
    async with served(other) as hall, trio.open_nursery() as nursery:
        consoles = {"hall": FleetConsole(url=f"http://127.0.0.1:{hall.port}")}
        empty = FakeMachine()
        settings = ConsoleSettings("127.0.0.1", 0, TOKENS, fleet=consoles)
        directory = RunDirectory(empty.find, empty.connect)
        start = partial(run_console, settings, lambda _: None, directory=directory)
        port = await nursery.start(start)
        with trio.fail_after(20):
            while True:
                site = (await hall.client.get(f"http://127.0.0.1:{port}/api/v1/fleet")).json()
                if site["streams"]:
                    break
                await trio.sleep(0.1)
        assert [console["name"] for console in site["consoles"]] == ["here", "hall"]
        assert site["headline"].startswith(f"All rooms follow {MASTER}.")
        nursery.cancel_scope.cancel()


@pytest.mark.realtime
def test_consoles_find_each_other_by_mdns() -> None:
    mdns = pytest.importorskip("phasegraph_console.web.mdns_consoles")
    name = f"hall-{time.time_ns()}"
    with (
        mdns.mdns_consoles("127.0.0.1", 8499, name, tls=True, announce=True),
        mdns.mdns_consoles("127.0.0.1", 8498, "", tls=False, announce=False) as found,
    ):
        deadline = time.monotonic() + 20
        while name not in found.urls() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found.urls()[name] == "https://127.0.0.1:8499"
