"""Where the control sockets of runs are: a folder that only its user can enter."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

SUFFIX = ".sock"
_USERS = "phasegraph-"
"""The beginning of the name of a user's folder in the temporary folder."""
_MOST_NAME = 60
_MOST_RUNS_OF_NAME = 100


def runtime_folders() -> list[Path]:
    """Where sockets may be; the first is where a run of this user makes its own.

    ``$RUNTIME_DIRECTORY`` of a systemd unit, ``$XDG_RUNTIME_DIR/phasegraph``, ``/run/phasegraph``, and a folder of the
    user in the temporary folder.
    """
    folders = []
    if unit := os.environ.get("RUNTIME_DIRECTORY"):
        folders.append(Path(unit.partition(":")[0]))
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        folders.append(Path(runtime) / "phasegraph")
    service = Path("/run/phasegraph")
    user = Path(tempfile.gettempdir()) / f"{_USERS}{os.geteuid()}"  # `private_folder` checks that it is the user's
    return [*folders, service, user] if os.geteuid() == 0 else [*folders, user, service]


def private_folder(folder: Path) -> Path:
    """Make a folder, if it is missing. Raises OSError if it is another user's, or others may write there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise OSError(13, f"{folder} belongs to another user")
    if status.st_mode & 0o022:
        raise OSError(13, f"others may write to {folder}")
    return folder


def run_name(graph: str) -> str:
    """A run's name, after its graph file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(graph).stem).strip("-.")
    return name[:_MOST_NAME] or "graph"


def is_alive(path: Path) -> bool:
    """Whether a run listens to a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def listen(path: Path) -> socket.socket:
    """A listening socket that only its user can connect to. Replaces one that a dead run left. Raises OSError."""
    if path.exists():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(17, f"{path} is not a socket")
        if is_alive(path):
            raise OSError(98, f"another run has the control socket {path}")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(OSError):
            os.fchmod(listener.fileno(), 0o600)  # on Linux the file is made with this mode
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(16)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_as(name: str) -> tuple[socket.socket, Path]:
    """A listening socket in the first runtime folder. Raises OSError.

    It is called ``NAME.sock``, or ``NAME-2.sock`` where a run of that name exists.
    """
    folder = private_folder(runtime_folders()[0])
    with (folder / ".lock").open("w") as lock:  # two runs that start together must not take one name
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(1, _MOST_RUNS_OF_NAME):
            path = folder / (f"{name}{SUFFIX}" if number == 1 else f"{name}-{number}{SUFFIX}")
            if not path.exists() or not is_alive(path):
                return listen(path), path
    raise OSError(98, f"{_MOST_RUNS_OF_NAME - 1} runs are called {name}")


def searched_folders() -> list[Path]:
    """Where sockets of runs that this user can reach may be; for root those of services and of other users too."""
    folders = runtime_folders()
    if os.geteuid() == 0:
        places = (("/run/phasegraph", "*"), ("/run/user", "*/phasegraph"), (tempfile.gettempdir(), f"{_USERS}*"))
        for place, pattern in places:
            with suppress(OSError):
                folders += sorted(folder for folder in Path(place).glob(pattern) if folder.is_dir())
    return list(dict.fromkeys(folders))


def run_sockets() -> Iterator[Path]:
    """The sockets in the runtime folders, dead ones too."""
    for folder in searched_folders():
        with suppress(OSError):
            yield from sorted(folder.glob(f"*{SUFFIX}"))


def remove_dead(path: Path) -> None:
    """Remove the socket of a dead run, in a folder of this user: in those of others it is theirs to remove."""
    with suppress(OSError):
        if path.parent.lstat().st_uid == os.geteuid():
            path.unlink()


class _HasOptions(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def peer_user(connection: _HasOptions) -> int | None:
    """User id of the process at the other end; None where the system does not report it."""
    if sys.platform != "linux":
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder)
