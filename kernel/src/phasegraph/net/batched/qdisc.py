"""The queue of an interface, as ``tc qdisc show`` prints it: read by rtnetlink (rtnetlink(7)).

Only ``fq`` holds a packet until the time that was given with it (SO_TXTIME); other queues, and interfaces without one,
send it at once. ``etf`` holds too, but in CLOCK_TAI, which somebody would have to set, and drops what comes late.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port."""
_TCMSG = struct.Struct("=B3xiIII")
"""tcmsg: family, interface, handle, parent, info."""
_ATTRIBUTE = struct.Struct("=HH")
"""rtattr: length, type."""
_ERROR, _DONE, _NEWQDISC, _GETQDISC = 2, 3, 36, 38
_REQUEST, _DUMP = 0x1, 0x300
_KIND = 1
_ROOT = 0xFFFFFFFF
_ANSWER_BYTES = 1 << 16
_PATIENCE_S = 1.0


class Qdisc(NamedTuple):
    """A queueing discipline."""

    interface: int
    """Index of its interface."""
    handle: int
    parent: int
    kind: str

    @property
    def is_root(self) -> bool:
        """Whether packets come to it first."""
        return self.parent == _ROOT


def why_not_scheduled(qdiscs: Sequence[Qdisc], interface: int, name: str) -> str:
    """Why an interface does not hold packets until their time; empty where it does."""
    mine = [qdisc for qdisc in qdiscs if qdisc.interface == interface]
    root = next((qdisc for qdisc in mine if qdisc.is_root), None)
    queues = [root] if root else []
    if root and root.kind == "mq":  # a queue for each of those of the hardware
        queues = [qdisc for qdisc in mine if qdisc is not root and qdisc.parent >> 16 == root.handle >> 16]
    others = sorted({qdisc.kind for qdisc in queues if qdisc.kind != "fq"})
    if queues and not others:
        return ""
    there = " and ".join(others) or "none"
    return f"the queue of {name} is {there}, not fq: tc qdisc replace dev {name} root fq"


def parse_qdiscs(data: bytes) -> tuple[list[Qdisc], bool]:
    """The disciplines in a part of the system's answer, and whether that was the last part. Raises OSError."""
    qdiscs: list[Qdisc] = []
    for kind, body in _messages(data):
        if kind == _DONE:
            return qdiscs, True
        if kind == _ERROR:
            code = -struct.unpack_from("=i", body)[0]
            raise OSError(code, os.strerror(code))
        if kind == _NEWQDISC and len(body) >= _TCMSG.size:
            _, interface, handle, parent, _ = _TCMSG.unpack_from(body)
            qdiscs.append(Qdisc(interface, handle, parent, _kind(body[_TCMSG.size :])))
    return qdiscs, False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            raise OSError(errno.EBADMSG, "a message of rtnetlink that is cut off")
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _kind(attributes: bytes) -> str:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _KIND:
            return attributes[_ATTRIBUTE.size : length].rstrip(b"\0").decode("ascii", "replace")
        attributes = attributes[max(_ATTRIBUTE.size, (length + 3) & ~3) :]
    return ""


def read_qdiscs() -> list[Qdisc]:
    """Those of all interfaces. Raises OSError."""
    request = _HEADER.pack(_HEADER.size + _TCMSG.size, _GETQDISC, _REQUEST | _DUMP, 1, 0) + _TCMSG.pack(0, 0, 0, 0, 0)
    found: list[Qdisc] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as system:
        system.settimeout(_PATIENCE_S)
        system.sendto(request, (0, 0))
        last = False
        while not last:
            part, last = parse_qdiscs(system.recv(_ANSWER_BYTES))
            found += part
    return found
