"""Which System API is asked, what is taken of its answer, and what runs get of it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_nmos.system_api.global_parameters import clock_changes, parse_global
from phasegraph_nmos.system_api.system_client import (
    FIRST_PAUSE_NS,
    LONGEST_PAUSE_NS,
    SETTLE_NS,
    SystemApi,
    SystemClient,
    announced_system,
)

from ..nmos_vectors import check_schema, example, needs_vectors

S = 1_000_000_000
TXT = {"api_ver": "v1.0", "api_proto": "http", "pri": "0", "api_auth": "false"}
GLOBAL: dict[str, Any] = {
    "id": "3b8be755-08ff-452b-b217-c9151eb21193",
    "version": "1441700172:318426300",
    "label": "ZBQ",
    "description": "",
    "tags": {},
    "is04": {"heartbeat_interval": 8},
    "ptp": {"announce_receipt_timeout": 2, "domain_number": 57},
}


def api(number: int, priority: int = 0) -> SystemApi:
    return SystemApi(url=f"http://10.0.0.{number}:8095/x-nmos/system/v1.0/global", priority=priority)


@needs_vectors
def test_the_example_is_read() -> None:
    body = example("is-09-v1.0", "global-get-200")
    check_schema("is-09-v1.0", "global", body)
    read = parse_global(json.dumps(body).encode())
    assert (read.is04.heartbeat_interval, read.ptp.domain_number, read.ptp.announce_receipt_timeout) == (8, 57, 2)
    assert read.syslogv2 is not None
    assert (read.syslogv2.hostname, read.syslogv2.port) == ("biglogger.ebu.ch", 3477)


@pytest.mark.parametrize(
    ("change", "useful"),
    [
        ({}, True),
        ({"api_ver": "v0.9,v1.0,v1.1"}, True),
        ({"api_ver": "v9.0"}, False),
        ({"api_proto": "https"}, False),
        ({"api_proto": "invalid"}, False),
        ({"pri": "99"}, True),
        ({"pri": "100"}, False),
        ({"pri": "x"}, False),
        ({"pri": "-1"}, False),
    ],
)
def test_announcements_of_no_use_are_passed_over(change: dict[str, str], useful: bool) -> None:
    found = announced_system("10.0.0.1", 8095, {**TXT, **change}, secure=False)
    assert (found is not None) is useful
    if found is not None:
        assert found.url == "http://10.0.0.1:8095/x-nmos/system/v1.0/global"


def test_by_tls_only_tls_is_of_use() -> None:
    assert announced_system("10.0.0.1", 443, TXT, secure=True) is None
    assert announced_system("10.0.0.1", 443, {**TXT, "api_proto": "https"}, secure=True) is not None
    assert announced_system("evil.example", 80, TXT, secure=False) is None


def test_the_preferred_one_is_asked_after_announcements_have_settled() -> None:
    client = SystemClient("node")
    client.set_apis([api(2, 10)], 0)
    client.set_apis([api(2, 10), api(1, 0)], S // 2)
    assert client.next_fetch(SETTLE_NS - 1) is None
    assert client.wake_ns() == SETTLE_NS
    assert client.next_fetch(SETTLE_NS) == api(1)
    assert client.next_fetch(SETTLE_NS + 1) is None, "one at a time"
    client.on_answer(200, json.dumps(GLOBAL).encode(), SETTLE_NS + 2)
    assert client.parameters is not None
    assert client.source_url == api(1).url
    assert client.wake_ns() is None
    client.set_apis([api(1), api(3)], 99 * S)
    assert client.next_fetch(999 * S) is None, "the parameters are fetched once"
    client.set_apis([], 1000 * S)
    client.set_apis([api(3)], 1001 * S)
    assert client.next_fetch(1002 * S) == api(3), "another system"
    assert client.parameters is not None, "what was received stays until then"


@pytest.mark.parametrize("answer", [(500, b""), (404, b"{}"), (200, b"no json"), (200, b"{}"), None])
def test_one_that_fails_gives_way_to_the_next(answer: tuple[int, bytes] | None) -> None:
    client = SystemClient("node")
    client.set_apis([api(1, 0), api(2, 10)], 0)
    assert client.next_fetch(2 * S) == api(1)
    if answer is None:
        client.on_failure("did not answer within 3 s", 5 * S)
    else:
        client.on_answer(*answer, 5 * S)
    assert client.next_fetch(5 * S) == api(2, 10)
    client.on_failure("refused the connection", 6 * S)
    assert client.next_fetch(6 * S + FIRST_PAUSE_NS - 1) is None
    assert client.next_fetch(6 * S + FIRST_PAUSE_NS) == api(1)
    assert len(client.notes) == 2


def test_pauses_double_up_to_five_minutes() -> None:
    client = SystemClient("node")
    client.set_apis([api(1)], 0)
    now, pauses = 2 * S, []
    for _ in range(12):
        assert client.next_fetch(now) is not None
        client.on_failure("is gone", now)
        due = client.wake_ns()
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [FIRST_PAUSE_NS, 2 * FIRST_PAUSE_NS, 4 * FIRST_PAUSE_NS]
    assert pauses[-1] == LONGEST_PAUSE_NS


def test_nodes_spread_over_apis_of_one_priority() -> None:
    asked = set()
    for node in range(50):
        client = SystemClient(f"node {node}")
        client.set_apis([api(1), api(2), api(3, 5)], 0)
        fetched = client.next_fetch(2 * S)
        assert fetched is not None
        asked.add(fetched.url)
    assert asked == {api(1).url, api(2).url}


def test_runs_get_what_their_graphs_leave_open() -> None:
    read = parse_global(json.dumps(GLOBAL).encode())
    graph = {
        "clocks": {
            "house": {"kind": "ptp"},
            "fixed": {"kind": "ptp", "domain": 3, "announce-receipt-timeout": 2},
            "own": {"kind": "system"},
        }
    }
    open_ones = {"clock.house.domain": 57, "clock.house.announce-receipt-timeout": 2}
    assert clock_changes(read, graph, override=False) == open_ones
    assert clock_changes(read, graph, override=True) == {**open_ones, "clock.fixed.domain": 57}
    assert clock_changes(read, {}, override=True) == {}


numbers = st.integers(-2, 2000) | st.none() | st.text(max_size=3)


@given(
    st.fixed_dictionaries(
        {
            "is04": st.fixed_dictionaries({"heartbeat_interval": numbers}) | st.none(),
            "ptp": st.fixed_dictionaries({"announce_receipt_timeout": numbers, "domain_number": numbers}),
        },
        optional={"syslog": st.none() | st.dictionaries(st.sampled_from(["hostname", "port"]), numbers)},
    ),
    st.binary(max_size=20),
)
def test_any_body_is_read_or_refused(body: dict[str, Any], junk: bytes) -> None:
    for text in (json.dumps({**GLOBAL, **body}).encode(), junk):
        with suppress(ValueError):
            read = parse_global(text)
            assert 0 <= read.ptp.domain_number <= 127
            assert 1 <= read.is04.heartbeat_interval <= 1000
