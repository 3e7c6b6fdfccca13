"""Messages of the syslog protocol (RFC 5424), and their frames on a stream (RFC 5425, 4.3)."""

from __future__ import annotations

import re
from datetime import datetime

from .global_parameters import GlobalParameters

FACILITY = 16
"""local0."""
SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""By the level of a log line (RFC 5424, 6.2.1)."""
MOST_OCTETS = 2048
"""Of a message: what every receiver should take (RFC 5424, 6.1)."""
UDP_PORT, TLS_PORT = 514, 6514


def syslog_message(level: str, at: datetime, hostname: str, process_id: int, message_id: str, text: str) -> bytes:
    """One message. ``at`` has a time zone; control characters of the text become spaces."""
    priority = FACILITY * 8 + SEVERITIES.get(level, SEVERITIES["info"])
    stamp = at.isoformat(timespec="milliseconds")
    header = f"<{priority}>1 {stamp} {_name(hostname, 255)} phasegraph {process_id} {_name(message_id, 32)} - "
    plain = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    return (header.encode("ascii") + b"\xef\xbb\xbf" + plain.encode("utf-8", "replace"))[:MOST_OCTETS]


def stream_frame(message: bytes) -> bytes:
    """A message with its length before it, for TLS."""
    return b"%d %s" % (len(message), message)


def syslog_server(parameters: GlobalParameters) -> tuple[str, int, bool] | None:
    """Host, port and whether to use TLS; the server with TLS if there are both. None without a server."""
    for server, port, secure in ((parameters.syslogv2, TLS_PORT, True), (parameters.syslog, UDP_PORT, False)):
        if server is not None and server.hostname:
            return server.hostname, server.port or port, secure
    return None


def _name(text: str, most: int) -> str:
    # Printable ASCII without spaces; a dash for nothing.
    return re.sub(r"[^\x21-\x7e]", "", text)[:most] or "-"
