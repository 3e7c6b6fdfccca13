"""A place between a console and a run: it passes on what they say, or answers in the run's stead.

What it answers then was said by the run before: the console and its readers have the same work, and the run has none.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
from collections import deque
from pathlib import Path

import msgspec

_RECORDED = 16
"""Statuses that are said again, in turn."""


class RunRelay:
    """The control socket ``path`` in the place of that of a ``run``; passes on at first."""

    def __init__(self, path: Path, run: Path) -> None:
        self._run = run
        self._attached = True
        self._clients: set[socket.socket] = set()
        self._statuses: deque[bytes] = deque(maxlen=_RECORDED)
        with self._connected() as connection, connection.makefile("rwb") as lines:
            self._hello = lines.readline()
            lines.write(b'{"request": "graph", "id": 0}\n')
            lines.flush()
            self._graph = msgspec.json.encode(msgspec.json.decode(lines.readline())["graph"])
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def recorded(self) -> int:
        """Statuses that it can say."""
        return len(self._statuses)

    def attach(self, attached: bool) -> None:
        """Pass on from now on, or answer. Clients are disconnected, and come back."""
        self._attached = attached
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._run))
        return connection

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self._clients.add(client)
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self._attached:
                self._pass_on(client)
            else:
                self._answer_all(client)
        self._clients.discard(client)

    def _pass_on(self, client: socket.socket) -> None:
        with self._connected() as run, run.makefile("rb") as lines:
            threading.Thread(target=_copy, args=[client, run], daemon=True).start()
            for line in lines:
                if line.startswith(b'{"status":'):
                    self._statuses.append(line)
                client.sendall(line)

    def _answer_all(self, client: socket.socket) -> None:
        client.sendall(self._hello)
        statuses = itertools.cycle(list(self._statuses))
        interval_s, received = None, b""
        while True:
            if not select.select([client], [], [], interval_s)[0]:
                client.sendall(next(statuses))
                continue
            data = client.recv(65536)
            if not data:
                return
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                request = msgspec.json.decode(line)
                answer = {"status": b"," + next(statuses)[1:], "graph": b',"graph":' + self._graph + b"}\n"}
                client.sendall(b'{"id":%d,"ok":true' % request["id"] + answer.get(request["request"], b"}\n"))
                interval_s = request.get("interval_s", interval_s)


def _copy(client: socket.socket, run: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            run.sendall(data)
        run.shutdown(socket.SHUT_RDWR)
