"""A System API is found by mDNS on the loopback, and a run's PTP clock gets the domain of the site."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.addresses import LOOPBACK, free_port
from tests.support.graphs import table
from tests.support.kernel import kernel_running
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from phasegraph.control import connect

pytestmark = pytest.mark.realtime

SERVICE = "_nmos-system._tcp.local."
GLOBAL = {
    "id": "3b8be755-08ff-452b-b217-c9151eb21193",
    "version": "1441700172:318426300",
    "label": "ZBQ",
    "description": "",
    "tags": {},
    "is04": {"heartbeat_interval": 8},
    "ptp": {"announce_receipt_timeout": 4, "domain_number": 57},
}


class SystemApiServer(ThreadingHTTPServer):
    """Serves the global resource, and notes who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__((LOOPBACK, 0), GlobalHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class GlobalHandler(BaseHTTPRequestHandler):
    server: SystemApiServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = json.dumps(GLOBAL).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def announcement(name: str, server: SystemApiServer, **texts: str) -> ServiceInfo:
    return ServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        addresses=[socket.inet_aton(LOOPBACK)],
        port=server.server_address[1],
        properties={"api_ver": "v1.0", "api_proto": "http", "api_auth": "false", "pri": "0", **texts},
        server=f"{name}.local.",
    )


def test_the_preferred_system_api_is_asked_and_the_clock_follows(tmp_path: Path) -> None:
    ports = {"event-port": free_port(), "general-port": free_port()}
    graph = tmp_path / "hall.toml"
    text = "schema = 1\n" + table("clocks", "house", kind="ptp", interface=LOOPBACK, **ports)
    text += table("sources", "tone", kind="tone") + table("sinks", "out", kind="null", input="tone")
    graph.write_text(text)
    run_socket, right, wrong = tmp_path / "hall.sock", SystemApiServer(), SystemApiServer()
    zeroconf = Zeroconf(interfaces=[LOOPBACK], ip_version=IPVersion.V4Only)
    try:
        with kernel_running(["run", graph, "--control", run_socket], tmp_path) as run:
            run.wait_until(run_socket.exists, "the control socket")
            arguments = ["nmos", run_socket, "--interface", LOOPBACK, "--port", "0", "--state", tmp_path]
            zeroconf.register_service(announcement("other-version", wrong, api_ver="v9.0"))
            zeroconf.register_service(announcement("other-protocol", wrong, api_proto="invalid"))
            zeroconf.register_service(announcement("second", wrong, pri="10"))
            zeroconf.register_service(announcement("first", right))
            with kernel_running(arguments, tmp_path) as node, connect(run_socket) as control:

                def in_the_domain() -> bool:
                    clock = control.graph()["clocks"]["house"]
                    return bool(clock.get("domain") == 57 and clock.get("announce-receipt-timeout") == 4)

                node.wait_until(in_the_domain, "the domain of the site")
                assert control.status().nodes["house"].state == "running"
    finally:
        zeroconf.close()
        for server in (right, wrong):
            server.shutdown()
            server.server_close()
    assert right.asked == ["/x-nmos/system/v1.0/global"]
    assert wrong.asked == []
