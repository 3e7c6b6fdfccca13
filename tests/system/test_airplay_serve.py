"""``kernel airplay serve`` on one host, a leader on another. Both have the same local time: the true offset is zero."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import netns
from tests.support.process import START_S, running

from phasegraph_airplay_timing.nqptp.nqptp_record import MemoryNotServed, NqptpRecord
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader

PHASEGRAPH = (sys.executable, "-m", "phasegraph")
MOST_NS = 1_000_000
SAY = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), ("127.0.0.1", 9000))
"""


@pytest.fixture
def hosts() -> Iterator[netns.Network]:
    """Two hosts and a wire between them."""
    reason = netns.unavailable()
    if reason:
        pytest.skip(reason)
    with netns.network() as network:
        yield network


@pytest.mark.parametrize(("near", "far"), [(netns.NEAR, netns.FAR), (netns.NEAR6, netns.FAR6)], ids=["IPv4", "IPv6"])
def test_a_receiver_is_told_the_time_of_another_host(hosts: netns.Network, tmp_path: Path, near: str, far: str) -> None:
    if ":" in near and not netns.has_ipv6():
        pytest.skip("this system has no IPv6")
    graph = tmp_path / "leader.toml"
    graph.write_text(
        f'schema = 1\n[clocks.it]\nkind = "airplay"\ninterface = "eth0"\nrole = "lead"\npeers = ["{near}"]\n'
    )
    memory = MemoryReader("/nqptp", str(tmp_path))

    def known() -> NqptpRecord:
        try:
            return memory.read_record() or NqptpRecord()
        except MemoryNotServed:
            return NqptpRecord()

    serve = hosts.near.command(
        *PHASEGRAPH, "airplay", "serve", "--interface", "eth0", "--directory", tmp_path, "--state", tmp_path
    )
    lead = hosts.far.command(*PHASEGRAPH, "run", graph)
    with running(serve, tmp_path / "serve", name="serve") as server, running(lead, tmp_path / "lead", name="lead"):
        server.wait_until(lambda: " serving " in server.stderr, "serving")
        for words in (f"/nqptp T {far}", "/nqptp B"):
            hosts.near.run(sys.executable, "-c", SAY, words)
        server.wait_until(lambda: known() != NqptpRecord(), "told")
        assert abs(known().offset_ns) < MOST_NS
        server.wait_until(lambda: " ready " in server.stderr, "ready")
        server.signal(signal.SIGTERM)
        assert server.wait(START_S) == 0, server.told()
    assert known() != NqptpRecord(), "receivers go on with it while the next server starts"
