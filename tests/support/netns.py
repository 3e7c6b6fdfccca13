"""Hosts of a network that exists only here: network namespaces joined by veth pairs. Linux, as root.

A namespace belongs to a process that holds it open and dies with us, however we end; the kernel then removes the
namespace and its interfaces. There are no names to clash and nothing to clear up after a kill.

All hosts share CLOCK_REALTIME, so the true offset between their clocks is known: zero. No program in a namespace can
change that: all of them run without the right to set the clock (CAP_SYS_TIME), whatever their configuration says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

INTERFACE = "eth0"
"""A host's interface to the network."""
NEAR, FAR = "10.77.0.1", "10.77.0.2"
NEAR6, FAR6 = "fd77::1", "fd77::2"
TO_NEAR, TO_FAR = "near", "far"
"""The interfaces of what is in the middle."""
Middle = Literal["wire", "bridge", "relay"]
_PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux", "unshare": "util-linux"}
_HARMLESS = ("setpriv", "--pdeathsig", "KILL", "--bounding-set", "-sys_time", "--inh-caps", "-sys_time", "--")
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Host:
    """A network namespace."""

    pid: int

    def command(self, *words: object) -> list[str]:
        """The command line that runs a program on this host. It dies with the process that starts it."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *_HARMLESS, *map(str, words)]

    def run(self, *words: object, stdin: str = "") -> str:
        """Run a short program to its end; returns what it printed. Raises RuntimeError with its last words."""
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run lines of ``ip`` on this host."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def sysctl(self, path: str, value: int) -> None:
        """Set a value under /proc/sys/net."""
        self.run("tee", f"/proc/sys/net/{path}", stdin=str(value))


@dataclass(frozen=True)
class Network:
    """Two hosts, and what is between them."""

    near: Host
    far: Host
    middle: Host | None = None

    def unplug(self) -> None:
        """Take the wire away, and with it both interfaces."""
        self.near.ip(f"link delete {INTERFACE}")

    def plug(self) -> None:
        """Put a new wire, with new interfaces of the same names and addresses, where one was taken away."""
        _plug(self.near, INTERFACE, self.far, INTERFACE)
        _address(self.near, self.far)

    def throttle(self, *, mbit: int) -> None:
        """Make the bridge a queue of that rate for what goes to the far host."""
        assert self.middle is not None
        rate = ("rate", f"{mbit}mbit", "burst", "1600", "latency", "50ms")
        self.middle.run("tc", "qdisc", "replace", "dev", TO_FAR, "root", "tbf", *rate)


@contextmanager
def host() -> Iterator[Host]:
    """A new namespace with nothing but a loopback interface, which is up."""
    holder = subprocess.Popen(
        ["unshare", "--net", *_HARMLESS, "sleep", "infinity"], stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            if holder.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("unshare made no network namespace")
            time.sleep(0.002)
        here = Host(holder.pid)
        here.ip("link set lo up")
        if has_ipv6():
            here.sysctl("ipv6/conf/default/accept_dad", 0)  # otherwise addresses cannot be used for a second or two
        yield here
    finally:
        holder.kill()
        holder.wait()


@contextmanager
def network(middle: Middle = "wire") -> Iterator[Network]:
    """Two hosts with addresses, joined by a wire, a bridge, or a host of two legs that forwards nothing by itself."""
    with ExitStack() as stack:
        near, far = stack.enter_context(host()), stack.enter_context(host())
        if middle == "wire":
            between = None
            _plug(near, INTERFACE, far, INTERFACE)
        else:
            between = stack.enter_context(host())
            _dumb(between)
            _plug(near, INTERFACE, between, TO_NEAR)
            _plug(far, INTERFACE, between, TO_FAR)
            if middle == "bridge":
                between.ip(
                    "link add bridge type bridge mcast_snooping 0 forward_delay 0",
                    *(f"link set {leg} master bridge" for leg in (TO_NEAR, TO_FAR)),
                    "link set bridge up",
                )
        _address(near, far)
        yield Network(near, far, between)


@contextmanager
def star(names: dict[str, str]) -> Iterator[tuple[Host, dict[str, Host]]]:
    """A bridge and hosts with these addresses, each at the bridge's leg of its name."""
    with ExitStack() as stack:
        bridge = stack.enter_context(host())
        bridge.ip("link add bridge type bridge mcast_snooping 0 forward_delay 0", "link set bridge up")
        hosts = {}
        for name, address in names.items():
            hosts[name] = here = stack.enter_context(host())
            here.ip(
                f"link add {INTERFACE} type veth peer name {name[:15]} netns {bridge.pid}",
                f"link set {INTERFACE} up",
                f"addr add {address}/24 dev {INTERFACE}",
            )
            bridge.ip(f"link set {name[:15]} master bridge", f"link set {name[:15]} up")
        yield bridge, hosts


def _address(near: Host, far: Host) -> None:
    for end, address, address6 in ((near, NEAR, NEAR6), (far, FAR, FAR6)):
        end.ip(f"addr add {address}/24 dev {INTERFACE}")
        if has_ipv6():
            end.ip(f"addr add {address6}/64 dev {INTERFACE} nodad")


def _plug(one: Host, name: str, other: Host, other_name: str) -> None:
    one.ip(
        f"link add {name} type veth peer name {other_name} netns {other.pid}",
        f"link set {name} up",
    )
    other.ip(f"link set {other_name} up")


def _dumb(between: Host) -> None:
    """What is in the middle says nothing of its own."""
    if has_ipv6():
        between.sysctl("ipv6/conf/default/disable_ipv6", 1)


def has_ipv6() -> bool:
    """Whether this machine speaks IPv6."""
    return os.path.exists("/proc/net/if_inet6")


@cache
def unavailable() -> str:
    """Why there can be no such network here; empty if there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a thing of Linux"
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian package {package})"
    try:
        with network("bridge"):
            return ""
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return f"no network namespaces here: {error}"
