"""PipeWire as a sender: a daemon of its own, with a tone and an rtp-sink for each group, without a session manager.

Started by send.py; by hand, as root: python _pipewire.py [--rt] CHANNELS PORT GROUP...   (SIGTERM ends it)
While it runs, a route leads the /24 of the groups to the loopback interface: the module of version 0.3.65 sends where
the routes lead when it starts, and loopback only delivers what somebody had joined by then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import _proc
import _wire

_PATIENCE_S = 15.0
_MODULES = ("protocol-native", "client-node", "adapter", "spa-node-factory", "link-factory", "metadata", "access")
# The quantum is a packet, so that each cycle of the graph sends one packet of each stream. A live generator would be a
# driver with a timer of its own; this one makes frames when the graph's driver asks for them.
_CONFIG = """\
context.properties = {{
    core.daemon = true core.name = bench support.dbus = false
    default.clock.rate = 48000 clock.power-of-two-quantum = false
    default.clock.quantum = 48 default.clock.min-quantum = 48 default.clock.max-quantum = 48
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    audiotestsrc = audiotestsrc/libspa-audiotestsrc
    support.* = support/libspa-support
}}
context.modules = [
{modules}
]
context.objects = [
    {{ factory = spa-node-factory args = {{
        factory.name = support.node.driver node.name = driver node.group = bench priority.driver = 20000 }} }}
    {{ factory = adapter args = {{
        factory.name = audiotestsrc node.name = tone node.group = bench node.param.Props = {{ live = false }}
        node.param.PortConfig = {{ direction = Output mode = dsp format = {{
            mediaType = audio mediaSubtype = raw format = F32P rate = 48000
            channels = {channels} position = [ {position} ] }} }} }} }}
]
"""
_SINK = """\
    {{ name = libpipewire-module-rtp-sink args = {{
        sap.ip = "{announced}" destination.ip = "{group}" destination.port = {port}
        sess.min-ptime = 1 sess.max-ptime = 1
        audio.format = S24BE audio.rate = 48000 audio.channels = {channels} audio.position = [ {position} ]
        stream.props = {{
            node.name = sink{index} node.group = bench media.class = Audio/Sink
            adapter.auto-port-config = {{ mode = dsp position = preserve }} }} }} }}"""


def config(channels: int, port: int, groups: Sequence[str], *, rt: bool) -> str:
    """The daemon's configuration; `rt` gives its data thread real-time priority."""
    position = " ".join(f"AUX{i}" for i in range(channels))
    modules = [f"    {{ name = libpipewire-module-{name} }}" for name in (*(["rt"] if rt else []), *_MODULES)]
    for i, group in enumerate(groups):
        form = {"channels": channels, "position": position, "announced": f"{_prefix(groups)}.255"}
        modules.append(_SINK.format(index=i, group=group, port=port, **form))
    return _CONFIG.format(modules="\n".join(modules), channels=channels, position=position)


def _prefix(groups: Sequence[str]) -> str:
    return groups[0].rpartition(".")[0]


@contextmanager
def _route(groups: Sequence[str]) -> Iterator[None]:
    route = [f"{_prefix(groups)}.0/24", "dev", "lo", "src", _wire.LOOPBACK]
    subprocess.run(["ip", "route", "add", *route], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", *route], check=False)


def _until(condition: Callable[[], bool], daemon: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if daemon.poll() is not None:
            raise SystemExit(f"pipewire ended with status {daemon.returncode}")
        if time.monotonic() > deadline:
            raise SystemExit(f"pipewire: no {what} after {_PATIENCE_S:g} s")
        time.sleep(0.1)


def _link(daemon: subprocess.Popen[bytes], environment: dict[str, str], streams: int, channels: int) -> None:
    def pw_link(*words: str) -> str:
        command = ["pw-link", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S)
        return done.stdout

    ports = streams * channels
    _until(lambda: pw_link("-i").count("\n") == ports and pw_link("-o").count("\n") == channels, daemon, "ports")
    for i in range(streams):
        pw_link("tone", f"sink{i}")  # port by port; its status is a failure even if it linked them all
    _until(lambda: pw_link("-l").count("|->") == ports, daemon, "links")


def run(channels: int, port: int, groups: Sequence[str], *, rt: bool) -> None:
    """Send until a signal."""
    _proc.end_on_signals()
    with tempfile.TemporaryDirectory(prefix="pw") as name, _route(groups):
        path = Path(name) / "pipewire.conf"
        path.write_text(config(channels, port, groups, rt=rt))
        environment = os.environ | {"XDG_RUNTIME_DIR": name, "PIPEWIRE_REMOTE": "bench"}
        daemon = subprocess.Popen(["pipewire", "-c", path], env=environment, preexec_fn=_proc.die_with_parent)
        try:
            _until((Path(name) / "bench").exists, daemon, "socket")
            _link(daemon, environment, len(groups), channels)
            raise SystemExit(f"pipewire ended with status {daemon.wait()}")
        finally:
            daemon.terminate()
            daemon.wait(5)  # if it hangs, the benchmark kills the group; the route goes first


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rt", action="store_true")
    parser.add_argument("channels", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("groups", nargs="+")
    given = parser.parse_args()
    run(given.channels, given.port, given.groups, rt=given.rt)
