"""A small site of NMOS nodes agrees after every phase, and takes no longer than the specifications allow."""

from __future__ import annotations

import sys
from pathlib import Path

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nmos_site
import pytest


@pytest.mark.parametrize(("nodes", "seed"), [(4, 1), (8, 1), (8, 2), (8, 3)])
@pytest.mark.slow
def test_a_site_agrees_after_every_phase(nodes: int, seed: int) -> None:
    rows = {
        phase: (what, float(took.removesuffix(" s"))) for phase, what, took, _ in nmos_site.run_site(nodes, 3, 3, seed)
    }
    assert [*rows] == ["start", "salvos", "channels", "failover", "amnesia", "no registry"]
    assert rows["salvos"][0] == f"3 salvos switch {3 * nodes * 3} receivers, each salvo at one frame"
    assert rows["failover"][1] < 5 + 3 + 0.1, "a heartbeat, and a registry that does not answer"
    assert rows["amnesia"][1] < 5 + 0.1, "a heartbeat"


def test_a_node_that_does_not_switch_is_found() -> None:
    site = nmos_site.Site(4, 2, 1)
    site.start()
    site.salvo()
    site.time.run_for(4 * nmos_site.NS_PER_S)
    site.check()
    sources = site.nodes[2].run.graph["sources"]
    receiver = next(id for id, table in sources.items() if table["kind"] == "aes67")
    sources[receiver] = {**sources[receiver], "group": "239.0.0.1"}
    with pytest.raises(nmos_site.Disagreement, match="room-2 in-.: the graph"):
        site.check()
