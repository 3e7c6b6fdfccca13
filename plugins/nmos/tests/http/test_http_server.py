"""The server on a real socket: TLS by certificate files, and a bound on connections."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from phasegraph_nmos.http import http_server
from phasegraph_nmos.http.api_answers import ApiAnswer, ApiRequest, json_answer
from phasegraph_nmos.http.http_server import CannotServe, NmosHttpServer
from phasegraph_nmos.http.nmos_app import NmosApp

pytestmark = pytest.mark.realtime


async def echo(request: ApiRequest) -> ApiAnswer:
    return json_answer([request.method, *request.path, len(request.body)])


def app() -> NmosApp:
    made = NmosApp()
    made.add_api("echo", {"v1.0": echo})
    return made


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate of 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "chain.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return str(files[0]), str(files[1])


async def test_requests_are_served_by_tls(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    server = NmosHttpServer(app(), certificate=chain, key=key)
    port = await server.open_port("127.0.0.1", 0)
    url = f"https://127.0.0.1:{port}/x-nmos/echo/v1.0/a/"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=chain), trust_env=False) as client:
            assert (await client.get(url)).json() == ["GET", "a", 0]
            assert (await client.patch(url, json={})).json() == ["PATCH", "a", 2]
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
        nursery.cancel_scope.cancel()


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 2)
    server = NmosHttpServer(app())
    port = await server.open_port("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        await trio.sleep(0.2)
        more = await trio.open_tcp_stream("127.0.0.1", port)
        with trio.fail_after(5):
            with suppress(trio.BrokenResourceError):
                assert await more.receive_some() == b""
        for stream in (*idle, more):
            await stream.aclose()
        await trio.sleep(0.2)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).json() == ["x-nmos/"]
        nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_a_sentence() -> None:
    first, second = NmosHttpServer(app()), NmosHttpServer(app())
    port = await first.open_port("127.0.0.1", 0)
    with pytest.raises(CannotServe, match="cannot listen to 127.0.0.1 port"):
        await second.open_port("127.0.0.1", port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        nursery.cancel_scope.cancel()
