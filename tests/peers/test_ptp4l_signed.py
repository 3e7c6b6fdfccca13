"""Signed PTP with ptp4l of linuxptp 4: it follows us and we follow it, with the same file of keys.

Debian 12 has linuxptp 3, which knows no keys: there these tests are skipped, with the reason.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import netns, ptp
from tests.support.netns import Network
from tests.support.ptp4l import IDENTITY, MASTER, SLAVE, offsets, ptp4l

from .test_ptp4l import FAST, Options, followed, off, twice

pytestmark = [pytest.mark.peers, pytest.mark.realtime]
KEYS = "[security_association]\nspp 1\n1 SHA256-128 HEX:7f1e4b0c2d9a8856\n2 SHA256-128 ASCII:another-one\n"
OURS: Options = {"sa_file": "keys", "spp": 1}
THEIRS: Options = {"sa_file": "keys", "spp": 1, "active_key_id": 1}
# Options of ours, options of theirs, and the number of the key that both sign with.
WIRES: dict[str, tuple[Options, Options, int]] = {
    "udp4 e2e": ({}, {}, 1),
    "udp4 p2p": ({"delay_mechanism": "p2p"}, {"delay_mechanism": "P2P"}, 2),
}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Network]:
    """Two hosts, and a file of keys for what runs on them."""
    if reason := netns.unavailable():
        pytest.skip(reason)
    (tmp_path / "keys").write_text(KEYS)
    (tmp_path / "probe.cfg").write_text("[global]\nsa_file keys\n")
    probe = subprocess.run(["ptp4l", "-f", "probe.cfg"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "no interface specified" not in probe.stdout + probe.stderr:
        pytest.skip("this ptp4l knows no sa_file: linuxptp 4.3 or newer does")
    with netns.network() as network:
        yield network


@pytest.mark.parametrize(("ours", "theirs", "key"), WIRES.values(), ids=WIRES)
def test_we_follow_a_grandmaster_that_signs(
    hosts: Network, tmp_path: Path, ours: Options, theirs: Options, key: int
) -> None:
    def attempt() -> str:
        metrics, errors = followed(hosts.far, tmp_path, **OURS, **ours, active_key_id=key)
        assert ptp.identity(metrics["grandmaster"]) == ptp.identity(IDENTITY)
        assert [name for name in metrics if name.startswith("dropped_auth")] == []
        return off(errors)

    with ptp4l(hosts.near, tmp_path, MASTER, **THEIRS | {"active_key_id": key}, **theirs):
        twice(attempt)


@pytest.mark.parametrize(("ours", "theirs", "key"), WIRES.values(), ids=WIRES)
def test_it_follows_us_and_believes_our_signatures(
    hosts: Network, tmp_path: Path, ours: Options, theirs: Options, key: int
) -> None:
    def attempt() -> str:
        signing = {**OURS, "active_key_id": key, **FAST, **ours}
        with (
            ptp.clock(hosts.near, tmp_path, "ours", role="grandmaster", **signing),
            ptp4l(hosts.far, tmp_path, SLAVE, **THEIRS | {"active_key_id": key}, **theirs) as slave,
        ):
            return off(offsets(slave))

    twice(attempt)


def test_a_grandmaster_with_another_key_is_not_followed(hosts: Network, tmp_path: Path) -> None:
    """It signs by a key of which we have another value: each side drops the other's messages."""
    (tmp_path / "ours.keys").write_text(KEYS.replace("7f1e", "0000"))
    with (
        ptp4l(hosts.near, tmp_path, MASTER, **THEIRS),
        ptp.clock(hosts.far, tmp_path, "ours", **OURS | {"sa_file": "ours.keys"}) as ours,
    ):
        ours.wait_until(lambda: "ptp_trouble" in ours.stderr, "trouble", 30.0)
        metrics = ptp.ended(ours, tmp_path, now=True).metrics(ptp.CLOCK)
    assert metrics["state"] == "unlocked"
    assert "give both clocks the same keys (sa-file)" in metrics["trouble"]
