"""Who holds a UDP port, and what to do where one cannot be opened."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_PROC = Path("/proc")
_LOCAL_ADDRESS, _UID, _INODE = 1, 7, 9
"""Columns of /proc/net/udp; see proc_net(5)."""


class PortUnavailable(OSError):
    """A UDP port that cannot be opened. Its text is a sentence; ``errno`` is EADDRINUSE or EACCES."""

    def __init__(self, code: int, message: str, remedy: str) -> None:
        super().__init__(code, message)
        self.remedy = remedy
        """The remedy on the side of the system; callers that have options for it add their names."""

    def __str__(self) -> str:
        return str(self.strerror)


def port_unavailable(error: OSError, port: int, holders: Sequence[str] | None = None) -> OSError:
    """What to raise where binding to a port failed: with a remedy where one is known, else the error itself.

    ``holders`` are looked up unless they are given.
    """
    if error.errno == errno.EADDRINUSE:
        who = " and ".join(port_holders(port) if holders is None else holders)
        message = f"UDP port {port} is held by {who}" if who else f"UDP port {port} is in use"
        return PortUnavailable(errno.EADDRINUSE, message, "stop the program that holds it")
    if error.errno == errno.EACCES:
        return PortUnavailable(
            errno.EACCES,
            f"opening UDP port {port} needs a privilege",
            "start as root with `kernel run --user NAME`; or grant CAP_NET_BIND_SERVICE (in a systemd unit: "
            f"AmbientCapabilities=CAP_NET_BIND_SERVICE); or run sysctl net.ipv4.ip_unprivileged_port_start={port}",
        )
    return error


def port_holders(port: int, address: str = "") -> list[str]:
    """Who else holds a UDP port: ``ptp4l (process 812)``, or whose it is where the system hides the process.

    With an IPv4 ``address``, who has bound exactly that address: of two such sockets one receives nothing.

    Empty where no process does, or on systems other than Linux.
    """
    ours = _sockets_of(_PROC / "self")
    sockets = {inode: uid for inode, uid in _sockets_on(port, address) if inode not in ours}
    holders = []
    for process in _PROC.glob("[0-9]*") if sockets else ():
        inodes = _sockets_of(process) & sockets.keys()
        if inodes:
            holders.append(f"{_text(process / 'comm').strip()} (process {process.name})")
        for inode in inodes:
            del sockets[inode]
    return holders + [f"a program of user {_user(uid)}" for uid in sorted(set(sockets.values()))]


def _sockets_on(port: int, address: str) -> Iterator[tuple[str, int]]:
    bound = socket.inet_aton(address)[:: 1 if sys.byteorder == "big" else -1].hex() if address else ""
    for table in ("udp",) if address else ("udp", "udp6"):
        for line in _text(_PROC / "net" / table).splitlines()[1:]:
            columns = line.split()
            there, _, number = columns[_LOCAL_ADDRESS].rpartition(":")
            if int(number, 16) == port and bound in ("", there.lower()):
                yield f"socket:[{columns[_INODE]}]", int(columns[_UID])


def _sockets_of(process: Path) -> set[str]:
    targets = set()
    try:
        for descriptor in (process / "fd").iterdir():
            targets.add(os.readlink(descriptor))
    except OSError:  # another user's, or it has just ended
        pass
    return targets


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
