"""Facts of a computer on which nothing stands in the way, for tests that change one."""

from __future__ import annotations

from phasegraph import NtpState
from phasegraph_console.doctor.host_facts import HostFacts, LinkFacts

LOOPBACK = LinkFacts(name="lo", address="127.0.0.1", up=True, multicast=False, loopback=True, mtu=65536)
ETH0 = LinkFacts(name="eth0", address="192.168.1.20", up=True, multicast=True, loopback=False, mtu=1500)
HEALTHY = HostFacts(
    links=[LOOPBACK, ETH0],
    port_holders={},
    capabilities=frozenset({"CAP_NET_BIND_SERVICE", "CAP_SYS_NICE"}),
    first_unprivileged_port=1024,
    realtime_limit=0,
    clock_source="tsc",
    ntp=NtpState(synchronised=True, max_error_ns=2_000_000),
    receive_buffer_limit=4 << 20,
    governor="performance",
    portaudio=True,
    sound_servers=["jackd"],
)
