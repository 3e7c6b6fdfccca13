"""What the system knows to keep packets away."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegraph.net import Interface
from phasegraph.net.interfaces import obstacles

ETH0 = Interface("eth0", 2, "10.0.0.5")


def system(root: Path, *, operstate: str = "up", all_filter: str = "0", own_filter: str = "0") -> Path:
    contents = {
        "sys/class/net/eth0/operstate": operstate,
        "proc/sys/net/ipv4/conf/all/rp_filter": all_filter,
        "proc/sys/net/ipv4/conf/eth0/rp_filter": own_filter,
    }
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(content + "\n")
    return root


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, []),
        ({"operstate": "unknown"}, []),
        ({"operstate": "down"}, ["eth0 is down or has no link"]),
        ({"own_filter": "1"}, ["net.ipv4.conf.eth0.rp_filter=2"]),
        ({"all_filter": "1"}, ["net.ipv4.conf.eth0.rp_filter=2"]),
        ({"all_filter": "1", "own_filter": "2"}, []),
        ({"operstate": "lowerlayerdown", "own_filter": "1"}, ["eth0 is down", "rp_filter"]),
    ],
)
def test_obstacles(tmp_path: Path, state: dict[str, str], said: list[str]) -> None:
    found = obstacles(ETH0, system(tmp_path, **state))
    assert len(found) == len(said)
    for sentence, words in zip(found, said, strict=True):
        assert words in sentence


@pytest.mark.parametrize(
    "interface", [Interface("lo", 1, "127.0.0.1"), Interface("", 0, "0.0.0.0"), Interface("eth1", 3, "10.0.1.5")]
)
def test_interfaces_of_which_nothing_is_known(tmp_path: Path, interface: Interface) -> None:
    assert obstacles(interface, system(tmp_path, operstate="down")) == []
