"""What is kept of clients, for a server that starts again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from phasegraph_airplay_timing.nqptp.clients import NqptpClient
from phasegraph_airplay_timing.nqptp.session_store import SessionStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="serving is for Linux")
NAMES = ["/nqptp"]
PLAYING = NqptpClient(peers=("10.0.0.1", "fe80::1"), active=True)


@pytest.fixture
def sessions(tmp_path: Path) -> SessionStore:
    return SessionStore(str(tmp_path))


def recalled(sessions: SessionStore) -> list[bytes]:
    return [*sessions.stored_commands(iter(NAMES))]


def test_what_a_client_wants_is_recalled(sessions: SessionStore, tmp_path: Path) -> None:
    sessions.store_commands("/nqptp", PLAYING)
    sessions.store_commands("/nqptp-hall", NqptpClient(peers=("10.0.0.2",)))
    assert recalled(sessions) == [
        b"/nqptp T 10.0.0.1 fe80::1",
        b"/nqptp B",
        b"/nqptp-hall T 10.0.0.2",
        b"/nqptp-hall E",
    ]
    assert (tmp_path / "nqptp~").stat().st_mode & 0o777 == 0o600
    sessions.store_commands("/nqptp", NqptpClient())
    sessions.store_commands("/nqptp-hall", NqptpClient())
    assert recalled(sessions) == []
    assert [*tmp_path.iterdir()] == []


def test_a_client_that_is_not_served_any_more_is_not_recalled(sessions: SessionStore) -> None:
    sessions.store_commands("/other", PLAYING)
    assert recalled(sessions) == []


def test_what_is_no_file_of_ours_is_passed_over(sessions: SessionStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"/nqptp T 6.6.6.6")
    (tmp_path / "nqptp~").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "nqptp-a~")
    (tmp_path / "nqptp-b~").mkdir()
    (tmp_path / "nqptp-c~").write_bytes(b"/nqptp T 6.6.6.6\n/nqptp-c B\n\xff")  # no client speaks for another
    assert recalled(sessions) == [b"/nqptp-c B"]


def test_a_link_is_replaced_and_not_written_through(sessions: SessionStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    for name in ("nqptp~", "nqptp~~"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    sessions.store_commands("/nqptp", PLAYING)
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert recalled(sessions)[1:] == [b"/nqptp B"]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_a_file_of_another_user_is_not_believed(sessions: SessionStore, tmp_path: Path) -> None:
    sessions.store_commands("/nqptp", PLAYING)
    os.chown(tmp_path / "nqptp~", 12345, 12345)
    assert recalled(sessions) == []
