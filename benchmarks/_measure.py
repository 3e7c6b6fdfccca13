"""What a run costs: CPU of a process tree, state of the machine, and the kernel's own packet counters."""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (the second, the name, may hold spaces)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None


def group_members(group: int) -> list[int]:
    """Processes of a process group: the one that was started and all its children."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if (fields := _stat(pid)) is not None and int(fields[2]) == group]


def cpu_ns(group: int) -> int:
    """User plus system time of all processes and threads of a process group, also of those that ended."""
    total = 0
    for pid in group_members(group):
        fields = _stat(pid)
        if fields is None:
            continue
        try:
            # The CPU clock of another process (clock_getcpuclockid): the scheduler's own count in ns over all
            # threads, where utime and stime of /proc/PID/stat step in clock ticks of 10 ms.
            own = time.clock_gettime_ns((~pid << 3) | 2)
        except OSError:
            own = (int(fields[11]) + int(fields[12])) * _TICK_NS
        ended = (int(fields[13]) + int(fields[14])) * _TICK_NS  # children that were waited for
        total += own + ended
    return total


def thread_count(group: int) -> int:
    """Threads of all processes of a group."""
    return sum(int(fields[17]) for pid in group_members(group) if (fields := _stat(pid)) is not None)


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment."""

    at_ns: int  # CLOCK_MONOTONIC
    realtime_ns: int
    cpu: int
    steal_ns: int
    busy_ns: int
    load_cpu: int
    drops: int
    delivered: int
    sent: int


@dataclass(frozen=True)
class Window:
    """What happened between two snapshots."""

    seconds: float
    cpu_seconds: float
    steal: float  # share of one core that the hypervisor took
    others: float  # share of one core used by everything but the process under test and the load
    drops: int  # packets that the sockets of the process under test had no room for
    delivered: int  # datagrams read by all processes of the machine
    sent: int  # packets sent by the load
    start_ns: int  # CLOCK_REALTIME
    end_ns: int


def snapshot(group: int, load: int | None = None, sent: int = 0) -> Snapshot:
    """Read all counters for the process group under test (and the load's group)."""
    fields = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, soft, steal = fields[:8]
    return Snapshot(
        at_ns=time.monotonic_ns(),
        realtime_ns=time.time_ns(),
        cpu=cpu_ns(group),
        steal_ns=steal * _TICK_NS,
        busy_ns=(user + nice + system + irq + soft) * _TICK_NS,
        load_cpu=cpu_ns(load) if load is not None else 0,
        drops=socket_drops(group),
        delivered=datagrams_read(),
        sent=sent,
    )


def wait_quiet(patience: float, limit: float = 0.15) -> None:
    """Wait until the machine's processes use less than `limit` of a core for 2 s, or patience ends."""
    deadline = time.monotonic() + patience
    busy = 1.0
    while busy > limit and time.monotonic() < deadline:
        first = snapshot(0)
        time.sleep(2)
        busy = between(first, snapshot(0)).others


def between(first: Snapshot, last: Snapshot) -> Window:
    """The difference of two snapshots."""
    span = last.at_ns - first.at_ns
    known = (last.cpu - first.cpu) + (last.load_cpu - first.load_cpu)
    return Window(
        seconds=span / 1e9,
        cpu_seconds=(last.cpu - first.cpu) / 1e9,
        steal=(last.steal_ns - first.steal_ns) / span,
        others=max(0.0, (last.busy_ns - first.busy_ns - known) / span),
        drops=last.drops - first.drops,
        delivered=last.delivered - first.delivered,
        sent=last.sent - first.sent,
        start_ns=first.realtime_ns,
        end_ns=last.realtime_ns,
    )


def socket_drops(group: int) -> int:
    """Packets dropped so far at the UDP sockets of a process group because they were full."""
    inodes = set()
    for pid in group_members(group):
        try:
            for entry in os.scandir(f"/proc/{pid}/fd"):
                link = os.readlink(entry.path)
                if link.startswith("socket:["):
                    inodes.add(link[8:-1])
        except OSError:
            continue
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(row[12]) for row in rows if row[9] in inodes)


def datagrams_read() -> int:
    """UDP datagrams that processes of this machine (network namespace) have read."""
    names, values = [
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:")
    ]
    return int(values[names.index("InDatagrams")])


def groups_joined(prefix: str) -> int:
    """How many multicast groups under a three-octet prefix somebody on this machine has joined."""
    wanted = socket.inet_aton(prefix + ".0")[:3]
    found = set()
    for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
        if line.startswith("\t"):  # the address as the machine stores the network-order word
            address = struct.pack("=I", int(line.split()[0], 16))
            if address[:3] == wanted:
                found.add(address)
    return len(found)
