"""Tokens, roles, limits, Host and Origin: what is let through, and what is not."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from phasegraph_console.web.access_rules import (
    FAILURE_WINDOW_S,
    MOST_ADDRESSES,
    MOST_FAILURES,
    AccessRole,
    AccessRules,
    FailureLimit,
)
from phasegraph_console.web.host_rules import HostRules, is_loopback
from phasegraph_console.web.token_file import TokenFileError, read_or_make_tokens

TOKENS = {AccessRole.OPERATOR: "o" * 40, AccessRole.READ_ONLY: "r" * 40}


@pytest.mark.parametrize(
    ("authorization", "open_for_reading", "role"),
    [
        (f"Bearer {'o' * 40}", False, AccessRole.OPERATOR),
        (f"bearer  {'r' * 40} ", False, AccessRole.READ_ONLY),
        (f"Basic {'o' * 40}", True, None),
        (f"Bearer {'o' * 39}", True, None),
        ("Bearer", True, None),
        ("Bearer \udcff", True, None),
        ("", True, None),
        (None, True, AccessRole.READ_ONLY),
        (None, False, None),
    ],
)
def test_roles(authorization: str | None, open_for_reading: bool, role: AccessRole | None) -> None:
    assert AccessRules(TOKENS, open_for_reading=open_for_reading).role_of(authorization) is role


def test_an_address_waits_after_too_many_failures_and_others_do_not() -> None:
    limit = FailureLimit()
    for number in range(MOST_FAILURES):
        assert limit.wait_s("a", number) == 0
        limit.add_failure("a", number)
    assert limit.wait_s("a", 20) == FAILURE_WINDOW_S - 20
    assert limit.wait_s("b", 20) == 0
    assert limit.wait_s("a", FAILURE_WINDOW_S) == 0


def test_failures_of_many_addresses_are_bounded_in_memory() -> None:
    limit = FailureLimit()
    for number in range(MOST_ADDRESSES + 10):
        limit.add_failure(str(number), 0.0)
    assert len(limit._failures) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("127.0.0.1:8420", True),
        ("localhost:9999", True),
        ("[::1]:8420", True),
        ("LOCALHOST", True),
        ("desk.example:8420", True),
        ("desk.example.", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("user@localhost", False),
        ("localhost:port", False),
        ("localhost/x", False),
        ("", False),
        (None, False),
    ],
)
def test_hosts(host: str | None, fine: bool) -> None:
    assert (HostRules(["desk.example"]).host_problem(host) == "") is fine


@pytest.mark.parametrize(
    ("headers", "navigation", "fine"),
    [
        ({}, False, True),
        ({"origin": "http://localhost:8420"}, False, True),
        ({"origin": "http://localhost:8421"}, False, False),
        ({"origin": "null"}, False, False),
        ({"origin": "http://evil.example"}, True, False),
        ({"sec-fetch-site": "same-origin"}, False, True),
        ({"sec-fetch-site": "none"}, False, True),
        ({"sec-fetch-site": "same-site"}, False, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, True, False),
    ],
)
def test_origins(headers: dict[str, str], navigation: bool, fine: bool) -> None:
    problem = HostRules([]).origin_problem({"host": "localhost:8420", **headers}, navigation=navigation)
    assert (problem == "") is fine


def test_which_addresses_are_this_machine_s() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "desk")] == [False] * 4


def test_tokens_are_made_once_and_for_their_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokens.json"
    tokens = read_or_make_tokens(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(tokens.values())) == 2
    assert min(map(len, tokens.values())) >= 40
    assert read_or_make_tokens(path) == tokens
    assert [entry.name for entry in path.parent.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("{}", 0o600, "delete it"),
        ("[]", 0o600, "delete it"),
        ("nonsense", 0o600, "delete it"),
        ('{"operator": "a", "read-only": "b"}', 0o600, "less than 16"),
        (json.dumps({"operator": "a" * 20, "read-only": "a" * 20}), 0o600, "are alike"),
        (json.dumps({"operator": 5, "read-only": "b" * 20}), 0o600, "less than 16"),
        (json.dumps({"operator": "a" * 20, "read-only": "b" * 20}), 0o644, "chmod 600"),
    ],
)
def test_a_token_file_that_cannot_be_used(tmp_path: Path, text: str, mode: int, problem: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(TokenFileError, match=problem):
        read_or_make_tokens(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(TokenFileError, match="--token-file"):
        read_or_make_tokens(tmp_path / "more" / "tokens.json")
