"""ptp4l of linuxptp and its pmc, run so that they never touch the clock: it serves CLOCK_REALTIME, or says how far off.

Its configurations have ``free_running``, and hosts of `netns` cannot set the clock anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .netns import INTERFACE, Host
from .process import Running, running

MASTER, SLAVE, ORDINARY = "master", "slave", "ordinary"
IDENTITY = "02aabb.fffe.ccddee"
"""Of a master."""
_ROLES: dict[str, dict[str, object]] = {
    MASTER: {"masterOnly": 1, "clockIdentity": IDENTITY},
    SLAVE: {"slaveOnly": 1},
    ORDINARY: {},
}
_RATES = {
    "logAnnounceInterval": -2,
    "announceReceiptTimeout": 2,
    "logSyncInterval": -3,
    "logMinDelayReqInterval": -3,
    "logMinPdelayReqInterval": -3,
    "freq_est_interval": 0,
    "summary_interval": -3,
}
_UNTOUCHABLE = {"free_running": 1, "time_stamping": "software", "kernel_leap": 0}
_OFFSET = re.compile(r"master offset +(-?\d+) s\d freq")


def write_config(
    path: Path, role: str, *, interface: str = INTERFACE, servers: Sequence[str] = (), **options: object
) -> None:
    """Write a configuration: 8 Syncs and 4 Announces a second, and an offset a second in the log of a slave.

    With ``servers``, addresses, it negotiates unicast with these.
    """
    settings = {
        **_RATES,
        "uds_address": f"./{path.stem}.uds",  # relative to where it runs: a socket's path has to be short
        "use_syslog": 0,
        "verbose": 1,
        **_ROLES[role],
        **options,
        **_UNTOUCHABLE,
    }
    lines = ["[global]", *(f"{name} {value}" for name, value in settings.items())]
    if servers:
        lines += ["[unicast_master_table]", "table_id 1", *(f"UDPv4 {address}" for address in servers)]
    lines += [f"[{interface}]", *(["unicast_master_table 1"] if servers else []), ""]
    path.write_text("\n".join(lines))


@contextmanager
def ptp4l(
    host: Host, folder: Path, role: str, *, interface: str = INTERFACE, servers: Sequence[str] = (), **options: object
) -> Iterator[Running]:
    """ptp4l on a host; see `write_config`."""
    config = folder / f"{role}.cfg"
    write_config(config, role, interface=interface, servers=servers, **options)
    with running(host.command("ptp4l", "-f", config.name), folder, name=f"ptp4l-{role}") as process:
        yield process


def offsets(process: Running, count: int = 5) -> list[int]:
    """Wait for that many offsets of a slave, one a second: its clock less the grandmaster's, ns, without the first."""

    def told() -> list[int]:
        return [int(offset) for offset in _OFFSET.findall(process.stdout)]

    process.wait_until(lambda: len(told()) >= count, "an offset")
    return told()[1:]


def local(host: Host, folder: Path, socket: str, *names: str) -> list[dict[str, str]]:
    """Ask over a UNIX socket in a folder: GET each of the names; see `pmc`."""
    return pmc(host, "-u", "-s", folder / socket, "-i", folder / "pmc.uds", "-b", 0, names=names)


def remote(host: Host, transport: str, *names: str) -> list[dict[str, str]]:
    """Ask those on the network of a host, but not the host itself: GET each of the names; see `pmc`."""
    return pmc(host, {"udp4": "-4", "udp6": "-6"}[transport], "-i", INTERFACE, "-b", 1, names=names)


def pmc(host: Host, *options: object, names: Sequence[str]) -> list[dict[str, str]]:
    """The responses that pmc printed: ``from``, ``what`` and the fields of each, as text."""
    answers: list[dict[str, str]] = []
    for line in host.run("pmc", *options, *(f"GET {name}" for name in names)).splitlines():
        words = line.split()
        if "RESPONSE" in words:
            answers.append({"from": words[0], "what": words[-1]})
        elif len(words) == 2 and answers:
            answers[-1][words[0]] = words[1]
    return answers
