"""Queries to a running ptp4l through its UNIX socket."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import trio

from phasegraph import NodeError
from phasegraph.ieee1588 import MalformedMessage, Management, PortIdentity, decode, encode

from .port_status import Ptp4lStatus, questions, read_status

PLACES = ("/var/run/ptp/ptp4l", "/var/run/ptp4l", "/var/run/ptp/ptp4lro", "/var/run/ptp4lro")
"""Where ptp4l's sockets are unless its configuration says otherwise. The ro ones, of version 4, are for all users, and
report a little less."""
PATIENCE_S = 1.0
"""ptp4l answers at once, unless it waits for a transmit stamp: at most a few tens of milliseconds."""
_DATAGRAM, _AT_ONCE = 2048, 64


class SilentError(Exception):
    """ptp4l does not answer, or not sensibly. Says why in words."""


class Ptp4lClient:
    """Asks the ptp4l at ``path``, or at one of `PLACES` if that is empty, and finds it again when it has gone."""

    def __init__(self, path: str, *, domain: int, major_sdo: int) -> None:
        self._path = path
        self._domain = domain
        self._major_sdo = major_sdo
        self._source = PortIdentity(0, os.getpid() & 0xFFFF)
        self._sequence = 0
        self._ways: list[tuple[Path, bool]] = []
        self._link: _Link | None = None

    async def connect(self) -> Ptp4lStatus:
        """Try every way to a ptp4l. Raises NodeError where none answers."""
        self._ways = [(server, by_file) for server in find_sockets(self._path) for by_file in (False, True)]
        why = []
        for server, _ in list(self._ways):
            try:
                return await self.query()
            except SilentError as error:
                why.append(f"{server}: {error}")
        raise NodeError(
            f"no ptp4l answers at {'; '.join(dict.fromkeys(why))}",
            "it answers to its own domain and major-sdo only; a dead one leaves its socket behind",
            option="socket",
        )

    async def query(self) -> Ptp4lStatus:
        """One round of queries. Raises SilentError where it fails; the next call tries another way."""
        try:
            if self._link is None:
                self._link = _Link(*self._ways[0])
            asked = questions(self._source, sequence=self._sequence, domain=self._domain, major_sdo=self._major_sdo)
            self._sequence += len(asked)
            status = read_status(await self._link.exchange(asked))
        except (OSError, MalformedMessage) as error:
            self._try_next_way()
            raise SilentError(getattr(error, "strerror", None) or str(error)) from error
        except trio.TooSlowError:
            self._try_next_way()
            raise SilentError("no answer") from None
        if status is None:
            self._try_next_way()
            raise SilentError("its answers lack what is needed")
        return status

    def _try_next_way(self) -> None:
        self.close()
        self._ways.append(self._ways.pop(0))

    def close(self) -> None:
        """Close the socket."""
        if self._link is not None:
            self._link.close()
            self._link = None


class _Link:
    """A socket that is joined to that of ptp4l: no other process can write to it.

    Its address is one of Linux's abstract ones, which leaves nothing behind, or a file beside ptp4l's own, which a
    ptp4l in another network namespace can reach.
    """

    def __init__(self, server: Path, by_file: bool) -> None:
        self._file = server.parent / f".phasegraph-{os.getpid()}-{secrets.token_hex(4)}" if by_file else None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind("" if self._file is None else os.fspath(self._file))
            if self._file is not None:
                self._file.chmod(0o666)  # ptp4l may run as another user
            self._socket.connect(os.fspath(server))
        except OSError:
            self.close()
            raise

    async def exchange(self, asked: list[Management]) -> list[Management]:
        """All answers up to the one to the last question. Raises TooSlowError where that one is missing."""
        numbers = {question.sequence for question in asked}
        answers: list[Management] = []
        with trio.fail_after(PATIENCE_S):
            for question in asked:
                self._socket.send(encode(question))
            while not any(answer.sequence == asked[-1].sequence for answer in answers):
                await trio.lowlevel.wait_readable(self._socket)
                answers += [answer for answer in self._received() if answer.sequence in numbers]
        return answers

    def _received(self) -> list[Management]:
        received = []
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                message = decode(self._socket.recv(_DATAGRAM))
                if isinstance(message, Management):
                    received.append(message)
        return received

    def close(self) -> None:
        self._socket.close()
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def find_sockets(path: str) -> list[Path]:
    """The socket of this path; of an empty one, those of `PLACES` that this user may write to.

    Raises NodeError where there is none.
    """
    places = [Path(path)] if path else [Path(place) for place in PLACES]
    there = [place for place in places if place.exists()]
    usable = [place for place in there if os.access(place, os.W_OK)]
    if not there:
        raise NodeError(
            f"there is no socket of ptp4l at {' or '.join(map(str, places))}",
            "start ptp4l, as by: ptp4l -i eth0 -S -s; or name its uds_address",
            option="socket",
        )
    if not usable:
        raise NodeError(
            f"this user may not write to the socket {there[0]} of ptp4l",
            "give it access by uds_file_mode or uds_ro_file_mode in ptp4l's configuration, or by a group",
            option="socket",
        )
    return usable
