"""Events in the form of RFC 5424, and on their way to a server."""

import json
import socket
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_nmos.syslog_forwarder import MOST_WAITING, SyslogForwarder
from phasegraph_nmos.system_api.global_parameters import parse_global
from phasegraph_nmos.system_api.syslog_message import MOST_OCTETS, stream_frame, syslog_message, syslog_server

AT = datetime(2026, 11, 30, 2, 3, 4, 567000, tzinfo=UTC)


def parameters(**more: Any) -> Any:
    body = {
        "id": "3b8be755-08ff-452b-b217-c9151eb21193",
        "version": "1:0",
        "is04": {"heartbeat_interval": 5},
        "ptp": {"announce_receipt_timeout": 3, "domain_number": 0},
        **more,
    }
    return parse_global(json.dumps(body).encode())


def test_a_message() -> None:
    message = syslog_message("warning", AT, "studio", 4711, "stream_silent", "node=take reason=no packets\nat all")
    assert message == (
        b"<132>1 2026-11-30T02:03:04.567+00:00 studio phasegraph 4711 stream_silent - "
        b"\xef\xbb\xbfnode=take reason=no packets at all"
    )
    assert stream_frame(b"<132>1 x") == b"8 <132>1 x"


def test_the_server_with_tls_is_preferred() -> None:
    assert syslog_server(parameters()) is None
    assert syslog_server(parameters(syslog={"hostname": "log"})) == ("log", 514, False)
    both = parameters(syslog={"hostname": "log", "port": 5514}, syslogv2={"hostname": "safe"})
    assert syslog_server(both) == ("safe", 6514, True)
    assert syslog_server(parameters(syslog={}, syslogv2={"port": 9})) is None


@given(st.text(max_size=300), st.text(max_size=40), st.sampled_from(["info", "error", "x"]), st.text(max_size=3000))
def test_any_text_is_one_line_of_bounded_length(host: str, name: str, level: str, text: str) -> None:
    message = syslog_message(level, AT, host, 1, name, text)
    assert len(message) <= MOST_OCTETS
    assert not set(message) & {*range(32), 127}
    header = message.partition(b"\xef\xbb\xbf")[0]
    assert len(header.split(b" ")) == 8


@pytest.mark.realtime
async def test_events_reach_a_server_by_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, trio.fail_after(10):
        server.bind(("127.0.0.1", 0))
        listener = trio.socket.from_stdlib_socket(server)
        forwarder = SyslogForwarder()
        forwarder.take("warning", "packets_come_late", {"node": "take", "late": 5})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: forwarder.run("127.0.0.1", server.getsockname()[1], secure=False))
            message = await listener.recv(4096)
            nursery.cancel_scope.cancel()
    assert message.endswith(b"packets_come_late node=take late=5")


async def test_events_without_a_server_are_bounded_and_counted() -> None:
    forwarder = SyslogForwarder()
    for number in range(MOST_WAITING + 7):
        forwarder.take("info", "clock_locked", {"number": number})
    assert forwarder.dropped == 7
