"""What the facts of a computer mean for a run. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .finding import Finding, Severity
from .host_facts import PORTS, HostFacts, LinkFacts

PTP_PORT = 319
ENGINE_PRIORITY = 4
"""Real-time priority that the engine asks for."""
RECEIVE_BUFFER_BYTES = 4 << 20
"""Receive buffer that a socket asks for: 64 streams of 1 ms packets for 80 ms."""
EXACT_CLOCK_SOURCES = frozenset({"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"})


def check_host(facts: HostFacts) -> Iterator[Finding]:
    """One finding for each fact, in the order in which a packet meets them."""
    for link in facts.links:
        yield _check_link(link)
        if link.up and link.address and not link.loopback:
            yield from _check_igmp(link)
            yield from _describe_queue(link)
    if not any(link.address and not link.loopback for link in facts.links):
        text = "only the loopback interface has an IPv4 address"
        yield Finding("network", Severity.ATTENTION, text, "connect an interface, or set its address")
    for port, use in PORTS.items():
        yield _check_port(port, use, facts)
    yield _check_low_ports(facts)
    yield from _check_buffers(facts)
    yield from _check_timing(facts)
    yield _check_ntp(facts)
    yield _check_sound(facts)


def _check_link(link: LinkFacts) -> Finding:
    if not link.up:
        return Finding(link.name, Severity.OK, "switched off")
    if not link.address:
        return Finding(link.name, Severity.ATTENTION, "the interface has no IPv4 address", "set one, or wait for DHCP")
    if link.obstacles:
        return Finding(link.name, Severity.WRONG, "; ".join(link.obstacles), "change it as the text says")
    if not link.multicast and not link.loopback:
        text = f"{link.address}; the interface does not carry multicast"
        return Finding(link.name, Severity.ATTENTION, text, f"ip link set {link.name} multicast on")
    return Finding(link.name, Severity.OK, f"{link.address}, MTU {link.mtu}")


def _check_igmp(link: LinkFacts) -> Iterator[Finding]:
    if link.igmp is None:
        return
    name, version, count = f"IGMP {link.name}", link.igmp.version, len(link.igmp.groups)
    if version >= 3:
        groups = f"{count} group{'' if count == 1 else 's'}"
        yield Finding(name, Severity.OK, f"version {version}, {groups} joined")
    else:
        text = f"version {version}: a querier or a setting keeps it there, and switches cannot filter by source"
        remedy = f"set the querier to version 3; or sysctl net.ipv4.conf.{link.name}.force_igmp_version=0"
        yield Finding(name, Severity.ATTENTION, text, remedy)


def _describe_queue(link: LinkFacts) -> Iterator[Finding]:
    if link.queue == "fq":
        yield Finding(f"queue {link.name}", Severity.OK, "fq: packets leave at the time that is given with them")
    elif link.queue:
        text = f"{link.queue}: packets leave when the engine sends them; fq would hold each until its time "
        text += f"(tc qdisc replace dev {link.name} root fq)"
        yield Finding(f"queue {link.name}", Severity.OK, text)


def _check_port(port: int, use: str, facts: HostFacts) -> Finding:
    holders = facts.port_holders.get(port, ())
    name = f"port {port}"
    if not holders:
        return Finding(name, Severity.OK, f"free ({use})")
    text = f"held by {' and '.join(holders)} ({use}); unicast packets reach only one program"
    remedy = "stop it; or use its time with a clock of kind ptp4l or nqptp" if port in (319, 320) else "stop it"
    return Finding(name, Severity.ATTENTION, text, remedy)


def _check_low_ports(facts: HostFacts) -> Finding:
    first = facts.first_unprivileged_port
    if first is None or first <= PTP_PORT or "CAP_NET_BIND_SERVICE" in facts.capabilities:
        return Finding("PTP ports", Severity.OK, "UDP ports 319 and 320 may be opened")
    remedy = "kernel run --user NAME as root, AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or sysctl "
    remedy += f"net.ipv4.ip_unprivileged_port_start={PTP_PORT}"
    return Finding("PTP ports", Severity.ATTENTION, "opening UDP ports 319 and 320 needs a privilege", remedy)


def _check_buffers(facts: HostFacts) -> Iterator[Finding]:
    limit = facts.receive_buffer_limit
    if limit is None:
        return
    if limit >= RECEIVE_BUFFER_BYTES:
        yield Finding("socket buffer", Severity.OK, f"up to {limit >> 10} KiB")
    else:
        text = f"at most {limit >> 10} KiB: the engine reads its sockets more often with many streams"
        yield Finding("socket buffer", Severity.ATTENTION, text, f"sysctl net.core.rmem_max={RECEIVE_BUFFER_BYTES}")


def _check_timing(facts: HostFacts) -> Iterator[Finding]:
    if "CAP_SYS_NICE" in facts.capabilities or (facts.realtime_limit or 0) >= ENGINE_PRIORITY:
        yield Finding("priority", Severity.OK, "the engine gets real-time priority")
    elif facts.realtime_limit is not None:
        text = "the engine does not get real-time priority: packets leave later on a busy machine"
        remedy = f"LimitRTPRIO={ENGINE_PRIORITY} in a systemd unit, or 'rtprio {ENGINE_PRIORITY}' in limits.conf"
        yield Finding("priority", Severity.ATTENTION, text, remedy)
    source = facts.clock_source
    if source is not None:
        exact = source in EXACT_CLOCK_SOURCES
        text = f"{source}" if exact else f"{source}: reading the time takes microseconds"
        remedy = "" if exact else "boot with clocksource=tsc if the processor has a constant TSC"
        yield Finding("clock source", Severity.OK if exact else Severity.ATTENTION, text, remedy)
    if facts.governor is not None:
        slow = facts.governor == "powersave"
        text = f"{facts.governor}: the processor wakes up slowly" if slow else facts.governor
        remedy = "set the governor to performance or schedutil" if slow else ""
        yield Finding("processor", Severity.ATTENTION if slow else Severity.OK, text, remedy)


def _check_ntp(facts: HostFacts) -> Finding:
    if facts.ntp is None:
        return Finding("system time", Severity.OK, "the system does not report its state")
    error_ms = facts.ntp.max_error_ns / 1e6
    if facts.ntp.synchronised:
        return Finding("system time", Severity.OK, f"synchronised, within {error_ms:.3g} ms")
    remedy = "start chrony or systemd-timesyncd; clocks of kind ptp do not need it"
    return Finding("system time", Severity.ATTENTION, "not synchronised: the clock 'system' shows it as it is", remedy)


def _check_sound(facts: HostFacts) -> Finding:
    if not facts.portaudio:
        text = "the library PortAudio is not installed: sound cards cannot be used"
        return Finding("sound", Severity.ATTENTION, text, "on Debian and Ubuntu: apt install libportaudio2")
    servers = ", ".join(facts.sound_servers)
    return Finding("sound", Severity.OK, f"PortAudio; {servers} runs" if servers else "PortAudio, no sound server")
