"""What the system knows to keep packets away."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegraph.net import Interface, interfaces

ETH0 = Interface("eth0", 2, "10.0.0.5")


UP, RUNNING, MULTICAST = 0x1, 0x40, 0x1000


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def make(flags: int = UP | RUNNING | MULTICAST, all_filter: str = "0", own_filter: str = "0") -> Path:
        for name, content in (("all", all_filter), ("eth0", own_filter)):
            folder = tmp_path / "proc/sys/net/ipv4/conf" / name
            folder.mkdir(parents=True)
            (folder / "rp_filter").write_text(content + "\n")
        monkeypatch.setattr(interfaces, "_ask", lambda name, request: flags.to_bytes(2, sys.byteorder) + bytes(14))
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, []),
        ({"flags": MULTICAST}, ["eth0 is switched off"]),
        ({"flags": MULTICAST | UP}, ["eth0 has no link"]),
        ({"flags": 0}, []),
        ({"own_filter": "1"}, ["net.ipv4.conf.eth0.rp_filter=2"]),
        ({"all_filter": "1"}, ["net.ipv4.conf.eth0.rp_filter=2"]),
        ({"all_filter": "1", "own_filter": "2"}, []),
        ({"flags": MULTICAST | UP, "own_filter": "1"}, ["eth0 has no link", "rp_filter"]),
    ],
)
def test_obstacles(system: Callable[..., Path], state: dict[str, Any], said: list[str]) -> None:
    found = interfaces.obstacles(ETH0, system(**state))
    assert len(found) == len(said)
    for sentence, words in zip(found, said, strict=True):
        assert words in sentence


@pytest.mark.parametrize(
    "interface", [Interface("lo", 1, "127.0.0.1"), Interface("", 0, "0.0.0.0"), Interface("eth1", 3, "")]
)
def test_interfaces_of_which_nothing_is_said(system: Callable[..., Path], interface: Interface) -> None:
    assert interfaces.obstacles(interface, system(flags=MULTICAST)) == []
