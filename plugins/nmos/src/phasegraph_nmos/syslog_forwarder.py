"""Sends log lines of the node and events of its runs to the syslog server of the site (IS-09)."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

import trio

from .system_api.syslog_message import stream_frame, syslog_message

MOST_WAITING = 256
"""Messages that wait to be sent; more are dropped and counted."""
SEND_TIMEOUT_S = 5.0
PAUSE_S = 30.0
"""Before the next try to reach a server that cannot be reached."""


class SyslogForwarder:
    """Takes messages at any time, and sends them once a server is known. It lives in the control plane."""

    def __init__(self, trust: str = "") -> None:
        """``trust`` names a PEM file with the certificates that a server with TLS is checked against."""
        self._context = ssl.create_default_context(cafile=trust or None)
        self._hostname = socket.gethostname()
        self._to_send, self._waiting = trio.open_memory_channel[bytes](MOST_WAITING)
        self.dropped = 0
        """Messages that were not sent."""

    def take(self, level: str, name: str, fields: Mapping[str, object]) -> None:
        """Queue a message: its name, and fields as ``name=value``."""
        text = " ".join([name, *(f"{key}={value}" for key, value in fields.items())])
        message = syslog_message(level, datetime.now(UTC), self._hostname, os.getpid(), name, text)
        try:
            self._to_send.send_nowait(message)
        except trio.WouldBlock:
            self.dropped += 1

    async def run(self, host: str, port: int, *, secure: bool) -> None:
        """Send to a server, until cancelled."""
        send = self._send_by_tls if secure else self._send_by_udp
        while True:
            try:
                await send(host, port)
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                await trio.sleep(PAUSE_S)

    async def _send_by_udp(self, host: str, port: int) -> None:
        with trio.fail_after(SEND_TIMEOUT_S):
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, _, _, _, address = found[0]
        with trio.socket.socket(family, socket.SOCK_DGRAM) as sender:
            async for message in self._waiting:
                await sender.sendto(message, address)

    async def _send_by_tls(self, host: str, port: int) -> None:
        with trio.fail_after(SEND_TIMEOUT_S):
            stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=self._context)
            await stream.do_handshake()
        try:
            async for message in self._waiting:
                with trio.fail_after(SEND_TIMEOUT_S):
                    await stream.send_all(stream_frame(message))
        finally:
            await trio.aclose_forcefully(stream)
