"""Scenarios: those that ship are right, and whatever is wrong with another is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegraph import GraphError
from phasegraph.simulation.scenario import DEFAULT, load_scenario, parse_scenario, shipped
from phasegraph.simulation.scenario_help import explain_scenario

NAMES = {"studio", "office-wifi", "usb-card", "hot-card", "gm-change", "gm-loss", "lossy", "drift-step"}


def test_these_ship():
    assert set(shipped()) == NAMES
    assert DEFAULT in NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_one_that_ships_is_right_and_says_what_it_is(name):
    deployment = load_scenario(name)
    assert deployment.name == name
    assert 20 < len(deployment.scenario.summary) < 130


def test_an_empty_one_is_a_good_world():
    world = parse_scenario("").scenario
    assert (world.network.loss, world.card.block, world.grandmaster.changes) == (0.0, 0, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[card]\nblok = 64", "card.blok: unknown option (did you mean 'block'?)"),
        ("[carde]", "carde: unknown option (did you mean 'card'?)"),
        ("[card]\nblock = -4", "card.block: expected a whole number from 0 to 65536, got -4"),
        ("[card]\nrate-offset = 37", "card.rate-offset: expected a rate from -1000ppm to 1000ppm"),
        ("[network]\nloss = 1.5", "network.loss: expected a number from 0 to 1, got 1.5"),
        ("[network]\njitter-shape = 'odd'", 'network.jitter-shape: expected "exponential" or "uniform", got "odd"'),
        ("[card]\nstalls = [{at = '1s'}]", "card.stalls[0].lasts: missing"),
        ("[grandmaster]\nchanges = [{at = '-1s'}]", "grandmaster.changes[0].at: expected a duration"),
        ("[cards.left]\nblock = 'x'", "cards.left.block: expected a whole number"),
        ("[cards]\nleft = 3", "cards.left: expected a table, got 3"),
        ("cards = 3", "cards: expected tables such as [cards.ID], got 3"),
        ("card = 3", "card: expected a table"),
        ("[card", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, problem):
    with pytest.raises(GraphError) as raised:
        parse_scenario(text)
    assert any(problem in str(found) for found in raised.value.problems), raised.value


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(GraphError) as raised:
        parse_scenario("[card]\nblock = -1\nblocks = 0\n[network]\nloss = 2\n[clocks.a]\nnoise = 1\n")
    assert len(raised.value.problems) == 4


def test_the_table_of_a_single_node_overrides_the_common_table():
    world = parse_scenario("[card]\nblock = 64\nblocks = 3\n[cards.left]\nblock = 128\n")
    assert [(world.card_options(id).block, world.card_options(id).blocks) for id in ("left", "right")] == [
        (128, 3),
        (64, 3),
    ]


def test_a_file_is_named_in_its_problems(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("[card]\nblock = -1\n")
    with pytest.raises(GraphError, match=r"mine\.toml: card\.block"):
        load_scenario(str(path))
    path.write_text('summary = "Mine."\n')
    assert load_scenario(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("name", "hint"), [("stduio", "did you mean 'studio'"), ("zzzz", "scenarios are"), ("no/such.toml", "cannot read")]
)
def test_one_that_is_not_there_gets_a_hint(name, hint):
    with pytest.raises(GraphError, match=hint):
        load_scenario(name)


def test_every_option_is_explained():
    lines = "\n".join(explain_scenario(80))
    for name in ("granularity = 1", "asymmetry", "loss-burst", "swing-period", "[grandmaster]", "office-wifi"):
        assert name in lines
    assert max(map(len, lines.splitlines())) <= 110
