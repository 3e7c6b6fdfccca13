"""Management over a UNIX socket, as ptp4l has one: ``pmc -u -b 0 -s PATH 'GET ...'``."""

from __future__ import annotations

import os
import socket
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from phasegraph import TASK_STATUS_IGNORED, NodeError
from phasegraph.ieee1588 import MalformedMessage, Management, decode, encode

_MODE = 0o660
_LONGEST = 107  # sun_path
_DATAGRAM = 2048
_AT_ONCE = 16


async def serve_management(
    path: Path,
    answer: Callable[[Management], Iterable[Management]],
    dropped: Counter[str],
    *,
    task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Answer management messages that come to a datagram socket at ``path``, until cancelled.

    ``answer`` may raise MalformedMessage. What is not answered is counted in ``dropped``, by reason. The file is made
    with mode 660, and removed at the end. Raises NodeError where it cannot be made, or another process serves it.
    """
    with _bound(path) as server:
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(server)
            # A few at a time, so that a flood does not delay other tasks.
            for _ in range(_AT_ONCE):
                try:
                    datagram, sender = server.recvfrom(_DATAGRAM)
                except BlockingIOError:
                    break
                _reply(server, datagram, sender, answer, dropped)
            await trio.lowlevel.checkpoint()


def _reply(
    server: socket.socket,
    datagram: bytes,
    sender: str | None,
    answer: Callable[[Management], Iterable[Management]],
    dropped: Counter[str],
) -> None:
    try:
        request = decode(datagram)
        answers = list(answer(request)) if isinstance(request, Management) else []
    except MalformedMessage as refusal:
        dropped[refusal.reason] += 1
        return
    if not answers or not sender:
        dropped["not_for_us" if sender else "no_return_address"] += 1
        return
    for one in answers:
        # Never waits: a client that does not read, or is gone, gets no answer.
        try:
            server.sendto(encode(one), sender)
        except OSError:
            dropped["not_delivered"] += 1


@contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    if len(os.fsencode(path)) > _LONGEST:
        raise NodeError(f"{path} is too long for a UNIX socket", f"at most {_LONGEST} octets")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.setblocking(False)
        try:
            _remove_stale(path)
            server.bind(os.fspath(path))
            path.chmod(_MODE)
            made = path.stat()
        except OSError as error:
            hint = "make its folder, or name a path in one that this user may write to"
            raise NodeError(f"cannot make the socket {path}: {error.strerror}", hint) from error
        try:
            yield server
        finally:
            with suppress(OSError):
                if os.path.samestat(path.stat(), made):
                    path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a process that has died. Raises NodeError for anything else that is there."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise NodeError(f"{path} is there already, and is no socket", "name another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink()
        return
    raise NodeError(f"another process answers at {path}", "stop it, or name another path")
