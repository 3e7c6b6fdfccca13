"""Staged and active parameters, activations and their times, and the changes of the graph that they lead to."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import NS_PER_S
from phasegraph_nmos.connection.connection_changes import Switch, changes_of
from phasegraph_nmos.connection.connections import LEAD_NS, Connections
from phasegraph_nmos.connection.endpoint import ConnectionEndpoint
from phasegraph_nmos.connection.transport_file import write_transport_file
from phasegraph_nmos.connection.transport_params import RECEIVER, SENDER, PatchRefused
from phasegraph_nmos.model.resource_identity import format_tai

from ..nmos_site import GRAPH, IDENTITY, INTERFACES, TAI_NS, hall, parse_session, sdp
from ..nmos_vectors import VECTORS, check_schema, example, needs_vectors

NOW = TAI_NS
PEER = "5709255c-c0ae-4e1e-99a0-e872e83e48e0"
IMMEDIATE = {"activation": {"mode": "activate_immediate"}}


def site(view=None) -> tuple[Connections, ConnectionEndpoint, ConnectionEndpoint, ConnectionEndpoint]:
    """The connections of the hall: its receivers of two legs and of one, and its sender."""
    connections = Connections(IDENTITY, parse_session)
    connections.follow([view or hall()], INTERFACES)
    named = {
        endpoint.view.id: endpoint for kind in (RECEIVER, SENDER) for endpoint in connections.endpoints[kind].values()
    }
    return connections, named["stage"], named["spare"], named["out"]


def activate(endpoint: ConnectionEndpoint, body: dict[str, Any], at_ns: int = NOW) -> None:
    activation = endpoint.patch({**body, **IMMEDIATE}, at_ns)
    assert activation is not None
    endpoint.finish(activation, at_ns)


def refused(endpoint: ConnectionEndpoint, body: Any) -> PatchRefused:
    before = json.dumps([endpoint.staged_body(), endpoint.active_body()])
    with pytest.raises(PatchRefused) as info:
        endpoint.patch(body, NOW)
    assert json.dumps([endpoint.staged_body(), endpoint.active_body()]) == before
    return info.value


def changes_for(*endpoints: ConnectionEndpoint) -> tuple[dict[str, Any], list[Any]]:
    switches = [
        Switch(kind=each.kind, view=each.view, settings=each.active, offered=each.offered_stream(each.active))
        for each in endpoints
    ]
    return changes_of(switches, GRAPH, INTERFACES)


def without_defaults(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph of a run that received the stream of `sdp` from the start."""
    changed = copy.deepcopy(graph)
    changed["sources"]["stage"] |= {
        "source": "192.168.200.10",
        "port": 5010,
        "packet-time": "0.125ms",
        "payload-type": 97,
        "leg-b": {"interface": "eth1", "group": "239.1.2.1", "port": 5010, "source": "192.168.200.10"},
    }
    return changed


def test_what_the_run_has_is_active_at_first() -> None:
    _, stage, spare, out = site()
    assert stage.active_body()["transport_params"] == [
        {
            "source_ip": "192.168.200.10",
            "multicast_ip": "239.1.1.1",
            "interface_ip": "192.168.200.15",
            "destination_port": 5010,
            "rtp_enabled": True,
        },
        {
            "source_ip": "192.168.200.10",
            "multicast_ip": "239.1.2.1",
            "interface_ip": "192.168.210.15",
            "destination_port": 5010,
            "rtp_enabled": True,
        },
    ]
    assert stage.active.master_enable
    assert not spare.active.master_enable
    assert out.active_body()["transport_params"] == [
        {
            "source_ip": "192.168.200.15",
            "destination_ip": "239.9.9.9",
            "source_port": 0,
            "destination_port": 5010,
            "rtp_enabled": True,
        }
    ]


@needs_vectors
def test_all_bodies_are_of_their_schemas() -> None:
    _, stage, spare, out = site()
    for endpoint in (stage, spare, out):
        check_schema("is-05-v1.1", "constraints-schema", endpoint.constraints)
        for body in ({}, {"master_enable": True, "transport_params": [{}] * len(endpoint.active.legs)}):
            endpoint.patch(body, NOW)
            for answer in (endpoint.staged_body(), endpoint.active_body()):
                check_schema("is-05-v1.1", f"{endpoint.kind}-response-schema", answer)
        for mode, time in (
            ("activate_scheduled_absolute", format_tai(NOW + NS_PER_S)),
            ("activate_scheduled_relative", "2:0"),
        ):
            endpoint.patch({"activation": {"mode": mode, "requested_time": time}}, NOW)
            check_schema("is-05-v1.1", f"{endpoint.kind}-response-schema", endpoint.staged_body())
            endpoint.patch({"activation": {"mode": None}}, NOW)
        assert [set(leg) for leg in endpoint.constraints] == [set(leg) for leg in endpoint.staged.legs]


@needs_vectors
@pytest.mark.parametrize("name", sorted(path.stem for path in VECTORS.glob("is-05-v1.1/examples/*-patch*.json")))
def test_examples_are_accepted_where_this_node_has_their_parameters(name: str) -> None:
    _, stage, spare, out = site()
    body = example("is-05-v1.1", name)
    legs = body.get("transport_params", [])
    endpoint = out if name.startswith("sender") else stage if len(legs) > 1 else spare
    known = set(endpoint.constraints[0])
    video = "m=video" in str(body.get("transport_file"))
    fitting = all(set(leg) <= known for leg in legs) and len(legs) <= len(endpoint.active.legs) and not video
    addresses = {interface.address for interface in INTERFACES}
    fitting &= all(leg.get("source_ip", "auto") in {*addresses, "auto"} for leg in legs) or endpoint.kind == RECEIVER
    fitting &= all(leg.get("source_port", 0) == 0 for leg in legs)
    if not fitting:
        assert refused(endpoint, body).status == 400
        return
    endpoint.patch(body, NOW)
    for leg, wanted in zip(endpoint.staged.legs, legs, strict=False):
        assert {**leg, **wanted} == leg


def test_a_patch_changes_only_what_it_names() -> None:
    _, stage, _, _ = site()
    before = stage.staged_body()
    stage.patch({"transport_params": [{}, {"destination_port": 6000}]}, NOW)
    after = stage.staged_body()
    assert after["transport_params"][0] == before["transport_params"][0]
    assert after["transport_params"][1] == {**before["transport_params"][1], "destination_port": 6000}
    assert stage.active_body()["transport_params"] == before["transport_params"]


def test_a_session_description_fills_the_legs_and_parameters_beside_it_win() -> None:
    _, stage, _, _ = site()
    file = {"data": sdp(groups=("239.5.5.5", "239.6.6.6")), "type": "application/sdp"}
    stage.patch({"transport_file": file, "transport_params": [{"destination_port": 7000}, {}]}, NOW)
    first, second = stage.staged.legs
    assert (first["multicast_ip"], first["source_ip"], first["destination_port"]) == (
        "239.5.5.5",
        "192.168.200.10",
        7000,
    )
    assert (second["multicast_ip"], second["destination_port"], second["rtp_enabled"]) == ("239.6.6.6", 5010, True)
    stage.patch({"transport_file": {"data": sdp(), "type": "application/sdp"}}, NOW)
    assert stage.staged.legs[0]["destination_port"] == 5010, "every data member fills the legs again"
    assert not stage.staged.legs[1]["rtp_enabled"]
    stage.patch({"transport_file": {"data": None, "type": None}}, NOW)
    assert stage.staged.transport_file is None
    assert stage.staged.legs[0]["multicast_ip"] == "239.5.5.5"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("v=0\r\n", "there is no m=audio line"),
        (sdp(rate=96_000), "has 96000 Hz, and this receiver takes 48000 Hz"),
        (sdp(channels=8), "has 8 channels, and this receiver takes 2"),
        (sdp(encoding="AM824"), "is AM824, and this receiver takes L16 and L24"),
    ],
)
def test_a_session_that_does_not_fit_is_refused_in_words(data: str, words: str) -> None:
    _, stage, _, _ = site()
    refusal = refused(stage, {"transport_file": {"data": data, "type": "application/sdp"}})
    assert refusal.status == 400
    assert words in str(refusal)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"bad": "data"},
        {"receiver_id": None},
        {"sender_id": "me"},
        {"master_enable": 1},
        {"transport_params": [{}]},
        {"transport_params": {}},
        {"transport_params": [1, 2]},
        {"transport_params": [{"destination_port": True}, {}]},
        {"transport_params": [{"destination_port": 0}, {}]},
        {"transport_params": [{"source_port": 5004}, {}]},
        {"transport_params": [{"fec_enabled": True}, {}]},
        {"transport_params": [{"interface_ip": "10.9.9.9"}, {}]},
        {"transport_params": [{"interface_ip": None}, {}]},
        {"transport_params": [{"multicast_ip": "192.168.200.1"}, {}]},
        {"transport_params": [{"multicast_ip": "auto"}, {}]},
        {"transport_params": [{"source_ip": "224.0.0.1"}, {}]},
        {"transport_file": {"data": "v=0"}},
        {"transport_file": {"data": 5, "type": "application/sdp"}},
        {"transport_file": {"data": sdp(), "type": "text/plain"}},
        {"transport_file": []},
        {"activation": {}},
        {"activation": {"mode": "now"}},
        {"activation": {"mode": "activate_scheduled_absolute"}},
        {"activation": {"mode": "activate_scheduled_relative", "requested_time": "1"}},
        {"activation": {"mode": "activate_immediate", "activation_time": "1:0"}},
    ],
    ids=str,
)
def test_wrong_bodies_change_nothing(body: Any) -> None:
    assert refused(site()[1], body).status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
LEG_NAMES = st.sampled_from(
    [
        "source_ip",
        "multicast_ip",
        "interface_ip",
        "destination_ip",
        "source_port",
        "destination_port",
        "rtp_enabled",
        "ext_x",
    ]
)
VALUES = JSON | st.sampled_from(["auto", "239.1.2.3", "192.168.200.15", "10.0.0.1", 5004, 0, None, True])
BODIES = JSON | st.fixed_dictionaries(
    {},
    optional={
        "sender_id": VALUES | st.just(PEER),
        "receiver_id": VALUES | st.just(PEER),
        "master_enable": VALUES,
        "transport_params": JSON | st.lists(st.dictionaries(LEG_NAMES, VALUES, max_size=4) | JSON, max_size=3),
        "transport_file": JSON
        | st.fixed_dictionaries({"data": VALUES | st.just(sdp()), "type": VALUES | st.just("application/sdp")}),
        "activation": JSON
        | st.fixed_dictionaries(
            {
                "mode": JSON
                | st.sampled_from(
                    [None, "activate_immediate", "activate_scheduled_absolute", "activate_scheduled_relative"]
                )
            },
            optional={"requested_time": VALUES | st.sampled_from(["0:0", "1:5", format_tai(NOW + 5)])},
        ),
    },
)


@given(bodies=st.lists(BODIES, max_size=4))
@pytest.mark.slow
def test_any_json_is_staged_or_refused_with_a_reason(bodies: list[Any]) -> None:
    _, stage, spare, out = site()
    for endpoint in (stage, spare, out):
        for number, body in enumerate(bodies):
            try:
                activation = endpoint.patch(body, NOW + number)
            except PatchRefused as error:
                refusal = error
                assert refusal.status in (400, 423)
                assert str(refusal)
            else:
                if activation is not None and activation.due_ns is None:
                    endpoint.finish(activation, NOW)
                    changes_for(endpoint)
            for leg in endpoint.active.legs:
                assert "auto" not in leg.values()
            json.dumps([endpoint.staged_body(), endpoint.active_body()])


def test_an_immediate_activation_answers_with_its_time_and_staged_is_free_again() -> None:
    _, stage, _, _ = site()
    activation = stage.patch({"master_enable": True, "sender_id": PEER, **IMMEDIATE}, NOW)
    assert activation is not None
    stage.finish(activation, NOW + 3)
    answer = stage.staged_body(activation, NOW + 3)
    assert answer["activation"] == {
        "mode": "activate_immediate",
        "requested_time": None,
        "activation_time": format_tai(NOW + 3),
    }
    assert stage.staged_body()["activation"] == {"mode": None, "requested_time": None, "activation_time": None}
    assert stage.active_body()["activation"] == answer["activation"]
    assert stage.subscription.peer_id == PEER


def test_a_scheduled_activation_locks_until_it_is_cancelled_or_done() -> None:
    connections, stage, _, _ = site()
    due = NOW + 5 * NS_PER_S
    activation = stage.patch(
        {
            "transport_params": [{"destination_port": 6000}, {}],
            "activation": {"mode": "activate_scheduled_absolute", "requested_time": format_tai(due)},
        },
        NOW,
    )
    assert activation is not None
    assert stage.staged_body()["activation"] == {
        "mode": "activate_scheduled_absolute",
        "requested_time": format_tai(due),
        "activation_time": format_tai(due),
    }
    assert refused(stage, {"master_enable": True}).status == 423
    assert refused(stage, IMMEDIATE).status == 423
    stage.patch({"activation": {"mode": None}, "transport_params": [{"destination_port": 6002}, {}]}, NOW)
    assert stage.pending is None
    assert stage.staged.legs[0]["destination_port"] == 6002
    assert connections.next_due_ns() is None


def test_a_relative_time_counts_from_the_request() -> None:
    _, stage, _, _ = site()
    stage.patch({"activation": {"mode": "activate_scheduled_relative", "requested_time": "2:5"}}, NOW)
    assert stage.staged_body()["activation"]["activation_time"] == format_tai(NOW + 2 * NS_PER_S + 5)
    assert stage.staged_body()["activation"]["requested_time"] == "2:5"


def test_a_run_gets_a_scheduled_activation_before_its_time_and_then_it_cannot_be_cancelled() -> None:
    connections, stage, spare, _ = site()
    due = NOW + 5 * NS_PER_S
    for endpoint in (stage, spare):
        endpoint.patch({"activation": {"mode": "activate_scheduled_absolute", "requested_time": format_tai(due)}}, NOW)
    assert connections.next_due_ns() == due - LEAD_NS
    assert connections.take_due(due - LEAD_NS - 1) == []
    taken = connections.take_due(due - LEAD_NS)
    assert {endpoint for endpoint, _ in taken} == {stage, spare}
    assert connections.take_due(due) == []
    assert refused(stage, {"activation": {"mode": None}}).status == 423
    for endpoint, activation in taken:
        endpoint.finish(activation, due)
    assert stage.active_body()["activation"]["activation_time"] == format_tai(due)
    assert stage.staged_body()["activation"]["mode"] is None


def test_auto_is_resolved_in_active_and_stays_in_staged() -> None:
    _, stage, _, out = site()
    activate(
        out,
        {
            "transport_params": [
                dict.fromkeys(("source_ip", "destination_ip", "source_port", "destination_port"), "auto")
            ]
        },
    )
    assert out.staged.legs[0]["destination_ip"] == "auto"
    assert out.active.legs[0] == {
        "source_ip": "192.168.200.15",
        "destination_ip": "239.9.9.9",
        "source_port": 0,
        "destination_port": 5004,
        "rtp_enabled": True,
    }
    activate(stage, {"transport_params": [{}, {"interface_ip": "auto", "destination_port": "auto"}]})
    assert (stage.active.legs[1]["interface_ip"], stage.active.legs[1]["destination_port"]) == ("192.168.210.15", 5004)


def test_a_receiver_is_switched_by_a_second_source() -> None:
    _, stage, _, _ = site()
    file = {"data": sdp(groups=("239.5.5.5", "239.6.6.6"), encoding="L16"), "type": "application/sdp"}
    activate(stage, {"transport_file": file, "master_enable": True})
    changes, _ = changes_for(stage)
    table = changes["source.stage-nmos"]
    assert changes == {
        "source.stage-nmos": table,
        "sink.rec.input": ["stage-nmos", {"source": "spare", "channels": [2, 1]}],
        "source.stage": None,
    }
    assert table == {
        "kind": "aes67",
        "interface": "eth0",
        "group": "239.5.5.5",
        "port": 5010,
        "source": "192.168.200.10",
        "encoding": "L16",
        "rate": "48000Hz",
        "channels": 2,
        "packet-time": "125000ns",
        "payload-type": 97,
        "mediaclk-offset": 77,
        "leg-b": {"interface": "eth1", "group": "239.6.6.6", "port": 5010, "source": "192.168.200.10"},
        "link-offset": "5ms",
        "label": "Stage box",
    }


def test_receivers_of_one_sink_are_switched_together() -> None:
    _, stage, spare, _ = site()
    for endpoint in (stage, spare):
        activate(endpoint, {"transport_file": {"data": sdp(), "type": "application/sdp"}, "master_enable": True})
    changes, _ = changes_for(stage, spare)
    assert changes["sink.rec.input"] == ["stage-nmos", {"source": "spare-nmos", "channels": [2, 1]}]
    assert changes["source.stage"] is changes["source.spare"] is None


def test_a_disabled_receiver_keeps_its_legs_and_receives_nothing() -> None:
    _, stage, _, _ = site()
    activate(stage, {"master_enable": False})
    table = changes_for(stage)[0]["source.stage-nmos"]
    assert table["enabled"] is False
    assert "group" not in table
    assert table["leg-b"] == {"interface": "eth1"}
    assert len(stage.active.legs) == 2


def test_both_legs_of_a_disabled_receiver_may_have_one_interface() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["sources"]["spare"]["leg-b"] = {"interface": "eth0", "port": 5006}
    _, _, spare, _ = site(hall(graph))
    activate(spare, {"transport_params": [{"destination_port": 6000}, {"destination_port": 6000}]})
    activate(spare, {"master_enable": False, "transport_params": [{"destination_port": 6002}, {}]})
    for path, table in changes_for(spare)[0].items():
        if table is not None and path.startswith("source."):
            assert (table.get("interface"), table.get("port", 5004)) != (
                table["leg-b"].get("interface"),
                table["leg-b"].get("port", 5004),
            )


def test_equal_legs_are_received_once_and_a_disabled_one_not_at_all() -> None:
    _, stage, _, _ = site()
    leg = {"multicast_ip": "239.7.7.7", "interface_ip": "192.168.200.15", "source_ip": None}
    activate(stage, {"master_enable": True, "transport_params": [leg, leg]})
    assert "leg-b" not in changes_for(stage)[0]["source.stage-nmos"]
    activate(stage, {"transport_params": [{"rtp_enabled": False}, {"multicast_ip": "239.8.8.8"}]})
    assert changes_for(stage)[0]["source.stage-nmos"]["group"] == "239.8.8.8"
    assert len(stage.constraints) == 2


def test_unicast_is_received_at_the_address_of_the_interface() -> None:
    _, _, spare, _ = site()
    params = [{"multicast_ip": None, "source_ip": "192.168.200.10", "interface_ip": "192.168.200.15"}]
    activate(spare, {"master_enable": True, "transport_params": params})
    table = changes_for(spare)[0]["source.spare-nmos"]
    assert (table["group"], table["source"], table["interface"]) == ("192.168.200.15", "192.168.200.10", "eth0")


def test_the_stream_that_is_received_already_changes_nothing() -> None:
    _, stage, _, _ = site(hall(without_defaults(GRAPH), stage=sdp(groups=("239.1.1.1", "239.1.2.1"))))
    activate(stage, {"sender_id": PEER})
    changes, nodes = changes_for(stage)
    assert (changes, nodes) == ({}, ["stage"])


def test_a_sender_is_changed_in_place() -> None:
    _, _, _, out = site()
    activate(
        out, {"master_enable": False, "transport_params": [{"destination_ip": "239.3.3.3", "destination_port": 5006}]}
    )
    changes, _ = changes_for(out)
    assert changes == {
        "sink.out": {
            "kind": "aes67",
            "input": "tone",
            "interface": "eth0",
            "group": "239.3.3.3",
            "port": 5006,
            "enabled": False,
            "description": "line-up",
        }
    }


def test_the_transport_file_says_what_is_active() -> None:
    _, _, _, out = site()
    activate(
        out, {"master_enable": True, "transport_params": [{"destination_ip": "239.3.3.3", "destination_port": 5006}]}
    )
    text = write_transport_file(out, hall().clocks[0])
    assert text.endswith("\r\n")
    lines = text.split("\r\n")
    assert "m=audio 5006 RTP/AVP 97" in lines
    assert "c=IN IP4 239.3.3.3/32" in lines
    assert "a=source-filter: incl IN IP4 239.3.3.3 192.168.200.15" in lines
    assert "a=rtpmap:97 L24/48000/2" in lines
    assert "a=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-34-56:3" in lines
    assert "a=ptime:0.125" in lines
    assert parse_session(text).streams[0].group == "239.3.3.3"
    assert "a=ts-refclk:localmac=00-1D-C1-00-00-01" in write_transport_file(out, None)


def test_another_hand_at_the_graph_is_followed() -> None:
    connections, stage, _, _ = site()
    graph = copy.deepcopy(GRAPH)
    graph["sources"]["stage"]["group"] = "239.4.4.4"
    graph["sources"]["stage"].pop("leg-b")
    connections.follow([hall(graph, stage=sdp(groups=("239.4.4.4",)))], INTERFACES)
    assert stage.active.legs[0]["multicast_ip"] == "239.4.4.4"
    assert len(stage.active.legs) == 2, "the second leg stays a part of the receiver"
    assert not stage.active.legs[1]["rtp_enabled"]


def test_what_was_activated_is_remembered_and_recalled() -> None:
    connections, stage, _, _ = site()
    activate(stage, {"transport_file": {"data": sdp(), "type": "application/sdp"}, "sender_id": PEER})
    kept = json.loads(json.dumps(connections.snapshot()))
    assert set(kept) == {stage.id}
    again, stage_again, spare_again, _ = site()
    again.remember(kept)
    assert again.recall(spare_again) is None
    body = again.recall(stage_again)
    assert body is not None
    activation = stage_again.patch(body, NOW)
    assert activation is not None
    stage_again.finish(activation, NOW)
    assert stage_again.active == stage.active
    assert again.recall(stage_again) is None
    assert json.loads(json.dumps(again.snapshot())).keys() == kept.keys()


@pytest.mark.parametrize("rubbish", [1, {}, {"legs": 5}, {"legs": [{}], "master_enable": "x"}])
def test_a_damaged_memory_is_ignored(rubbish: Any) -> None:
    connections, stage, _, _ = site()
    connections.remember({stage.id: rubbish})
    assert connections.recall(stage) is None


def test_a_bulk_request_reports_each_entry() -> None:
    connections, stage, spare, _ = site()
    later = {"mode": "activate_scheduled_relative", "requested_time": "1:0"}
    results, due = connections.patch_bulk(
        RECEIVER,
        [
            {"id": stage.id, "params": {"activation": later}},
            {"id": spare.id, "params": IMMEDIATE},
            {"id": spare.id, "params": {}},
            {"id": PEER, "params": {}},
        ],
        NOW,
    )
    assert [(each.id, each.code) for each in results] == [
        (stage.id, 202),
        (spare.id, 200),
        (spare.id, 400),
        (PEER, 404),
    ]
    assert [endpoint for endpoint, _ in due] == [stage, spare]
    for wrong in ({}, [1], [{"id": stage.id}], [{"id": "x", "params": {}}]):
        with pytest.raises(PatchRefused):
            connections.patch_bulk(RECEIVER, wrong, NOW)
