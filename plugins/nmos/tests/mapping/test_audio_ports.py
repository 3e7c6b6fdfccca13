"""Inputs, outputs and routes of a run, and the option that a sink gets for new routes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phasegraph.control import NodeStatus, RunStatus
from phasegraph_nmos.mapping.audio_ports import AudioPorts, InputPort, Route, input_option, ports_of_runs
from phasegraph_nmos.model.run_view import RunView, view_of_run

GRAPH: dict[str, Any] = {
    "clocks": {"house": {"kind": "ptp"}, "other": {"kind": "ptp"}},
    "sources": {
        "stage": {"kind": "aes67", "clock": "house", "channels": 4, "label": "Stage box"},
        "foyer-nmos": {"kind": "aes67", "clock": "house", "channels": 2},
        "far": {"kind": "aes67", "clock": "other", "channels": 2},
        "jingle": {"kind": "file", "path": "jingle.wav"},
        "slow": {"kind": "tone", "rate": "44.1kHz"},
    },
    "compensators": {"align": {"kind": "combined"}},
    "sinks": {
        "send": {
            "kind": "aes67",
            "clock": "house",
            "input": [{"source": "stage", "channels": [3, 0]}, "foyer-nmos"],
        },
        "rec": {"kind": "file", "path": "out.wav", "input": "stage"},
        "speakers": {"kind": "soundcard", "input": "stage", "compensator": "align"},
    },
}
SHAPES = {
    "house": ("clock", None, None),
    "other": ("clock", None, None),
    "stage": ("clock", 48000, 4),
    "foyer-nmos": ("clock", 48000, 2),
    "far": ("clock", 48000, 2),
    "jingle": ("none", 48000, 2),
    "slow": ("none", 44100, 2),
    "send": ("clock", 48000, 4),
    "rec": ("none", 48000, 4),
    "speakers": ("device", 48000, 4),
}


def a_run(name: str = "studio", graph: dict[str, Any] = GRAPH) -> RunView:
    nodes = {
        id: NodeStatus(
            role="", kind="", pace=pace, state="running", severity=0, text="", rate=rate, channels=channels, metrics={}
        )
        for id, (pace, rate, channels) in SHAPES.items()
    }
    status = RunStatus(
        name=name,
        graph="studio.toml",
        profile=None,
        pid=1,
        started_at="",
        duration_s=1.0,
        stopping=False,
        trouble=[],
        nodes=nodes,
        edges={},
    )
    return view_of_run(name, graph, status, lambda text: None)  # type: ignore[arg-type, return-value]


def uuid_of(kind: str, run: str, id: str) -> str:
    return f"{kind} {run} {id}"


def ports() -> AudioPorts:
    return ports_of_runs([a_run()], uuid_of)


def test_inputs_are_sources_and_receivers_keep_their_name() -> None:
    inputs = ports().inputs
    assert list(inputs) == ["studio_stage", "studio_foyer", "studio_far", "studio_jingle", "studio_slow"]
    stage = inputs["studio_stage"]
    assert (stage.label, stage.channels, stage.node) == ("Stage box", 4, "stage")
    assert stage.receiver_id == "receiver studio stage"
    assert inputs["studio_foyer"].node == "foyer-nmos"
    assert inputs["studio_jingle"].receiver_id is None


def test_outputs_are_sinks_with_the_routes_of_their_graph() -> None:
    outputs = ports().outputs
    assert outputs["studio_send"].routes == (("studio_stage", 2), None, ("studio_foyer", 0), ("studio_foyer", 1))
    assert outputs["studio_send"].source_id == "source studio send"
    assert outputs["studio_rec"].routes == tuple(("studio_stage", index) for index in range(4))
    assert outputs["studio_rec"].source_id is None


def test_what_can_be_routed_has_the_rate_and_needs_no_missing_compensator() -> None:
    outputs = ports().outputs
    assert outputs["studio_send"].routable == ("studio_stage", "studio_foyer", "studio_jingle")
    assert outputs["studio_rec"].routable == ("studio_stage", "studio_foyer", "studio_jingle")
    assert ports_of_runs([a_run(graph=reading_jingle())], uuid_of).outputs["studio_rec"].routable[0] == "studio_jingle"
    assert outputs["studio_speakers"].routable == ("studio_stage", "studio_foyer", "studio_far", "studio_jingle")


def reading_jingle() -> dict[str, Any]:
    sinks = {**GRAPH["sinks"], "rec": {"kind": "file", "path": "out.wav", "input": ["jingle", "jingle"]}}
    return {**GRAPH, "sinks": sinks}


def test_ids_of_two_runs_do_not_meet() -> None:
    both = ports_of_runs([a_run(), a_run("gallery 2.b")], uuid_of)
    assert {"studio_stage", "gallery-2-b_stage"} <= both.inputs.keys()
    assert len(both.outputs) == 6
    assert all(id.startswith("gallery-2-b") for id in both.outputs["gallery-2-b_rec"].routable)


INPUTS = {
    id: InputPort(id=id, run="r", node=node, label=id, description="", channels=channels, receiver_id=None)
    for id, node, channels in (("r_a", "a", 2), ("r_b", "b-nmos", 1), ("r_c", "c", 3))
}
routes = st.lists(
    st.none() | st.sampled_from([(id, index) for id, port in INPUTS.items() for index in range(port.channels)]),
    min_size=1,
    max_size=8,
)


def read_back(option: Any) -> list[Route]:
    ids = {port.node: port for port in INPUTS.values()}
    found: list[Route] = []
    for entry in [option] if isinstance(option, str) else option:
        source, channels = (entry, None) if isinstance(entry, str) else (entry["source"], entry["channels"])
        port = ids[source]
        written = range(1, port.channels + 1) if channels is None else channels
        found += [None if channel == 0 else (port.id, channel - 1) for channel in written]
    return found


@given(routes)
def test_the_option_has_the_routes(wanted: list[Route]) -> None:
    assert read_back(input_option(wanted, INPUTS, "c")) == wanted


def test_the_option_is_as_short_as_it_can_be() -> None:
    whole = [("r_a", 0), ("r_a", 1)]
    assert input_option(whole, INPUTS, "c") == "a"
    assert input_option([*whole, ("r_b", 0)], INPUTS, "c") == ["a", "b-nmos"]
    assert input_option([None, None], INPUTS, "c") == [{"source": "c", "channels": [0, 0]}]
    assert input_option([None, ("r_a", 1), None], INPUTS, "c") == [{"source": "a", "channels": [0, 2, 0]}]
