"""The fuzz targets run with the present code: their seeds are valid, and blind mutations of them find nothing.

`python3 tools/dev.py fuzz` runs them for longer, guided by coverage; see docs/fuzzing.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from random import Random

import pytest

from phasegraph._graph_file import parse_graph
from phasegraph_aes67 import sdp
from phasegraph_aes67.session import sap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import targets
from fuzz.run import mutate
from fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "fuzzing.md").read_text("utf-8")


@pytest.mark.parametrize("mutations", [20, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_mutations_find_nothing(name: str, mutations: int) -> None:
    target, random = TARGETS[name], Random(name)
    seeds = list(target.seeds())
    for seed in seeds:
        target.run(seed)
    for _ in range(mutations):
        target.run(mutate(random.choice(seeds), seeds, random, target.max_octets))


def test_the_page_has_a_row_for_every_target_in_both_tables() -> None:
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE) == [*TARGETS, *TARGETS]


def test_the_receiver_seed_is_received_and_the_graph_seeds_are_valid() -> None:
    # A target whose seeds are refused at once would never find anything.
    assert [len(parse_graph(text, targets.REGISTRY, ROOT).nodes) for text in targets.GRAPHS] == [5, 4]
    assert [len(sdp.parse(text).streams) for text in targets.descriptions()] == [1, 1, 1, 1, 2, 2, 2]
    packet = list(targets.sap_scripts())[1][4:]
    assert sap.decode(packet).sdp.startswith("v=0")
