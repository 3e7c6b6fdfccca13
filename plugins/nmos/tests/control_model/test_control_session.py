"""Messages of a control session: responses, subscriptions, notifications, errors."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_nmos.control_model.control_objects import DeviceIdentity
from phasegraph_nmos.control_model.control_session import MOST_COMMANDS, MOST_MESSAGE_BYTES, ControlSession
from phasegraph_nmos.control_model.device_model import CLASS_MANAGER_OID, ROOT, DeviceModel

from ..nmos_vectors import VECTORS, check_schema

SCHEMAS = {
    1: "command-response-message",
    2: "notification-message",
    4: "subscription-response-message",
    5: "error-message",
}
OID = {"id": {"level": 1, "index": 2}}
LABEL = {"level": 1, "index": 6}


def checked(text: str | None) -> dict[str, Any]:
    assert text is not None
    message: dict[str, Any] = json.loads(text)
    if VECTORS.is_dir():
        check_schema("is-12-v1.0", SCHEMAS[message["messageType"]], message)
    return message


@pytest.fixture
def model() -> DeviceModel:
    return DeviceModel(DeviceIdentity(name="studio", version="0.1.0", serial_number="4711"))


@pytest.fixture
def session(model: DeviceModel) -> ControlSession:
    return ControlSession(model)


def command(method: int, oid: int = ROOT, handle: Any = 1, **arguments: Any) -> dict[str, Any]:
    return {"handle": handle, "oid": oid, "methodId": {"level": 1, "index": method}, "arguments": arguments}


def send(session: ControlSession, message: Any) -> dict[str, Any]:
    return checked(session.receive_message(json.dumps(message))[0])


def test_commands_are_answered_in_their_order(session: ControlSession) -> None:
    commands = [command(1, handle=7, **OID), command(1, 99, handle=3, **OID), command(99, handle=65535)]
    answer = send(session, {"messageType": 0, "commands": commands})
    assert [response["handle"] for response in answer["responses"]] == [7, 3, 65535]
    assert [response["result"]["status"] for response in answer["responses"]] == [200, 404, 501]
    assert answer["responses"][0]["result"]["value"] == ROOT


def test_arguments_may_be_left_out(session: ControlSession) -> None:
    bare = {"handle": 1, "oid": ROOT, "methodId": {"level": 1, "index": 1}}
    answer = send(session, {"messageType": 0, "commands": [bare]})
    assert answer["responses"][0]["result"]["status"] == 417


def test_subscribers_are_notified_and_others_are_not(model: DeviceModel) -> None:
    one, other = ControlSession(model), ControlSession(model)
    assert send(one, {"messageType": 3, "subscriptions": [ROOT, 999, ROOT]})["subscriptions"] == [ROOT]
    send(other, {"messageType": 3, "subscriptions": [CLASS_MANAGER_OID]})
    text, changes = other.receive_message(
        json.dumps({"messageType": 0, "commands": [command(2, id=LABEL, value="Gallery 2")]})
    )
    assert checked(text)["responses"] == [{"handle": 1, "result": {"status": 200}}]
    assert other.notification(changes) is None
    assert checked(one.notification(changes))["notifications"] == [
        {
            "oid": ROOT,
            "eventId": {"level": 1, "index": 1},
            "eventData": {"propertyId": LABEL, "changeType": 0, "value": "Gallery 2", "sequenceItemIndex": None},
        }
    ]


def test_a_subscription_replaces_the_one_before(session: ControlSession) -> None:
    send(session, {"messageType": 3, "subscriptions": [ROOT]})
    assert send(session, {"messageType": 3, "subscriptions": []})["subscriptions"] == []
    message = {"messageType": 0, "commands": [command(2, id=LABEL, value="x")]}
    assert session.notification(session.receive_message(json.dumps(message))[1]) is None


WRONG: list[Any] = [
    {"not_a": "valid_command"},
    {"messageType": 7},
    {"messageType": 1, "responses": []},
    {"messageType": 0},
    {"messageType": 0, "commands": []},
    {"messageType": 0, "commands": [command(1, handle=0)]},
    {"messageType": 0, "commands": [command(1, handle=999_999_999)]},
    {"messageType": 0, "commands": [command(1, handle="NOT A HANDLE")]},
    {"messageType": 0, "commands": [command(1, oid=0)]},
    {"messageType": 0, "commands": [{"handle": 1, "oid": 1}]},
    {"messageType": 0, "commands": [command(1)] * (MOST_COMMANDS + 1)},
    {"messageType": 3, "subscriptions": "all"},
    {"messageType": 3, "subscriptions": [1.5]},
    {"messageType": "0"},
    [],
    None,
    5,
]


@pytest.mark.parametrize("message", WRONG, ids=[str(message)[:60] for message in WRONG])
def test_what_is_no_message_is_an_error_message(session: ControlSession, message: Any) -> None:
    answer = send(session, message)
    assert (answer["messageType"], answer["status"]) == (5, 400)
    assert answer["errorMessage"]
    assert session.malformed == 1


@pytest.mark.parametrize(
    "text", ["", "{", b"\xff\xfe", "[" * 10_000, "{" + '"a":[' * 30_000, " " * (MOST_MESSAGE_BYTES + 1)]
)
def test_what_is_no_json_is_an_error_message(session: ControlSession, text: str | bytes) -> None:
    assert checked(session.receive_message(text)[0])["messageType"] == 5


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
commands_given = st.lists(
    st.fixed_dictionaries(
        {"handle": st.integers(1, 9) | anything, "oid": st.integers(1, 6) | anything},
        optional={
            "methodId": st.fixed_dictionaries({"level": st.integers(1, 3), "index": st.integers(1, 8)}) | anything,
            "arguments": st.dictionaries(st.sampled_from(["id", "value", "recurse", "role"]), anything) | anything,
        },
    ),
    max_size=3,
)


@given(
    anything
    | st.fixed_dictionaries(
        {"messageType": st.integers(-1, 6)},
        optional={"commands": commands_given | anything, "subscriptions": st.lists(st.integers()) | anything},
    )
)
def test_any_message_is_answered(message: Any) -> None:
    session = ControlSession(DeviceModel(DeviceIdentity(name="studio", version="0.1.0", serial_number="4711")))
    answer = send(session, message)
    assert answer["messageType"] in (1, 4, 5)


def test_a_label_of_every_object_is_told_once_for_every_change(model: DeviceModel, session: ControlSession) -> None:
    watched = sorted(model.oids)
    assert send(session, {"messageType": 3, "subscriptions": watched})["subscriptions"] == watched
    for oid in watched:
        before = send(session, {"messageType": 0, "commands": [command(1, oid, id=LABEL)]})["responses"][0]
        for label in (f"Tested {oid}", before["result"]["value"]):
            message = {"messageType": 0, "commands": [command(2, oid, id=LABEL, value=label)]}
            text, changes = session.receive_message(json.dumps(message))
            assert checked(text)["responses"][0]["result"] == {"status": 200}
            heard = [
                each
                for each in checked(session.notification(changes))["notifications"]
                if each["oid"] == oid and each["eventData"]["propertyId"] == LABEL
            ]
            data = {"propertyId": LABEL, "changeType": 0, "value": label, "sequenceItemIndex": None}
            assert heard == [{"oid": oid, "eventId": {"level": 1, "index": 1}, "eventData": data}]
    assert send(session, {"messageType": 3, "subscriptions": []})["subscriptions"] == []
    _, changes = session.receive_message(
        json.dumps({"messageType": 0, "commands": [command(2, id=LABEL, value="Unheard")]})
    )
    assert session.notification(changes) is None
