import base64

import h11
import pytest

from phasegraph_sinks.http.audio_requests import answer_request, host_accepted


def request(target="/stream.flac", method="GET", host="127.0.0.1:8430"):
    return h11.Request(method=method, target=target, headers=[("Host", host)])


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("127.0.0.1:8430", True), ("127.0.0.1", True), ("10.1.2.3:8430", True), ("[::1]:8430", True),
        ("[fe80::1]", True),
        ("localhost:8430", True), ("LOCALHOST", True), ("studio.example", True), ("studio.example.:80", True),
        ("evil.example:8430", False), ("localhost.evil.example", False), ("", False), ("127.0.0.1.evil.example", False),
        ("studio.example.evil", False), ("127.0.0.1:x", False),
    ],
)  # fmt: skip
def test_hosts(host, accepted):
    assert host_accepted(host, {"studio.example"}) is accepted
    assert answer_request(request(host=host), "take", {"studio.example"}).status == (200 if accepted else 403)


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/stream.flac", "GET", 200),
        ("/stream.opus?t=5", "HEAD", 200),
        ("/", "GET", 200),
        ("/stream.mp3", "GET", 404),
        ("/../etc/passwd", "GET", 404),
        ("//stream.flac", "GET", 404),
        ("/stream.flac", "POST", 405),
        ("*", "OPTIONS", 405),
    ],
)
def test_answers(target, method, status):
    answer = answer_request(request(target, method), "take", ())
    assert answer.status == status
    assert (answer.audio is not None) == (target.startswith("/stream.") and status == 200)
    assert dict(answer.headers)["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (b"Basic " + base64.b64encode("anna:größer als 12".encode()), 200),
        (b"basic  " + base64.b64encode(":größer als 12".encode()), 200),
        (b"Basic " + base64.b64encode(b"anna:wrong"), 401),
        (b"Basic " + base64.b64encode(b"anna"), 401),
        (b"Basic !!!", 401),
        (b"Bearer " + base64.b64encode("anna:größer als 12".encode()), 401),
        (b"", 401),
    ],
)
def test_the_password(authorization, status):
    headers = [("Host", "127.0.0.1"), *([("Authorization", authorization)] if authorization else [])]
    given = h11.Request(method="GET", target="/stream.flac", headers=headers)
    answer = answer_request(given, "take", (), "größer als 12")
    assert answer.status == status
    assert ("www-authenticate" in dict(answer.headers)) == (status == 401)


def test_the_page_names_the_node_and_runs_nothing():
    answer = answer_request(request("/"), '<script>"x"', ())
    assert b"<script" not in answer.body
    assert dict(answer.headers)["content-security-policy"].startswith("default-src 'none'")
