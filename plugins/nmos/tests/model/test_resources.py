"""The IS-04 resources of a run, their versions, and the Node API that shows them."""

from __future__ import annotations

import copy
import json

import pytest

from phasegraph_nmos.http.api_answers import ApiRequest, NmosApiError
from phasegraph_nmos.http.node_api import answer_from
from phasegraph_nmos.model.resource_identity import format_tai, is_uuid, parse_tai
from phasegraph_nmos.model.resource_store import ResourceStore, as_version
from phasegraph_nmos.model.resources import (
    CONNECTION_CONTROL,
    KINDS,
    ActiveState,
    DeviceControl,
    Gateway,
    make_resources,
)

from ..nmos_site import GRAPH, IDENTITY, INTERFACES, TAI_NS, hall, sdp
from ..nmos_vectors import check_schema, needs_vectors

CONTROLS = [DeviceControl(type=CONNECTION_CONTROL, path="/x-nmos/connection/v1.1/")]
GATEWAY = Gateway(key="1", name="Dante: stage", encoding="L24", rate=48_000, channels=2, interface="eth0")


def made(**changes):
    arguments = {"runs": [hall()], "interfaces": INTERFACES, "subscriptions": {}, "controls": CONTROLS}
    return make_resources(IDENTITY, **{**arguments, **changes})


def store(**changes) -> ResourceStore:
    store = ResourceStore()
    store.replace_resources(made(**changes), TAI_NS)
    return store


def get(store: ResourceStore, *path: str, version: str = "v1.3"):
    return json.loads(answer_from(store, version, ApiRequest(method="GET", path=path)).body)


@needs_vectors
@pytest.mark.parametrize("gateways", [[], [GATEWAY]])
def test_every_answer_of_the_node_api_is_of_its_schema(gateways) -> None:
    filled = store(gateways=gateways)
    check_schema("is-04-v1.3", "nodeapi-base", get(filled))
    check_schema("is-04-v1.3", "node", get(filled, "self"))
    for plural in ("devices", "sources", "flows", "senders", "receivers"):
        listed = get(filled, plural)
        check_schema("is-04-v1.3", plural, listed)
        assert listed
        for resource in listed:
            check_schema("is-04-v1.3", plural[:-1], get(filled, plural, resource["id"]))
            check_schema("is-04-v1.3", "registrationapi-resource-post-request", {"type": plural[:-1], "data": resource})


def test_the_clock_follows_the_run() -> None:
    assert get(store(), "self")["clocks"] == [
        {
            "name": "clk0",
            "ref_type": "ptp",
            "traceable": True,
            "version": "IEEE1588-2008",
            "gmid": "00-1d-c1-ff-fe-12-34-56",
            "locked": True,
        }
    ]
    graph = copy.deepcopy(GRAPH)
    graph["clocks"]["house"]["kind"] = "system"
    assert get(store(runs=[hall(graph)]), "self")["clocks"] == [{"name": "clk0", "ref_type": "internal"}]


def test_receivers_and_senders_are_those_of_the_graph() -> None:
    filled = store()
    spare, stage = sorted(get(filled, "receivers"), key=lambda each: each["label"], reverse=True)
    assert (stage["label"], spare["label"]) == ("Stage box", "spare")
    assert stage["interface_bindings"] == ["eth0", "eth1"]
    assert stage["tags"] == {"urn:x-nmos:tag:grouphint/v1.0": ["rec:stage"]}
    assert stage["caps"]["constraint_sets"][0]["urn:x-nmos:cap:format:sample_rate"] == {"enum": [{"numerator": 48000}]}
    (sender,) = get(filled, "senders")
    assert sender["description"] == "line-up"
    assert sender["manifest_href"].endswith(f"/x-nmos/connection/v1.1/single/senders/{sender['id']}/transportfile")
    flow = get(filled, "flows", sender["flow_id"])
    assert (flow["media_type"], flow["bit_depth"]) == ("audio/L24", 24)
    source = get(filled, "sources", flow["source_id"])
    assert source["clock_name"] == "clk0"
    assert len(source["channels"]) == 2
    (device,) = get(filled, "devices")
    assert set(device["receivers"]) == {stage["id"], spare["id"]}
    assert device["senders"] == [sender["id"]]


def test_all_uuids_differ_and_stay() -> None:
    first, second = store(gateways=[GATEWAY]), store(gateways=[GATEWAY])
    ids = [id for kind in KINDS for id in first.resources[kind]]
    assert len(ids) == len(set(ids))
    assert all(map(is_uuid, ids))
    assert [id for kind in KINDS for id in second.resources[kind]] == ids


def test_a_receiver_keeps_its_uuid_while_its_sources_take_turns() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["sources"]["stage-nmos"] = graph["sources"].pop("stage")
    graph["sinks"]["rec"]["input"][0] = "stage-nmos"
    other = hall(graph, **{"stage-nmos": sdp(groups=("239.1.1.1", "239.1.2.1"))})
    assert set(made(runs=[other])["receiver"]) == set(made()["receiver"])
    assert next(view.node for view in other.receivers if view.id == "stage") == "stage-nmos"


def test_a_version_rises_with_a_change_and_with_an_activation_only() -> None:
    filled = store()
    (sender,) = filled.all_of("sender")
    assert not filled.replace_resources(made(), TAI_NS + 5)
    assert filled.replace_resources(made(subscriptions={sender["id"]: ActiveState(active=True)}), TAI_NS + 10)
    (active,) = filled.all_of("sender")
    assert active["version"] == format_tai(TAI_NS + 10)
    assert filled.all_of("node")[0]["version"] == format_tai(TAI_NS)
    assert filled.replace_resources(
        made(subscriptions={sender["id"]: ActiveState(active=True)}), TAI_NS + 3, {sender["id"]}
    )
    assert filled.all_of("sender")[0]["version"] == format_tai(TAI_NS + 11), "a clock that was set back changes nothing"
    assert filled.revisions["sender"] == 3


def test_the_version_of_capabilities_is_not_later_than_their_receivers() -> None:
    filled = store()
    id = next(iter(filled.resources["receiver"]))
    filled.replace_resources(made(subscriptions={id: ActiveState(active=True)}), TAI_NS + 10)
    receiver = filled.find("receiver", id)
    assert receiver is not None
    assert receiver["caps"]["version"] == format_tai(TAI_NS)
    assert receiver["version"] == format_tai(TAI_NS + 10)


def test_a_multicast_sender_has_no_receiver() -> None:
    (id,) = made()["sender"]
    peer = made()["node"]
    peer_id = next(iter(peer))
    multicast = made(subscriptions={id: ActiveState(active=True, peer_id=peer_id)})["sender"][id]
    unicast = made(subscriptions={id: ActiveState(active=True, peer_id=peer_id, multicast=False)})["sender"][id]
    assert multicast["subscription"] == {"receiver_id": None, "active": True}
    assert unicast["subscription"] == {"receiver_id": peer_id, "active": True}
    assert unicast["transport"] == "urn:x-nmos:transport:rtp.ucast"


def test_v1_2_knows_no_authorization() -> None:
    node = as_version(store().all_of("node")[0], "v1.2")
    assert "authorization" not in node["api"]["endpoints"][0]
    assert "authorization" in store().all_of("node")[0]["api"]["endpoints"][0]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ("receivers", "nothing"), 404),
        ("GET", ("nothing",), 404),
        ("GET", ("self", "more"), 404),
        ("DELETE", ("self",), 405),
        ("PUT", ("receivers", "nothing", "target"), 404),
        ("PUT", ("receivers", "RECEIVER", "target"), 501),
    ],
)
def test_other_requests_are_refused(method: str, path: tuple[str, ...], status: int) -> None:
    filled = store()
    id = next(iter(filled.resources["receiver"]))
    with pytest.raises(NmosApiError) as refused:
        answer_from(filled, "v1.3", ApiRequest(method=method, path=tuple(id if p == "RECEIVER" else p for p in path)))
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("text", "value"), [("5:7", 5_000_000_007), ("5:1000000000", None), ("-1:0", None), ("5", None)]
)
def test_tai_times(text: str, value: int | None) -> None:
    assert parse_tai(text) == value
    if value is not None:
        assert format_tai(value) == text
