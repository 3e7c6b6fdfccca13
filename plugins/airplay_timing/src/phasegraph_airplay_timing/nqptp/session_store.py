"""The clients' last commands, in a file beside each memory: a server that starts again goes on where it was.

Receivers name their peers when a session begins, and not again: without the file they would have no time until the
next session. Its content is checked like a datagram. It is gone, with the memories, when the system starts.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..senders.receiver_registry import ReceiverRegistry
from .client_commands import MOST_OCTETS, CommandVerb, is_name
from .clients import PREFIX, NqptpClient

_RECEIVERS = "phasegraph-receivers~"
_MOST_RECEIVER_OCTETS = 16_384
_MARK = "~"
"""No memory has a name that ends so."""


class SessionStore:
    """The files in a directory, and the names that outlive the system's memory."""

    def __init__(self, directory: str, state: str | None = None) -> None:
        """``directory`` is that of the memories. ``state`` is a folder on disk for names; None keeps none there."""
        self._directory = Path(directory)
        self._names = None if state is None else Path(state) / "airplay-names"

    def names(self) -> list[str]:
        """Names whose memory has to be there before their clients start: a receiver looks for its memory once.

        They are those of sessions, of memories of an earlier server, and of every client that ever came.
        """
        prefix = PREFIX.removeprefix("/")
        found = [f"/{path.name.removesuffix(_MARK)}" for path in sorted(self._directory.glob(f"{prefix}*"))]
        if self._names is not None:
            with contextlib.suppress(OSError):
                found += _read(self._names).decode("ascii", "ignore").split()
        return [*dict.fromkeys(name for name in found if name.startswith(PREFIX) and is_name(name))]

    def keep_name(self, name: str) -> None:
        """Keep the name of a client that came for the first time. Raises OSError."""
        if self._names is None:
            return
        self._names.parent.mkdir(parents=True, exist_ok=True)
        names = dict.fromkeys([*self.names(), name])
        _write(self._names, "".join(f"{each}\n" for each in names))

    def store_commands(self, name: str, client: NqptpClient) -> None:
        """Write down what a client wants now. Raises OSError."""
        path = self._directory / (name.removeprefix("/") + _MARK)
        if not client.peers:
            path.unlink(missing_ok=True)
            return
        verbs = ([CommandVerb.BEGIN] if client.begun or client.active else []) + (
            [] if client.active else [CommandVerb.END]
        )
        commands = [f"{name} T {' '.join(client.peers)}", *(f"{name} {verb.value}" for verb in verbs)]
        _write(path, "\n".join(commands))

    def store_receivers(self, receivers: ReceiverRegistry) -> None:
        """Write down the receivers that senders have named. Raises OSError."""
        path, content = self._directory / _RECEIVERS, receivers.to_lines()
        if content:
            _write(path, content)
        else:
            path.unlink(missing_ok=True)

    def load_receivers(self, receivers: ReceiverRegistry) -> None:
        """Add the receivers that were written down."""
        with contextlib.suppress(OSError):
            receivers.load(_read(self._directory / _RECEIVERS, _MOST_RECEIVER_OCTETS).decode("ascii", "ignore"))

    def stored_commands(self, names: Iterator[str]) -> Iterator[bytes]:
        """Stored commands of these clients, and of those that may come later, to be applied like received ones."""
        paths = [self._directory / (name.removeprefix("/") + _MARK) for name in names]
        paths += sorted(self._directory.glob(f"{PREFIX.removeprefix('/')}*{_MARK}"))
        for path in dict.fromkeys(paths):
            with contextlib.suppress(OSError):
                yield from (line for line in _read(path).splitlines() if line.startswith(_start(path)))


def _write(path: Path, content: str) -> None:
    # Renamed into place: after a crash the file is whole, and a link that stands there is not written through.
    fresh = path.with_name(path.name + _MARK)
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w") as text:
        text.write(content)
    fresh.replace(path)


def _start(path: Path) -> bytes:
    return f"/{path.name.removesuffix(_MARK)} ".encode()


def _read(path: Path, most: int = MOST_OCTETS) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        # Another user's file would make a server that runs as root send to any host.
        ours = stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid())
        return os.read(file, most) if ours else b""
    finally:
        os.close(file)
