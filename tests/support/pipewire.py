"""A PipeWire daemon of our own, with its RTP modules, on a host of `netns`: no session manager, sound card or D-Bus.

What a session manager would do is done here: ports are made, and linked. Its socket lies in a folder with a short name,
since the path of a socket has to be short. The quantum is one that a machine without real-time rights can keep to.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .netns import INTERFACE, Host
from .process import START_S, Running, running

SAP = {"sap.ip": "239.255.255.255", "sap.port": 9875, "local.ifname": INTERFACE}
_CONFIG = """\
context.properties = {{
    core.daemon = true core.name = peer support.dbus = false
    default.clock.rate = 48000 default.clock.min-quantum = 1024
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}}
context.modules = [
    {modules}
]
context.objects = [
    {{ factory = spa-node-factory args = {{
        factory.name = support.node.driver node.name = Driver node.group = pipewire.dummy priority.driver = 20000 }} }}
]
"""
_MODULES = ("protocol-native", "client-node", "adapter", "spa-node-factory", "link-factory", "metadata", "access")
_PORTS = (
    "{{ direction: {direction} mode: dsp format: {{ mediaType: audio mediaSubtype: raw format: F32P rate: 48000 "
    "channels: 2 position: [ FL FR ] }} }}"
)


class PipeWire:
    """The daemon, and the programs that talk to it."""

    def __init__(self, host: Host, folder: Path, environment: dict[str, str]) -> None:
        self._host = host
        self._folder = folder
        self._environment = environment

    @contextmanager
    def program(self, *words: object) -> Iterator[Running]:
        """Run one of its programs beside the daemon."""
        command = self._host.command(*words)
        with running(command, self._folder, name=str(words[0]), environment=self._environment) as process:
            yield process

    def make_ports(self, node: str, direction: Literal["Input", "Output"]) -> None:
        """Give a node, as soon as it is there, two ports."""
        self._until(lambda: self._id(node) != "", f"node {node}")
        self._run("pw-cli", "set-param", self._id(node), "PortConfig", _PORTS.format(direction=direction))

    def link(self, output: str, input: str) -> None:
        """Link both ports of two nodes: the names of ports without the channel."""
        for channel in ("FL", "FR"):
            pair = f"{output}_{channel}", f"{input}_{channel}"
            self._until(
                lambda pair=pair: self._run("pw-link", *pair) is not None, f"a link from {pair[0]} to {pair[1]}"
            )

    def _id(self, node: str) -> str:
        number = ""
        for line in (self._run("pw-cli", "ls", "Node") or "").splitlines():
            words = line.replace(",", "").split()
            if words[:1] == ["id"]:
                number = words[1]
            elif words == ["node.name", "=", f'"{node}"']:
                return number
        return ""

    def _run(self, *words: str) -> str | None:
        command = ["env", *(f"{name}={value}" for name, value in self._environment.items()), *words]
        done = subprocess.run(
            self._host.command(*command), capture_output=True, text=True, timeout=START_S, check=False
        )
        return done.stdout if done.returncode == 0 else None

    @staticmethod
    def _until(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_S
        while not condition():
            assert time.monotonic() < deadline, f"PipeWire has no {what}"
            time.sleep(0.1)


@contextmanager
def pipewire(host: Host, folder: Path, modules: Mapping[str, Mapping[str, object]]) -> Iterator[PipeWire]:
    """A daemon with these modules (``rtp-source``, ``rtp-sink``) and their arguments."""
    plain = [f"{{ name = libpipewire-module-{name} }}" for name in _MODULES]
    own = [
        f"{{ name = libpipewire-module-{name} args = {{ {_arguments(given)} }} }}" for name, given in modules.items()
    ]
    config = folder / "pipewire.conf"
    config.write_text(_CONFIG.format(modules="\n    ".join(plain + own)))
    with tempfile.TemporaryDirectory(prefix="pw") as runtime:
        environment = {"XDG_RUNTIME_DIR": runtime, "PIPEWIRE_REMOTE": "peer"}
        command = host.command("pipewire", "-c", config)
        with running(command, folder, name="pipewire", environment=environment) as daemon:
            daemon.wait_until((Path(runtime) / "peer").exists, "it listens")
            yield PipeWire(host, folder, environment)


def _arguments(given: Mapping[str, object]) -> str:
    def text(value: object) -> str:
        if isinstance(value, Mapping):
            return f"{{ {_arguments(value)} }}"
        return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)

    return " ".join(f"{name} = {text(value)}" for name, value in given.items())
