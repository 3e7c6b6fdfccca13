"""Sources of a graph beside the sessions that are announced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from phasegraph import GraphNode, Role
from phasegraph_console.doctor.announced_sessions import Announcements, DiscoveredSession, DiscoveredStream
from phasegraph_console.doctor.session_checks import announced_reference, check_source

STREAM = DiscoveredStream(
    group="239.1.9.9", port=5004, encoding="L24", rate=48_000, channels=2, payload_type=98, packet_time_ns=1_000_000
)
STAGE = DiscoveredSession(name="stage", origin="10.77.0.1", streams=(STREAM,))
OPTIONS = {
    "session": None,
    "group": "239.1.9.9",
    "port": 5004,
    "encoding": "L24",
    "rate": 48_000,
    "channels": 2,
    "payload_type": None,
    "source": None,
    "link_offset": 20_000_000,
}


def source(**options: Any) -> GraphNode:
    config = SimpleNamespace(**(OPTIONS | options))
    return GraphNode(id="it", role=Role.SOURCE, kind=SimpleNamespace(kind="aes67"), config=config)  # type: ignore[arg-type]


def findings(sessions: tuple[DiscoveredSession, ...], **options: Any) -> list[tuple[str, str, str]]:
    found = check_source(source(**options), Announcements(listened_s=3, sessions=sessions))
    return [(finding.severity.value, finding.text, finding.remedy) for finding in found]


@pytest.mark.parametrize(
    ("options", "severity", "text", "remedy"),
    [
        ({}, "ok", "session 'stage' of 10.77.0.1 announces 239.1.9.9:5004, and fits", ""),
        ({"encoding": "L16"}, "wrong", "announces 239.1.9.9:5004 with encoding L24", 'set encoding = "L24"'),
        ({"rate": 44_100, "channels": 8}, "wrong", "rate 48000 and channels 2", "set rate = 48000, channels = 2"),
        ({"payload_type": 111}, "wrong", "with payload type 98", "set payload-type = 98"),
        ({"port": 5006}, "wrong", "239.1.9.9:5004 is announced, and the source has port 5006", "set port = 5004"),
        (
            {"group": "239.1.9.8"},
            "attention",
            "no announced session has 239.1.9.8:5004; announced: 'stage' at 239.1.9.9:5004",
            "set group, where one of these is meant",
        ),
        ({"link_offset": 500_000}, "wrong", "has packets of 1 ms, and the link offset is 500 µs", "set link-offset to"),
        ({"session": "stage", "group": None}, "ok", "session 'stage' is announced by 10.77.0.1", ""),
        ({"session": "hall", "group": None}, "attention", "no session 'hall' was announced within 3 s", "--for 35"),
    ],
)
def test_a_source_and_one_announced_session(options: dict[str, Any], severity: str, text: str, remedy: str) -> None:
    ((found, said, do),) = findings((STAGE,), **options)
    assert found == severity
    assert text in said
    assert remedy in do
    assert bool(do) == (severity != "ok")


def test_it_is_announced_on_another_interface() -> None:
    config = SimpleNamespace(**OPTIONS, interface="spare")
    node = GraphNode(id="it", role=Role.SOURCE, kind=SimpleNamespace(kind="aes67"), config=config)  # type: ignore[arg-type]
    silence, heard = Announcements(listened_s=3), Announcements(listened_s=3, sessions=(STAGE,))
    (finding,) = check_source(node, silence, {"eth0": heard})
    assert finding.text == "239.1.9.9:5004 is announced on eth0, and not on spare"
    assert finding.remedy == 'set interface = "eth0"'


def test_two_hosts_that_announce_one_address() -> None:
    rival = replace(STAGE, origin="10.77.0.3")
    (first, second) = findings((STAGE, rival))
    assert first[:2] == ("wrong", "10.77.0.1 and 10.77.0.3 both announce a stream to 239.1.9.9:5004")
    assert second[0] == "ok"
    assert len(findings((STAGE, rival), source="10.77.0.1")) == 1


def test_nothing_is_announced() -> None:
    unusable = DiscoveredSession(name="x", origin="10.0.0.1")
    assert findings(()) == findings((unusable,)) == [("ok", "no session was announced within 3 s", "")]


def test_many_sessions_are_not_all_named() -> None:
    many = tuple(replace(STAGE, name=f"s{number}") for number in range(9))
    ((_, said, _),) = findings(many, group="239.1.9.8")
    assert said.endswith("'s2' at 239.1.9.9:5004 and 6 more")


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, "ptp=x"),
        ({"port": 5006}, ""),
        ({"session": "stage", "group": None}, "ptp=x"),
        ({"session": "hall", "group": None}, ""),
    ],
)
def test_the_clock_of_an_announced_sender(options: dict[str, Any], reference: str) -> None:
    named = replace(STAGE, streams=(replace(STREAM, ts_refclk="ptp=x"),))
    heard = Announcements(listened_s=3, sessions=(named,))
    assert announced_reference(source(**options), heard) == reference
