"""The application as clients meet it: CORS, OPTIONS, slashes, error bodies, limits, tokens, schemas of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from phasegraph_nmos.access_tokens import AccessTokens, TokenKeysUnusable, read_token_keys
from phasegraph_nmos.connection.connections import Connections, Due
from phasegraph_nmos.connection.transport_file import write_transport_file
from phasegraph_nmos.connection.transport_params import PatchRefused
from phasegraph_nmos.http.api_answers import ApiAnswer, ApiRequest
from phasegraph_nmos.http.connection_api import connection_api
from phasegraph_nmos.http.nmos_app import MOST_BODY_BYTES, NmosApp
from phasegraph_nmos.http.node_api import node_api
from phasegraph_nmos.model.resource_identity import format_tai
from phasegraph_nmos.model.resource_store import ResourceStore
from phasegraph_nmos.model.resources import make_resources

from ..connection.test_endpoint import BODIES, PEER
from ..nmos_site import IDENTITY, INTERFACES, TAI_NS, hall, parse_session, sdp
from ..nmos_vectors import check_schema, needs_vectors

NODE = "/x-nmos/node/v1.3"
CONNECTION = "/x-nmos/connection/v1.1"
LATER = {"mode": "activate_scheduled_relative", "requested_time": "5:0"}


class InstantActivator:
    """Carries out at once what is asked for, or fails with a sentence."""

    def __init__(self) -> None:
        self.failure = ""
        self.scheduled = 0
        self.together: list[int] = []

    async def activate(self, due: list[Due]) -> dict[str, int | PatchRefused]:
        self.together.append(len(due))
        for endpoint, activation in due:
            if self.failure:
                endpoint.abandon(activation)
            else:
                endpoint.finish(activation, TAI_NS)
                endpoint.settle()
        result = PatchRefused(400, f"the run did not carry it out: {self.failure}") if self.failure else TAI_NS
        return {endpoint.id: result for endpoint, _ in due}

    def schedule(self) -> None:
        self.scheduled += 1


class Site:
    """The application of a node, and a client of it."""

    def __init__(self, tokens: AccessTokens | None = None) -> None:
        self.connections = Connections(IDENTITY, parse_session)
        self.connections.follow([hall()], INTERFACES)
        self.store = ResourceStore()
        made = make_resources(IDENTITY, [hall()], INTERFACES, self.connections.subscriptions(), [])
        self.store.replace_resources(made, TAI_NS)
        self.activator = InstantActivator()
        self.app = NmosApp(tokens.check_token if tokens is not None else None)
        self.app.add_api("node", {version: node_api(self.store, version) for version in ("v1.2", "v1.3")})
        handler = connection_api(
            self.connections, self.activator, lambda: TAI_NS, lambda each: write_transport_file(each, None)
        )
        self.app.add_api("connection", {"v1.1": handler})
        self.app.add_api("broken", {"v1.0": self._fail})
        self.receivers = {each.view.id: each.id for each in self.connections.endpoints["receiver"].values()}
        (self.sender,) = self.connections.endpoints["sender"]

    @staticmethod
    async def _fail(request: ApiRequest) -> ApiAnswer:
        raise ZeroDivisionError("wrong")

    def staged(self, receiver: str = "stage") -> str:
        return f"{CONNECTION}/single/receivers/{self.receivers[receiver]}/staged"

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        messages = [{"type": "http.request", "body": body[:1000], "more_body": True}]
        messages.append({"type": "http.request", "body": body[1000:]})

        async def receive() -> Any:
            return messages.pop(0) if messages else await trio.sleep_forever()

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, sent[1]["body"]

    async def json(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, headers, answer = await self.ask(method, path, b"" if body is None else json.dumps(body).encode())
        assert headers["access-control-allow-origin"] == "*"
        assert headers["content-type"] == "application/json"
        return status, json.loads(answer)


async def test_paths_are_listed_with_and_without_a_slash() -> None:
    site = Site()
    for path, listed in {
        "/": ["x-nmos/"],
        "/x-nmos": ["node/", "connection/", "broken/"],
        "/x-nmos/node": ["v1.2/", "v1.3/"],
        CONNECTION: ["bulk/", "single/"],
        f"{CONNECTION}/single": ["senders/", "receivers/"],
        f"{CONNECTION}/bulk": ["senders/", "receivers/"],
        f"{CONNECTION}/single/senders": [f"{site.sender}/"],
    }.items():
        for slash in ("", "/"):
            status, found = await site.json("GET", path.rstrip("/") + slash if path != "/" else path)
            assert (status, found) == (200, listed), path


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/x-nmos/node/v9.9/self", 404),
        ("GET", "/x-nmos/query/v1.3/nodes", 404),
        ("GET", "/nothing/at/all", 404),
        ("GET", f"{NODE}/senders/{'0' * 36}", 404),
        ("GET", f"{CONNECTION}/single/senders/{'0' * 36}/staged", 404),
        ("GET", f"{CONNECTION}/single/receivers/RECEIVER/transportfile", 404),
        ("GET", f"{CONNECTION}/single/receivers/RECEIVER/staged/more", 404),
        ("GET", f"{CONNECTION}/bulk/senders", 405),
        ("GET", f"{CONNECTION}/bulk/receivers", 405),
        ("PUT", f"{CONNECTION}/single/receivers/RECEIVER/staged", 405),
        ("PATCH", f"{CONNECTION}/single/receivers/RECEIVER/active", 405),
        ("POST", f"{NODE}/self", 405),
        ("GET", "/x-nmos/broken/v1.0/", 500),
    ],
)
async def test_errors_have_a_body_and_the_headers(method: str, path: str, status: int) -> None:
    site = Site()
    found, body = await site.json(method, path.replace("RECEIVER", site.receivers["stage"]))
    assert found == body["code"] == status
    assert set(body) == {"code", "error", "debug"}
    assert body["error"]


async def test_options_are_answered_everywhere() -> None:
    site = Site()
    for path in (NODE, site.staged(), f"{CONNECTION}/bulk/senders", f"{NODE}/receivers/x/target"):
        status, headers, _ = await site.ask("OPTIONS", path)
        assert status == 200
        assert "PATCH" in headers["access-control-allow-methods"]
        assert "Authorization" in headers["access-control-allow-headers"]


async def test_head_is_a_get_without_a_body() -> None:
    status, headers, body = await Site().ask("HEAD", f"{NODE}/self")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"nul"])
async def test_what_is_no_json_is_refused(body: bytes) -> None:
    site = Site()
    status, _, answer = await site.ask("PATCH", site.staged(), body)
    assert status == 400
    assert json.loads(answer)["error"] == "the body is not JSON"


async def test_a_body_that_is_too_long_is_refused() -> None:
    site = Site()
    status, _, _ = await site.ask("PATCH", site.staged(), b" " * (MOST_BODY_BYTES + 1))
    assert status == 413


async def test_a_body_that_does_not_come_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    site, sent = Site(), []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PATCH", "path": site.staged(), "headers": []}
    await site.app(scope, trio.sleep_forever, send)
    assert sent[0]["status"] == 408


@needs_vectors
async def test_every_answer_of_the_connection_api_is_of_its_schema() -> None:
    site = Site()
    for plural, id in (("senders", site.sender), ("receivers", site.receivers["stage"])):
        kind, base = plural[:-1], f"{CONNECTION}/single/{plural}"
        for path, schema in {
            CONNECTION: "connectionapi-base",
            f"{CONNECTION}/single": "connectionapi-single",
            f"{CONNECTION}/bulk": "connectionapi-bulk",
            base: "sender-receiver-base",
            f"{base}/{id}": f"connectionapi-{kind}",
            f"{base}/{id}/constraints": "constraints-schema",
            f"{base}/{id}/staged": f"{kind}-response-schema",
            f"{base}/{id}/active": f"{kind}-response-schema",
            f"{base}/{id}/transporttype": "transporttype-response-schema",
        }.items():
            status, body = await site.json("GET", path)
            assert status == 200
            check_schema("is-05-v1.1", schema, body)
        for activation, code in (({"mode": "activate_immediate"}, 200), (LATER, 202), ({"mode": None}, 200)):
            status, body = await site.json("PATCH", f"{base}/{id}/staged", {"activation": activation})
            assert status == code
            check_schema("is-05-v1.1", f"{kind}-response-schema", body)
        bulk = [{"id": id, "params": {"activation": {"mode": "activate_immediate"}}}, {"id": IDENTITY.id, "params": {}}]
        status, body = await site.json("POST", f"{CONNECTION}/bulk/{plural}", bulk)
        assert [each["code"] for each in body] == [200, 404]
        check_schema("is-05-v1.1", "bulk-response-schema", body)
        status, body = await site.json("PATCH", f"{base}/{id}/staged", {"bad": "data"})
        check_schema("is-05-v1.1", "error", body)


async def test_an_immediate_patch_and_what_is_there_afterwards() -> None:
    site = Site()
    file = {"data": sdp(), "type": "application/sdp"}
    body = {"transport_file": file, "master_enable": True, "activation": {"mode": "activate_immediate"}}
    status, answer = await site.json("PATCH", site.staged("spare"), body)
    assert status == 200
    assert answer["activation"]["mode"] == "activate_immediate"
    assert answer["activation"]["activation_time"] == format_tai(TAI_NS)
    _, staged = await site.json("GET", site.staged("spare"))
    assert staged["activation"] == {"mode": None, "requested_time": None, "activation_time": None}
    _, active = await site.json("GET", site.staged("spare").replace("staged", "active"))
    assert active["activation"] == answer["activation"]
    assert active["transport_params"] == answer["transport_params"]


async def test_a_run_that_refuses_leaves_all_as_it_was() -> None:
    site = Site()
    site.activator.failure = "there is no such interface"
    before = (await site.json("GET", site.staged().replace("staged", "active")))[1]
    status, body = await site.json("PATCH", site.staged(), {"activation": {"mode": "activate_immediate"}})
    assert (status, body["error"]) == (400, "the run did not carry it out: there is no such interface")
    assert (await site.json("GET", site.staged().replace("staged", "active")))[1] == before
    bulk = [{"id": id, "params": {"activation": {"mode": "activate_immediate"}}} for id in site.receivers.values()]
    status, results = await site.json("POST", f"{CONNECTION}/bulk/receivers", bulk)
    assert (status, [each["code"] for each in results]) == (200, [400, 400])


async def test_a_bulk_request_is_one_change_and_schedules_once() -> None:
    site = Site()
    at_once = {"activation": {"mode": "activate_immediate"}}
    bulk = [{"id": id, "params": at_once} for id in site.receivers.values()]
    assert (await site.json("POST", f"{CONNECTION}/bulk/receivers", bulk))[0] == 200
    assert site.activator.together == [2]
    bulk = [{"id": id, "params": {"activation": LATER}} for id in site.receivers.values()]
    _, results = await site.json("POST", f"{CONNECTION}/bulk/receivers", bulk)
    assert [each["code"] for each in results] == [202, 202]
    assert site.activator.scheduled == 1
    assert (await site.json("PATCH", site.staged(), {}))[0] == 423


async def test_the_transport_file_is_an_sdp() -> None:
    site = Site()
    path = f"{CONNECTION}/single/senders/{site.sender}/transportfile"
    for slash in ("", "/"):
        status, headers, body = await site.ask("GET", path + slash)
        assert (status, headers["content-type"]) == (200, "application/sdp")
        assert body.startswith(b"v=0\r\n")


@settings(max_examples=50)
@given(body=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: json.dumps({text: text}).encode()))
def test_any_body_gets_a_reason(body: bytes) -> None:
    async def ask() -> None:
        site = Site()
        for method, path in (("PATCH", site.staged()), ("POST", f"{CONNECTION}/bulk/senders")):
            status, _, answer = await site.ask(method, path, body)
            assert status in (200, 202) or (400 <= status < 500 and json.loads(answer)["error"])

    trio.run(ask)


@given(body=BODIES, kind=st.sampled_from(["receivers", "senders"]), others=st.lists(BODIES, max_size=2))
def test_any_json_is_answered_by_200_202_or_a_reason(body: Any, kind: str, others: list[Any]) -> None:
    async def ask() -> None:
        site = Site()
        id = site.sender if kind == "senders" else site.receivers["stage"]
        path = f"{CONNECTION}/single/{kind}/{id}/staged"
        entries = [
            {"id": id, "params": body},
            *({"id": each, "params": other} for each, other in zip((id, PEER), others, strict=False)),
        ]
        requests = [("PATCH", path, body), ("POST", f"{CONNECTION}/bulk/{kind}", entries)]
        requests += [("POST", f"{CONNECTION}/bulk/{kind}", body), ("PATCH", path, others)]
        for method, where, content in requests:
            status, answer = await site.json(method, where, content)
            assert status in (200, 202) or (400 <= status < 500 and answer["error"])
            for each in answer if isinstance(answer, list) else ():
                assert each["code"] in (200, 202) or (400 <= each["code"] < 500 and each["error"])
        for part in ("staged", "active", "constraints"):
            status, _ = await site.json("GET", f"{CONNECTION}/single/{kind}/{id}/{part}")
            assert status == 200

    trio.run(ask)


KEY = RSAKey.generate_key(2048, parameters={"kid": "1"}, auto_kid=False)
NOW_S = 1_900_000_000


def token(key: RSAKey = KEY, algorithm: str = "RS512", **claims: Any) -> str:
    rights = {"read": ["*"], "write": ["single/receivers/*"]}
    whole = {
        "aud": ["*.hall.example", "studio"],
        "exp": NOW_S + 60,
        "x-nmos-connection": rights,
        "x-nmos-node": {"read": ["*"]},
        **claims,
    }
    return jwt.encode({"alg": algorithm, "kid": "1"}, whole, key, algorithms=[algorithm])


def secured() -> Site:
    return Site(AccessTokens(KeySet([KEY]), "studio", lambda: NOW_S))


async def test_a_token_opens_what_it_names() -> None:
    site = secured()
    bearer = f"Bearer {token()}"
    assert (await site.ask("GET", f"{NODE}/self", Authorization=bearer))[0] == 200
    assert (await site.ask("PATCH", site.staged(), b"{}", Authorization=bearer))[0] == 200
    sender = f"{CONNECTION}/single/senders/{site.sender}/staged"
    status, _, body = await site.ask("PATCH", sender, b"{}", Authorization=bearer)
    assert status == 403
    assert "does not allow to write" in json.loads(body)["error"]
    assert (await site.ask("OPTIONS", sender))[0] == 200, "a browser asks without a token first"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic dXNlcjpwYXNz",
        "Bearer not.a.token",
        f"Bearer {token(RSAKey.generate_key(2048, parameters={'kid': '1'}, auto_kid=False))}",
        f"Bearer {token(exp=NOW_S - 1)}",
        f"Bearer {token(exp='soon')}",
        f"Bearer {token(nbf=NOW_S + 9)}",
        f"Bearer {token(aud='elsewhere')}",
        f"Bearer {token(aud=5)}",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        f"Bearer {'a' * 20_000}",
    ],
    ids=range(11),
)
async def test_a_wrong_token_is_refused(header: str) -> None:
    headers = {"Authorization": header} if header else {}
    status, answered, _ = await secured().ask("GET", f"{NODE}/self", **headers)
    assert status == 401
    assert answered["www-authenticate"].startswith("Bearer")


def test_a_file_of_keys(tmp_path: Any) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    assert len(read_token_keys(file).keys) == 1
    file.write_text(json.dumps(KEY.as_dict(private=False)))
    assert len(read_token_keys(file).keys) == 1
    for wrong in ("", "[]", '{"keys": 5}', '{"keys": [{}]}'):
        file.write_text(wrong)
        with pytest.raises(TokenKeysUnusable):
            read_token_keys(file)
