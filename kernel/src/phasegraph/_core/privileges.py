"""Root's privileges, given up for those of a user once everything that needs them is open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .errors import GraphError, Problem


class Account(NamedTuple):
    """The user that a run continues as."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Act as the user for a while: what is opened or created belongs to the user."""
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    def prepare(self) -> None:
        """Set the user's environment, and have child processes of nodes started as the user."""
        os.environ.update(HOME=self.home, USER=self.name, LOGNAME=self.name)
        for name in [name for name in os.environ if name.startswith("XDG_")]:
            del os.environ[name]
        _child_options.update(user=self.uid, group=self.gid, extra_groups=list(self.groups))

    def drop_privileges(self) -> None:
        """Become the user, in all threads and without a way back."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


_child_options: dict[str, Any] = {}


def child_process_options() -> dict[str, Any]:
    """Options for `subprocess.Popen` of a node's child process: a run with ``--user`` starts it as that user."""
    return dict(_child_options)


def find_account(name: str) -> Account:
    """The account of a user, by name or number. Raises GraphError if it does not exist or cannot be used."""
    try:
        import pwd

        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except ImportError:
        raise GraphError([Problem("--user", "this system has no users to change to")]) from None
    except (KeyError, OverflowError):
        raise GraphError([Problem("--user", f"there is no user {name!r}")]) from None
    if entry.pw_uid == 0:
        raise GraphError([Problem("--user", f"user {name!r} has all privileges", "name an ordinary user")])
    if os.geteuid() != 0:
        raise GraphError([Problem("--user", "only root can become another user", "omit --user, or start as root")])
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)
