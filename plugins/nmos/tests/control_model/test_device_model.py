"""Calls on the device model: every result is of its datatype, every wrong call has its status."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phasegraph_nmos.control_model.control_classes import (
    CLASSES,
    ElementId,
    describe_class,
    element_id,
    methods_of,
    properties_of,
)
from phasegraph_nmos.control_model.control_objects import DeviceIdentity, MethodStatus
from phasegraph_nmos.control_model.datatypes import DATATYPE_NAMES, has_type
from phasegraph_nmos.control_model.device_model import (
    CLASS_MANAGER_OID,
    DEVICE_MANAGER_OID,
    FIRST_MONITOR,
    RECEIVERS,
    ROOT,
    SENDERS,
    DeviceModel,
)
from phasegraph_nmos.status_monitors.domain_health import HEALTHY, Health, Observation
from phasegraph_nmos.status_monitors.status_monitor import MonitoredResource, MonitorInput, PacketCounter

S = 1_000_000_000
GET, SET, GET_ITEM, SET_ITEM, ADD_ITEM, REMOVE_ITEM, GET_LENGTH = ((1, index) for index in range(1, 8))
LABEL, ROLE, MEMBERS, TOUCHPOINTS = (1, 6), (1, 5), (2, 2), (1, 7)
RECEIVER, SENDER = FIRST_MONITOR, FIRST_MONITOR + 2


def seen(**more: Any) -> MonitorInput:
    fields: dict[str, Any] = {
        "active": True,
        "link": HEALTHY,
        "connection": HEALTHY,
        "synchronization": HEALTHY,
        "source_id": "00-0C-EC-FF-FE-0A-2B-A1",
        "content": HEALTHY,
        "counters": {kind: (PacketCounter(f"packets_{kind}", 5),) for kind in ("lost", "late", "errors")},
    }
    return MonitorInput(**{**fields, **more})


def resource(number: int, role: str, input: MonitorInput | None = None) -> MonitoredResource:
    id = f"00000000-0000-4000-8000-{number:012}"
    return MonitoredResource(id=id, role=role, label=f"Monitor of {role}", seen=input or seen())


TAKE, FOYER, OUT = resource(1, "take"), resource(2, "foyer"), resource(3, "out")


@pytest.fixture
def model() -> DeviceModel:
    made = DeviceModel(DeviceIdentity(name="studio", version="0.1.0", serial_number="4711"))
    made.observe_runs([TAKE, FOYER], [OUT], 0)
    return made


def call(model: DeviceModel, oid: int, method: ElementId, **arguments: Any) -> dict[str, Any]:
    return model.call(oid, method, arguments)[0]


def get(model: DeviceModel, oid: int, property: ElementId) -> Any:
    result = call(model, oid, GET, id=element_id(property))
    assert result["status"] == 200, result
    return result["value"]


def test_the_tree(model: DeviceModel) -> None:
    assert (get(model, ROOT, ROLE), get(model, ROOT, (1, 4))) == ("root", None)
    roles = {member["oid"]: member["role"] for member in get(model, ROOT, MEMBERS)}
    assert roles == {
        DEVICE_MANAGER_OID: "DeviceManager",
        CLASS_MANAGER_OID: "ClassManager",
        RECEIVERS: "receivers",
        SENDERS: "senders",
    }
    assert [member["role"] for member in get(model, RECEIVERS, MEMBERS)] == ["take", "foyer"]
    assert get(model, RECEIVER, TOUCHPOINTS) == [
        {"contextNamespace": "x-nmos", "resource": {"resourceType": "receiver", "id": TAKE.id}}
    ]
    assert get(model, SENDER, (1, 1)) == [1, 2, 2, 2]
    assert get(model, DEVICE_MANAGER_OID, (3, 1)) == "v1.0.0"


def test_every_property_of_every_object_is_of_its_datatype(model: DeviceModel) -> None:
    for oid in sorted(model.oids):
        class_id = tuple(get(model, oid, (1, 1)))
        for id, described in properties_of(class_id).items():
            field = described.field
            value = get(model, oid, id)
            assert has_type(value, field.type_name, field.nullable, field.sequence), (oid, field.name, value)
            if field.sequence:
                length = call(model, oid, GET_LENGTH, id=element_id(id))["value"]
                assert length == (None if value is None else len(value))
                for index, item in enumerate(value or ()):
                    assert call(model, oid, GET_ITEM, id=element_id(id), index=index)["value"] == item


def test_the_class_manager_gives_all_descriptors(model: DeviceModel) -> None:
    assert len(get(model, CLASS_MANAGER_OID, (3, 1))) == len(CLASSES)
    assert len(get(model, CLASS_MANAGER_OID, (3, 2))) == len(DATATYPE_NAMES)
    whole = call(model, CLASS_MANAGER_OID, (3, 1), classId=[1, 2, 2, 2], includeInherited=True)
    assert whole["value"] == describe_class((1, 2, 2, 2), include_inherited=True)
    assert call(model, CLASS_MANAGER_OID, (3, 2), name="NcId", includeInherited=False)["value"]["name"] == "NcId"
    assert call(model, CLASS_MANAGER_OID, (3, 1), classId=[7], includeInherited=False)["status"] == 417
    assert call(model, CLASS_MANAGER_OID, (3, 2), name="NcNone", includeInherited=False)["status"] == 417


def found(result: dict[str, Any]) -> list[str]:
    return [member["role"] for member in result["value"]]


def test_blocks_find_their_members(model: DeviceModel) -> None:
    assert len(call(model, ROOT, (2, 1), recurse=False)["value"]) == 4
    assert len(call(model, ROOT, (2, 1), recurse=True)["value"]) == 7
    assert found(call(model, ROOT, (2, 2), path=["receivers", "foyer"])) == ["foyer"]
    assert call(model, ROOT, (2, 2), path=["receivers", "none"])["status"] == 417
    assert call(model, ROOT, (2, 2), path=[])["status"] == 417
    options = {"caseSensitive": False, "matchWholeString": False, "recurse": True}
    assert found(call(model, ROOT, (2, 3), role="MANAG", **options)) == ["DeviceManager", "ClassManager"]
    assert found(call(model, ROOT, (2, 3), role="MANAG", **{**options, "caseSensitive": True})) == []
    assert found(call(model, ROOT, (2, 3), role="take", **{**options, "matchWholeString": True})) == ["take"]
    assert found(call(model, ROOT, (2, 3), role="take", **{**options, "recurse": False})) == []
    assert call(model, ROOT, (2, 3), role="", **options)["status"] == 417
    monitors = call(model, ROOT, (2, 4), classId=[1, 2, 2], includeDerived=True, recurse=True)
    assert found(monitors) == ["take", "foyer", "out"]
    assert found(call(model, ROOT, (2, 4), classId=[1, 2, 2], includeDerived=False, recurse=True)) == []
    assert found(call(model, ROOT, (2, 4), classId=[1, 1], includeDerived=False, recurse=True)) == [
        "receivers",
        "senders",
    ]


def test_a_label_is_set_and_told(model: DeviceModel) -> None:
    result, changes = model.call(RECEIVER, SET, {"id": element_id(LABEL), "value": "Main"})
    assert result == {"status": 200}
    assert (RECEIVER, LABEL, "Main") in [(change.oid, change.property_id, change.value) for change in changes]
    assert RECEIVERS in [change.oid for change in changes], "the block's members have the label too"
    assert get(model, RECEIVER, LABEL) == "Main"
    assert model.call(RECEIVER, SET, {"id": element_id(LABEL), "value": "Main"})[1] == []
    assert model.call(ROOT, SET, {"id": element_id(LABEL), "value": None})[0] == {"status": 200}
    assert get(model, ROOT, LABEL) is None


WRONG = [
    (999, GET, {"id": element_id(LABEL)}, MethodStatus.BAD_OID),
    (ROOT, (1, 999), {}, MethodStatus.METHOD_NOT_IMPLEMENTED),
    (ROOT, GET, {"id": {"level": 1, "index": 999}}, MethodStatus.PROPERTY_NOT_IMPLEMENTED),
    (ROOT, GET, {}, MethodStatus.PARAMETER_ERROR),
    (ROOT, GET, {"id": "role"}, MethodStatus.PARAMETER_ERROR),
    (ROOT, SET, {"id": element_id(ROLE), "value": "x"}, MethodStatus.READONLY),
    (ROOT, SET, {"id": element_id(LABEL), "value": 5}, MethodStatus.PARAMETER_ERROR),
    (ROOT, SET, {"id": element_id(LABEL)}, MethodStatus.PARAMETER_ERROR),
    (ROOT, SET, {"id": element_id(LABEL), "value": "x" * 1025}, MethodStatus.BUFFER_OVERFLOW),
    (ROOT, GET_ITEM, {"id": element_id(MEMBERS), "index": 14}, MethodStatus.INDEX_OUT_OF_BOUNDS),
    (ROOT, GET_ITEM, {"id": element_id(MEMBERS), "index": -1}, MethodStatus.PARAMETER_ERROR),
    (ROOT, GET_ITEM, {"id": element_id(TOUCHPOINTS), "index": 0}, MethodStatus.INDEX_OUT_OF_BOUNDS),
    (ROOT, GET_ITEM, {"id": element_id(ROLE), "index": 0}, MethodStatus.INVALID_REQUEST),
    (ROOT, GET_LENGTH, {"id": element_id(ROLE)}, MethodStatus.INVALID_REQUEST),
    (ROOT, SET_ITEM, {"id": element_id(MEMBERS), "index": 0, "value": {}}, MethodStatus.READONLY),
    (ROOT, ADD_ITEM, {"id": element_id(MEMBERS), "value": {}}, MethodStatus.READONLY),
    (ROOT, REMOVE_ITEM, {"id": element_id(MEMBERS), "index": 0}, MethodStatus.READONLY),
    (RECEIVER, SET, {"id": element_id((2, 1)), "value": False}, MethodStatus.INVALID_REQUEST),
    (RECEIVER, SET, {"id": element_id((3, 3)), "value": 3601}, MethodStatus.PARAMETER_ERROR),
    (RECEIVER, SET, {"id": element_id((3, 3)), "value": -1}, MethodStatus.PARAMETER_ERROR),
    (RECEIVER, SET, {"id": element_id((4, 1)), "value": 1}, MethodStatus.READONLY),
    (RECEIVER, SET, {"id": element_id((4, 14)), "value": 1}, MethodStatus.PARAMETER_ERROR),
    (RECEIVER, (2, 1), {"recurse": True}, MethodStatus.METHOD_NOT_IMPLEMENTED),
]


@pytest.mark.parametrize(("oid", "method", "arguments", "status"), WRONG)
def test_wrong_calls_have_their_status(model: DeviceModel, oid: int, method: ElementId, arguments, status) -> None:
    result, changes = model.call(oid, method, arguments)
    assert result["status"] == status, result
    assert has_type(result, "NcMethodResultError")
    assert changes == []


def test_a_monitor_reports_in_time(model: DeviceModel) -> None:
    bad = seen(connection=Observation(Health.UNHEALTHY, "no packets are received"))
    changes = model.observe_runs([replace(TAKE, seen=bad), FOYER], [OUT], 10 * S)
    told = {change.property_id: change.value for change in changes if change.oid == RECEIVER}
    assert told == {
        (3, 1): 3,
        (3, 2): "no packets are received",
        (4, 4): 3,
        (4, 5): "no packets are received",
        (4, 6): 1,
    }
    assert {change.oid for change in changes} == {RECEIVER}
    counted = {"lost": (PacketCounter("packets_lost", 7),), "late": (PacketCounter("packets_late", 6),)}
    model.observe_runs([replace(TAKE, seen=seen(counters=counted)), FOYER], [OUT], 11 * S)
    assert model.next_change_ns() == 14 * S
    assert model.advance_monitors(14 * S - 1) == []
    assert (4, 4) in [change.property_id for change in model.advance_monitors(14 * S)]
    assert get(model, RECEIVER, (4, 4)) == 1
    assert call(model, RECEIVER, (4, 1))["value"] == [{"name": "packets_lost", "value": 2, "description": None}]
    result, changes = model.call(RECEIVER, (4, 3), {})
    assert result == {"status": 200}
    assert (4, 6) in [change.property_id for change in changes]
    assert [counter["value"] for counter in call(model, RECEIVER, (4, 2))["value"]] == [0]
    assert call(model, SENDER, (4, 1))["value"][0]["name"] == "packets_errors"
    assert call(model, SENDER, (4, 2)) == {"status": 200}


def test_monitors_come_and_go_with_their_resources(model: DeviceModel) -> None:
    changes = model.observe_runs([FOYER], [OUT], 1 * S)
    assert [(change.oid, change.property_id) for change in changes] == [(RECEIVERS, MEMBERS)]
    assert call(model, RECEIVER, GET, id=element_id(LABEL))["status"] == MethodStatus.BAD_OID
    model.observe_runs([FOYER, TAKE], [OUT], 2 * S)
    again = get(model, RECEIVERS, MEMBERS)[-1]
    assert (again["role"], again["oid"]) == ("take", FIRST_MONITOR + 3)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**33) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["level", "index", "x"]), inner),
    max_leaves=6,
)
property_ids = st.builds(lambda level, index: {"level": level, "index": index}, st.integers(1, 5), st.integers(1, 15))
names = st.sampled_from(["id", "value", "index", "recurse", "path", "role", "classId", "includeInherited", "name"])
arguments_given = st.dictionaries(names, json | property_ids | st.booleans() | st.integers(0, 3), max_size=5)


@given(st.integers(0, 15), st.tuples(st.integers(0, 5), st.integers(0, 9)), arguments_given)
def test_any_call_has_a_result_of_its_datatype(oid: int, method: ElementId, arguments: dict[str, Any]) -> None:
    model = DeviceModel(DeviceIdentity(name="studio", version="0.1.0", serial_number="4711"))
    model.observe_runs([TAKE, FOYER], [OUT], 0)
    result, _ = model.call(oid, method, arguments)
    if result["status"] == MethodStatus.OK:
        class_id = tuple(get(model, oid, (1, 1)))
        assert has_type(result, methods_of(class_id)[method].result)
    else:
        assert has_type(result, "NcMethodResultError")


def test_what_a_controller_has_set_comes_back_in_another_model(model: DeviceModel) -> None:
    saved: list[bool] = []
    model = DeviceModel(
        DeviceIdentity(name="studio", version="0.1.0", serial_number="4711"), lambda: saved.append(True)
    )
    model.observe_runs([TAKE, FOYER], [OUT], 0)
    delay = next(id for id, each in properties_of((1, 2, 2, 1)).items() if each.field.name == "statusReportingDelay")
    assert call(model, ROOT, SET, id=element_id(LABEL), value="Hall")["status"] == 200
    assert call(model, RECEIVER, SET, id=element_id(delay), value=9)["status"] == 200
    assert call(model, RECEIVER, SET, id=element_id(ROLE), value="x")["status"] != 200
    assert model.settings == {"root": {"userLabel": "Hall"}, "root/receivers/take": {"statusReportingDelay": 9}}
    assert saved == [True, True]

    other = DeviceModel(DeviceIdentity(name="studio", version="0.1.0", serial_number="4711"))
    damaged = {"root/receivers/foyer": {"userLabel": 5, "no": 1, "statusReportingDelay": -1}, "x": 3}
    other.restore_settings({**model.settings, **damaged})
    other.observe_runs([FOYER, TAKE], [OUT], 0)
    taken = {get(other, oid, ROLE): get(other, oid, delay) for oid in (FIRST_MONITOR, FIRST_MONITOR + 1)}
    assert taken == {"foyer": 3, "take": 9}
    assert get(other, ROOT, LABEL) == "Hall"


def paths_below(model: DeviceModel, block: int) -> dict[tuple[str, ...], dict[str, Any]]:
    """What a controller finds that reads the members of a block and of all blocks in it: descriptors by role path."""
    there: dict[tuple[str, ...], dict[str, Any]] = {}
    for member in get(model, block, MEMBERS):
        there[member["role"],] = member
        if member["classId"][:2] == [1, 1]:
            inside = paths_below(model, member["oid"])
            there |= {(member["role"], *path): below for path, below in inside.items()}
    return there


@pytest.mark.parametrize("block", [ROOT, RECEIVERS, SENDERS])
def test_the_search_methods_agree_with_the_tree(model: DeviceModel, block: int) -> None:
    tree = paths_below(model, block)
    assert tree
    for recurse in (False, True):
        within = {path: member for path, member in tree.items() if recurse or len(path) == 1}
        assert call(model, block, (2, 1), recurse=recurse)["value"] == list(within.values())
        for class_id, derived in product([list(each) for each in CLASSES], (False, True)):
            wanted = [
                member
                for member in within.values()
                if member["classId"] == class_id or (derived and member["classId"][: len(class_id)] == class_id)
            ]
            result = call(model, block, (2, 4), classId=class_id, includeDerived=derived, recurse=recurse)
            assert result == {"status": 200, "value": wanted}
        for path, cased, whole in product(tree, (False, True), (False, True)):
            for role in (path[-1], path[-1].upper(), path[-1][-4:], path[-1][-4:].upper()):

                def fits(there: str, role: str = role, cased: bool = cased, whole: bool = whole) -> bool:
                    one, other = (there, role) if cased else (there.lower(), role.lower())
                    return one == other if whole else other in one

                options = {"caseSensitive": cased, "matchWholeString": whole, "recurse": recurse}
                wanted = [member for member in within.values() if fits(member["role"])]
                assert call(model, block, (2, 3), role=role, **options)["value"] == wanted
    for path, member in tree.items():
        assert call(model, block, (2, 2), path=list(path))["value"] == [member]
