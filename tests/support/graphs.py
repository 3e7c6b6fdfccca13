"""Graphs of streams that leave and come back over the loopback interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .addresses import LOOPBACK, free_group, free_port

LINK_OFFSET = "200ms"
"""A machine that is busy with other tests may keep a run waiting for this time before a frame is lost."""
END_AFTER = "400ms"
"""How long a stream may be silent before it counts as ended."""
HEAD = 'schema = 1\n\n[clocks.house]\nkind = "system"\n'


class Loop(msgspec.Struct, kw_only=True):
    """One file on its way: sent, received by the session description that the sender wrote, recorded."""

    source: Path
    name: str = "loop"
    group: str = msgspec.field(default_factory=free_group)
    port: int = msgspec.field(default_factory=free_port)
    file: Mapping[str, object] = {}
    """Further options of the file source."""
    sender: Mapping[str, object] = {}
    """Further options of the sending sink."""
    copy: str = "copy.wav"

    @property
    def toml(self) -> str:
        """Its four nodes: NAME-file, NAME-out, NAME-in and NAME-copy."""
        name, sdp = self.name, f"{self.name}.sdp"
        sender = {"input": f"{name}-file", "group": self.group, "port": self.port, "sdp-out": sdp, **self.sender}
        receiver = {"sdp": sdp, "link-offset": LINK_OFFSET, "end-after": END_AFTER}
        return (
            table("sources", f"{name}-file", kind="file", path=self.source, **self.file)
            + table("sinks", f"{name}-out", kind="aes67", interface=LOOPBACK, **sender)
            + table("sources", f"{name}-in", kind="aes67", interface=LOOPBACK, **receiver)
            + table("sinks", f"{name}-copy", kind="file", overwrite=True, input=f"{name}-in", path=self.copy)
        )


def table(role: str, id: str, /, **options: object) -> str:
    """A node's table in TOML."""
    return "\n".join([f"\n[{role}.{id}]", *(f"{name} = {value(option)}" for name, option in options.items())]) + "\n"


def value(option: object) -> str:
    """A value in TOML."""
    if isinstance(option, bool):
        return str(option).lower()
    if isinstance(option, int | float):
        return str(option)
    if isinstance(option, Mapping):
        return "{" + ", ".join(f"{name} = {value(each)}" for name, each in option.items()) + "}"
    if isinstance(option, Sequence) and not isinstance(option, str):
        return "[" + ", ".join(map(value, option)) + "]"
    return '"' + str(option).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_graph(path: Path, *tables: str) -> Path:
    """A graph with a system clock ``house`` and these tables."""
    path.write_text(HEAD + "".join(tables))
    return path
