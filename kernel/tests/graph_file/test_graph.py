"""Valid graphs: the nodes, edges and order that result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasegraph import Encoding, GraphError
from phasegraph._graph_file import Graph, load_graph, parse_graph

HOUSE = '[clocks.house]\nkind = "system"\n'
REC = '[sources.rec]\nkind = "net"\n'
TAKE = '[sources.take]\nkind = "reader"\npath = "take.wav"\n'
CARD = '[sinks.card]\nkind = "card"\ninput = "rec"\ncompensator = "align"\n'
ALIGN = '[compensators.align]\nkind = "steady"\n'
OUT = '[sinks.out]\nkind = "writer"\npath = "out.wav"\n'


def right(examination: Any) -> Graph:
    assert examination.problems == []
    assert examination.graph is not None
    return examination.graph


def test_options_are_decoded_to_base_units(examine: Any, folder: Path) -> None:
    graph = right(
        examine(
            HOUSE
            + REC
            + 'sdp = "take.wav"\nlink-offset = "6ms"\nrate = "44.1kHz"\nencoding = "L16"\ngain = 2\n'
            + 'taps = ["1ms", "2ms"]\nlabels = {a = 1}\nverbose = true\nleg-b = {group = "239.1.1.1"}\n'
        )
    )
    config = graph.nodes["rec"].config
    assert (config.link_offset, config.rate, config.encoding) == (6_000_000, 44100, Encoding.L16)
    assert (config.gain, config.taps, config.labels) == (2.0, (1_000_000, 2_000_000), {"a": 1})
    assert isinstance(config.gain, float)
    assert (config.leg_b.group, config.leg_b.port) == ("239.1.1.1", 5004)
    assert config.sdp == str((folder / "take.wav").resolve())


def test_the_only_clock_is_the_clock_of_every_node(examine: Any) -> None:
    graph = right(examine(HOUSE + REC + '[sinks.send]\nkind = "net"\ninput = "rec"\n'))
    assert {node.id: node.domain for node in graph.nodes.values()} == {
        "house": "house",
        "rec": "house",
        "send": "house",
    }
    assert [(edge.name, edge.crossing, edge.compensator) for edge in graph.edges] == [("rec->send", False, None)]


def test_a_device_is_a_domain_of_its_own_and_the_edge_to_it_crosses(examine: Any) -> None:
    graph = right(examine(HOUSE + REC + CARD + ALIGN))
    assert graph.nodes["card"].domain == "device:card"
    assert [(edge.crossing, edge.compensator) for edge in graph.edges] == [(True, "align")]


def test_two_clocks_are_two_domains(examine: Any) -> None:
    graph = right(
        examine(
            HOUSE
            + '[clocks.b]\nkind = "system"\n'
            + REC
            + 'clock = "b"\n'
            + ALIGN
            + '[sinks.send]\nkind = "net"\ninput = "rec"\nclock = "house"\ncompensator = "align"\n'
        )
    )
    assert graph.edges[0].crossing


def test_a_sink_without_a_clock_follows_its_first_clocked_input_and_the_others_cross(examine: Any) -> None:
    text = (
        HOUSE
        + '[clocks.b]\nkind = "system"\n'
        + TAKE
        + REC
        + 'clock = "b"\n[sources.r2]\nkind = "net"\nclock = "house"\n'
        + OUT
        + 'input = ["take", "rec", "r2"]\ncompensator = "align"\n'
        + ALIGN
    )
    graph = right(examine(text))
    assert graph.nodes["out"].domain == "b"
    assert graph.nodes["take"].domain is None
    assert [edge.crossing for edge in graph.inputs_of("out")] == [False, False, True]


def test_a_compensator_is_unused_where_nothing_crosses(examine: Any) -> None:
    graph = right(examine(TAKE + OUT + 'input = "take"\ncompensator = "align"\n' + ALIGN))
    assert graph.edges[0].compensator is None
    assert graph.nodes["out"].domain is None


def test_channel_maps_belong_to_edges(examine: Any) -> None:
    graph = right(examine(TAKE + OUT + 'input = ["take", {source = "take", channels = [2, 1]}]\n'))
    assert [edge.channels for edge in graph.edges] == [None, (2, 1)]


def test_a_clock_alone_is_a_graph(examine: Any) -> None:
    assert right(examine(HOUSE)).order == ("house",)


def test_the_writer_of_a_file_is_built_before_its_reader(examine: Any) -> None:
    text = (
        HOUSE
        + REC
        + 'sdp = "made.sdp"\n'
        + TAKE
        + '[sinks.send]\nkind = "net"\ninput = "take"\nsdp-out = "./made.sdp"\n'
        + OUT
        + 'input = "rec"\n'
    )
    order = right(examine(text)).order
    assert order.index("take") < order.index("send") < order.index("rec") < order.index("out")
    assert order.index("house") < order.index("send")


def test_every_node_comes_after_what_it_names(examine: Any) -> None:
    order = right(
        examine(CARD + ALIGN + REC + 'clock = "b"\n[clocks.b]\nkind = "system"\nfallback = "house"\n' + HOUSE)
    ).order
    assert order.index("house") < order.index("b") < order.index("rec") < order.index("card")
    assert order.index("align") < order.index("card")


def test_paths_start_at_the_folder_of_the_graph_file(registry: Any, folder: Path) -> None:
    path = folder / "graph.toml"
    path.write_text("schema = 1\n" + TAKE + OUT + 'input = "take"\n')
    graph = load_graph(path, registry)
    assert (graph.path, graph.folder, graph.profile) == (path, folder, None)
    assert graph.nodes["out"].config.path == str((folder / "out.wav").resolve())


def test_the_entry_points_raise_every_problem_at_once(registry: Any, folder: Path) -> None:
    with pytest.raises(GraphError) as raised:
        parse_graph('[sinks.a]\nkind = "writer"\n', registry, folder)
    assert [problem.path for problem in raised.value.problems] == ["schema", "sinks.a.input", "sinks.a.path"]


def test_a_graph_cannot_be_changed(examine: Any) -> None:
    graph = right(examine(HOUSE))
    with pytest.raises(TypeError):
        graph.nodes["x"] = graph.nodes["house"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        graph.order = ()  # type: ignore[misc]
