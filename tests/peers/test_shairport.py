"""``kernel airplay serve`` beside a real shairport-sync, which ends at its start where it finds no nqptp."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.support.addresses import free_port
from tests.support.process import START_S, running

from phasegraph.net import port_holders

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(sys.platform != "linux", reason="kernel airplay serve is for Linux"),
]
CONTROL_PORT = 9000
SETTLED_S = 3.0


def test_it_starts(shairport: str, tmp_path: Path) -> None:
    holders = port_holders(CONTROL_PORT)
    if holders:
        pytest.skip(f"UDP port {CONTROL_PORT} is held by {' and '.join(holders)}")
    if Path("/dev/shm/nqptp").exists() and not os.access("/dev/shm/nqptp", os.W_OK):
        pytest.skip("/dev/shm/nqptp is another user's")
    ports = ["--event-port", str(free_port()), "--general-port", str(free_port())]
    serve = [sys.executable, "-m", "phasegraph", "airplay", "serve", "--interface", "127.0.0.1", *ports]
    with running(serve, tmp_path, name="serve") as server:
        server.wait_until(lambda: " serving " in server.stderr, "serving")
        player = [shairport, "-v", "-a", "test", "-p", str(free_port()), "-o", "dummy"]
        with running(player, tmp_path) as receiver:
            server.wait_until(lambda: "client=/nqptp" in server.stderr, "asked")
            time.sleep(SETTLED_S)
            assert receiver.process.poll() is None, receiver.told()
        server.signal(signal.SIGTERM)
        assert server.wait(START_S) == 0
