"""mDNS on the loopback interface: a registry is found, and the node announces itself."""

from __future__ import annotations

import socket
from functools import partial

import pytest
import trio
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from phasegraph_nmos.mdns_service import NODE_SERVICE, start_mdns
from phasegraph_nmos.registration.registry_choice import peer_properties

pytestmark = pytest.mark.realtime

REGISTER = "_nmos-register._tcp.local."


async def test_a_registry_is_found_and_the_node_is_announced() -> None:
    changed = trio.Event()
    other = await trio.to_thread.run_sync(partial(Zeroconf, interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only))
    mdns = await start_mdns("127.0.0.1", changed.set, secure=False, authorization=False)
    try:
        name = f"registry-{trio.current_time():.6f}".replace(".", "-")
        texts = {"api_ver": "v1.2,v1.3", "api_proto": "http", "pri": "7", "api_auth": "false"}
        info = ServiceInfo(
            REGISTER,
            f"{name}.{REGISTER}",
            addresses=[socket.inet_aton("127.0.0.1")],
            port=8010,
            properties=texts,
            server=f"{name}.local.",
        )
        await trio.to_thread.run_sync(other.register_service, info)
        with trio.fail_after(15):
            await changed.wait()
        assert [(each.url, each.priority) for each in mdns.registries] == [
            ("http://127.0.0.1:8010/x-nmos/registration/v1.3", 7)
        ]
        for revision in (1, 2):
            revisions = dict.fromkeys(("node", "source", "flow", "device", "sender", "receiver"), revision)
            properties = peer_properties(["v1.3"], secure=False, authorization=False, revisions=revisions)
            await mdns.announce_node(name, "127.0.0.1", 3212, properties)
            with trio.fail_after(15):
                while True:
                    find = partial(other.get_service_info, NODE_SERVICE, f"{name}.{NODE_SERVICE}", timeout=1000)
                    found = await trio.to_thread.run_sync(find)
                    if found is not None and found.properties.get(b"ver_rcv") == str(revision).encode():
                        break
            assert found.port == 3212
            assert found.properties[b"api_ver"] == b"v1.3"
    finally:
        await mdns.close()
        await trio.to_thread.run_sync(other.close)
