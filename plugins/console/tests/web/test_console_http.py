"""The console on a real socket: what it answers, whom it refuses, and what no client can do to it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph_console.web import http_listener, request_guard
from phasegraph_console.web.access_rules import MOST_FAILURES
from phasegraph_console.web.http_listener import MOST_CONNECTIONS
from phasegraph_console.web.request_guard import MOST_BODY_BYTES, SECURITY_HEADERS

from .console_fakes import FakeMachine, FakeRun, event, status
from .served import AS_OPERATOR, AS_READER, raw_answer, served

pytestmark = pytest.mark.realtime
RUN = "/api/v1/runs/hall"
STOP = f"{RUN}/stop"


def machine(**figures: Any) -> FakeMachine:
    run = FakeRun()
    run.send(status(**figures))
    return FakeMachine(run)


async def test_runs_are_listed_and_shown() -> None:
    async with served(machine()) as it:
        await trio.sleep(0.2)
        listed = (await it.client.get("/api/v1/runs")).json()["runs"]
        assert [(run["name"], run["state"], run["pid"]) for run in listed] == [("hall", "running", 4711)]
        shown = (await it.client.get(RUN)).json()
        assert shown["headline"] == listed[0]["headline"] == "The stream is healthy: 400 µs to spare."
        assert shown["status"]["nodes"]["stage"]["metrics"]["link_offset_ns"] == 3_000_000
        assert (await it.client.get("/api/v1/runs/attic")).status_code == 404
        document = (await it.client.get("/api/v1/openapi.json")).json()
        assert set(document["paths"]) >= {"/api/v1/runs", "/api/v1/runs/{run}", "/api/v1/events"}


async def test_the_page_and_its_headers() -> None:
    async with served() as it:
        page = await it.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert {name: page.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS | {
            "cache-control": "no-cache"
        }


async def test_events_are_pushed() -> None:
    there = machine()
    async with served(there) as it, await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
        await stream.send_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        received = b""
        while b"event: ready" not in received:
            received += await stream.receive_some(65536)
        there.runs["hall"].send(event("packets_come_late", reason="too short"))
        while b"event: event\n" not in received or not received.endswith(b"\n\n\r\n"):
            received += await stream.receive_some(65536)
        data = json.loads(received.split(b"event: event\ndata: ")[1].split(b"\n")[0])
        assert (data["run"], data["event"]["name"]) == ("hall", "packets_come_late")


async def test_verifying_writes_a_capture_and_needs_the_operator() -> None:
    async with served(machine()) as it:
        await trio.sleep(0.2)
        for headers, code in (({}, 401), (AS_READER, 403), (AS_OPERATOR, 409)):
            assert (await it.client.post(f"{RUN}/verify", json={}, headers=headers)).status_code == code
        assert [json.loads(line)["audit"] for line in it.said[1:]] == ["verify"] * 3


async def test_changes_need_the_operator_and_each_leaves_a_line() -> None:
    async with served(machine()) as it:
        await trio.sleep(0.2)
        for headers, code in (
            ({}, 401),
            (AS_READER, 403),
            ({"authorization": "Bearer wrong"}, 401),
            (AS_OPERATOR, 409),
        ):
            assert (await it.client.post(STOP, json={}, headers=headers)).status_code == code
        lines = [json.loads(line) for line in it.said[1:]]
        assert [(line["audit"], line["run"], line["role"]) for line in lines] == [
            ("stop", "hall", "read-only"),
            ("stop", "hall", "read-only"),
            ("stop", "hall", "operator"),
        ]
        assert "operator-token" not in str(lines)


async def test_off_loopback_nothing_is_read_without_a_token() -> None:
    async with served(machine(), host="0.0.0.0") as it:
        await trio.sleep(0.2)
        for path in ("/api/v1/runs", RUN, "/api/v1/events", "/api/v1/openapi.json", "/metrics"):
            assert (await it.client.get(path)).status_code == 401, path
        assert (await it.client.get(RUN, headers=AS_READER)).status_code == 200
        assert (await it.client.get("/")).status_code == 200


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no program openssl")
async def test_with_a_certificate_it_is_https_alone(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", str(certificate), "-keyout", str(key)]
    await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    async with served(machine(), tls=(certificate, key)) as it:
        await trio.sleep(0.2)
        assert it.said[0].startswith("The console is at https://")
        assert (await it.client.get(RUN)).json()["state"] == "running"
        assert (await it.client.post(STOP, json={})).status_code == 401
        plain = await raw_answer(it.port, b"GET /api/v1/runs HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"hall" not in plain


async def test_every_path_of_the_document_asks_for_its_token() -> None:
    edit = {"set": {"sink.take.input": "stage"}}
    changing: dict[str, Any] = {"plan": edit, "apply": edit, "restart": {"node": "stage"}, "verify": {}, "stop": {}}
    async with served(machine(), host="0.0.0.0") as far, served(machine()) as near:
        await trio.sleep(0.2)
        document = (await far.client.get("/api/v1/openapi.json", headers=AS_READER)).json()
        asked = [(method, path) for path, methods in document["paths"].items() for method in methods]
        assert changing.keys() <= {path.rpartition("/")[2] for _, path in asked}
        for method, path in asked:
            url, action = path.replace("{run}", "hall"), path.rpartition("/")[2]
            body = changing.get(action, {}) if method == "post" else None
            assert (await far.client.request(method, url, json=body)).status_code == 401, (method, path)
            if action in changing:
                assert (await near.client.request(method, url, json=body)).status_code == 401, path
                assert (await near.client.request(method, url, json=body, headers=AS_READER)).status_code == 403, path


async def test_an_address_with_too_many_wrong_tokens_has_to_wait() -> None:
    async with served(machine()) as it:
        for _ in range(MOST_FAILURES):
            assert (await it.client.get("/api/v1/runs", headers={"authorization": "Bearer x"})).status_code == 401
        refused = await it.client.get("/api/v1/runs", headers=AS_OPERATOR)
        assert refused.status_code == 429
        assert 50 <= int(refused.headers["retry-after"]) <= 61
        assert (await it.client.get("/api/v1/runs")).status_code == 200  # reading without a token goes on


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:8420", "origin": "http://evil.example:8420"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 409),
    ],
)
async def test_requests_of_other_sites_and_names_are_refused(headers: dict[str, str], code: int) -> None:
    async with served(machine()) as it:
        await trio.sleep(0.2)
        assert (await it.client.post(STOP, json={}, headers=AS_OPERATOR | headers)).status_code == code


PATHS = """
    /../../etc/passwd /%2e%2e/%2e%2e/etc/passwd /..%2fpyproject.toml /page/index.html //etc/passwd /%00
    /index.html/ /page.py
"""


@pytest.mark.parametrize("path", PATHS.split())
async def test_paths_lead_to_no_file(path: str) -> None:
    async with served() as it:
        head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()
        answer = await raw_answer(it.port, head)
        assert answer.startswith(b"HTTP/1.1 404"), answer[:200]


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"at_once": 1}', {}, 400),
        (b'{"more": 1}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"\xff", {}, 400),
    ],
)
async def test_bodies_that_are_refused(body: bytes, headers: dict[str, str], code: int) -> None:
    async with served(machine()) as it:
        await trio.sleep(0.2)
        headers = {"content-type": "application/json", **AS_OPERATOR, **headers}
        assert (await it.client.post(STOP, content=body, headers=headers)).status_code == code


HEAD = f"POST {STOP} HTTP/1.1\r\nhost: localhost\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + f"content-length: {MOST_BODY_BYTES + 1}\r\n\r\n".encode(),
        HEAD + f"content-length: {'9' * 12}\r\n\r\n".encode(),
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + 17 * (b"10000\r\n" + b" " * 65536 + b"\r\n"),
    ],
)
async def test_bodies_are_bounded(sent: bytes) -> None:
    async with served(machine()) as it:
        assert (await raw_answer(it.port, sent)).startswith(b"HTTP/1.1 413")


async def test_a_body_that_comes_too_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_guard, "BODY_S", 0.5)
    async with served(machine()) as it:
        head = f"POST {STOP} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{{".encode()
        assert (await raw_answer(it.port, head)).startswith(b"HTTP/1.1 408")


async def test_a_head_that_comes_too_slowly_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "IDLE_S", 0.5)
    async with served() as it:
        assert await raw_answer(it.port, b"GET / HTTP/1.1\r\nhost: loc", patience_s=10) in (b"", _bad_request())


def _bad_request() -> bytes:
    return b"HTTP/1.1 400 \r\nconnection: close\r\n\r\n"


async def test_a_client_that_does_not_read_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "SEND_S", 0.5)
    there = machine()
    async with served(there) as it, await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
        await stream.send_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await trio.sleep(0.3)
        big = status(trouble=["x" * 1_000_000])
        with trio.fail_after(30):
            for _ in range(20):
                there.runs["hall"].send(big)
                await trio.sleep(0.05)
            await trio.sleep(1)
            received = 0
            try:
                while more := await stream.receive_some(1 << 20):
                    received += len(more)
            except trio.BrokenResourceError:
                pass
        assert 0 < received < 20_000_000
        assert (await it.client.get("/api/v1/runs")).status_code == 200


async def test_a_thousand_connections() -> None:
    async with served(machine()) as it:
        await trio.sleep(0.2)
        answers: list[bytes] = []

        async def hold() -> None:
            async with await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
                try:
                    answers.append(bytes(await stream.receive_some(100)))
                except trio.BrokenResourceError:
                    answers.append(b"reset")
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(hold)
                if number % 50 == 0:
                    await trio.sleep(0.01)
            while len(answers) < 1000 - MOST_CONNECTIONS:
                await trio.sleep(0.05)
            assert all(answer.startswith(b"HTTP/1.1 503 Service Unavailable") for answer in answers)
            nursery.cancel_scope.cancel()
        while (await it.client.get("/api/v1/runs")).status_code != 200:
            await trio.sleep(0.05)


async def test_the_api_is_what_its_document_says() -> None:
    pytest.importorskip("schemathesis")
    async with served(machine()) as it:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{it.port}/api/v1/openapi.json"]
        # Events have no end, and are tested above.
        options = ["--exclude-path", "/api/v1/events", "--header", f"Authorization: {AS_OPERATOR['authorization']}"]
        options += ["--max-examples", "10", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]
        checked = await trio.run_process([*command, *options], capture_stdout=True, check=False)
        assert checked.returncode == 0, checked.stdout.decode()


async def test_a_description_in_words() -> None:
    async with served() as it:
        answer = await it.client.post("/api/v1/sdp", json={"sdp": "v=0\r\n"})
        assert answer.status_code in (200, 502)
        if answer.status_code == 200:  # the aes67 plugin is there
            assert answer.json()[0]["ok"] is False
        schema = (await it.client.get("/api/v1/schema")).json()
        assert schema["properties"]
