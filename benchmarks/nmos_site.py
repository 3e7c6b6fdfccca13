"""A site of NMOS nodes in virtual time: they register, are switched in salvos, fail over, and agree. Prints a table.

    python benchmarks/nmos_site.py [--nodes 200] [--receivers 4] [--salvos 10] [--seed 1]

The nodes are made of the parts that `kernel nmos` runs: the registration client, the connection API's machine, channel
mapping, status monitors and the client of the System API. Registries, network and audio are simulated. After every
phase everything is compared: what a controller has asked for, what each node has active, what its run receives, what
the registries say, and what the monitors report. The first difference ends the program.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from _options import machine
from _table import markdown

from phasegraph import NS_PER_S, session_parser
from phasegraph.control import NodeStatus, RunStatus
from phasegraph_nmos.connection.connection_changes import Switch, changes_of
from phasegraph_nmos.connection.connections import LEAD_NS, Connections, Due
from phasegraph_nmos.connection.transport_file import write_transport_file
from phasegraph_nmos.control_model.control_objects import DeviceIdentity
from phasegraph_nmos.control_model.device_model import DeviceModel
from phasegraph_nmos.mapping.audio_ports import ports_of_runs
from phasegraph_nmos.mapping.channel_mapping import ChannelMapping
from phasegraph_nmos.model.resource_identity import format_tai
from phasegraph_nmos.model.resource_store import ResourceStore
from phasegraph_nmos.model.resources import HostInterface, NodeIdentity, make_resources
from phasegraph_nmos.model.run_view import RunView, view_of_run
from phasegraph_nmos.registration.registration_client import (
    TIMEOUT_S,
    RegistrationApi,
    RegistrationClient,
    RegistryRequest,
)
from phasegraph_nmos.status_monitors.domain_health import Health
from phasegraph_nmos.status_monitors.monitored_runs import ConnectionState, NodeLinks, monitored_resources
from phasegraph_nmos.system_api.system_client import SystemApi, SystemClient

TAI_NS = 1_764_460_800 * NS_PER_S
"""TAI at the beginning; local time is 0 then, in every node."""
RATE = 48_000
GRANDMASTER = "00-1D-C1-FF-FE-12-34-56"
EXPIRY_NS = 12 * NS_PER_S
"""A registry forgets a node without a heartbeat after that (IS-04)."""
GLOBAL = {
    "id": "3b8be755-08ff-452b-b217-c9151eb21193",
    "version": "1764460800:0",
    "is04": {"heartbeat_interval": 5},
    "ptp": {"announce_receipt_timeout": 3, "domain_number": 127},
}


class Disagreement(Exception):
    """Two parts of the site say different things."""


class VirtualTime:
    """Calls functions at their times."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._calls: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def call_at(self, at_ns: int, call: Callable[[], None]) -> None:
        """Call at a time; at once where that has passed."""
        heapq.heappush(self._calls, (max(at_ns, self.now_ns), next(self._numbers), call))

    def run_for(self, duration_ns: int) -> None:
        """Let time pass."""
        end_ns = self.now_ns + duration_ns
        while self._calls and self._calls[0][0] <= end_ns:
            self.now_ns, _, call = heapq.heappop(self._calls)
            call()
        self.now_ns = end_ns

    def run_until(self, condition: Callable[[], bool], limit_ns: int) -> int:
        """Let time pass until something is so. Returns how long it took."""
        began_ns = self.now_ns
        while not condition():
            if self.now_ns - began_ns > limit_ns or not self._calls:
                raise Disagreement(f"not within {limit_ns / NS_PER_S:g} s")
            self.now_ns, _, call = heapq.heappop(self._calls)
            call()
        return self.now_ns - began_ns


class SharedMemory:
    """What the registries of a site know together."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        """By node."""
        self.health_ns: dict[str, int] = {}

    def find(self, kind: str, node: str, id: str) -> dict[str, Any]:
        """A resource of a node. Raises Disagreement."""
        try:
            return self.resources[node][kind, id]
        except KeyError:
            raise Disagreement(f"the registry has no {kind} {id}") from None


class VirtualRegistry:
    """A Registration API, in front of the memory that all of them share."""

    def __init__(self, number: int, memory: SharedMemory) -> None:
        self.api = RegistrationApi(url=f"http://10.0.0.{number}:8010/x-nmos/registration/v1.3", priority=number)
        self.memory = memory
        self.gone = False
        self.requests = 0

    def answer(self, node: str, request: RegistryRequest, now_ns: int) -> int:
        """The status of the answer."""
        self.requests += 1
        memory = self.memory
        if node in memory.resources and now_ns - memory.health_ns[node] > EXPIRY_NS:
            del memory.resources[node]
        known = memory.resources.get(node)
        if request.key[0] == "health":
            if known is None:
                return 404
            memory.health_ns[node] = now_ns
            return 200
        if request.method == "DELETE":
            if known is None or request.key not in known:
                return 404
            if request.key[0] == "node":
                del memory.resources[node]
            else:
                del known[request.key]
            return 204
        if request.key[0] == "node":
            memory.health_ns.setdefault(node, now_ns)
            if known is None:
                memory.health_ns[node] = now_ns
                known = memory.resources[node] = {}
        if known is None:
            return 400
        assert request.body is not None
        status = 200 if request.key in known else 201
        known[request.key] = request.body["data"]
        return status


class VirtualRun:
    """A run with receivers, a sender and a recorder, as its control socket would show it."""

    def __init__(self, number: int, receivers: int) -> None:
        self.name = f"room-{number}"
        self.sender_group = f"239.{100 + number // 250}.{number % 250}.1"
        self.graph: dict[str, Any] = {
            "clocks": {"house": {"kind": "ptp", "interface": "eth0"}},
            "sources": {
                "line": {"kind": "tone"},
                **{f"in-{index}": self._idle() for index in range(receivers)},
            },
            "sinks": {
                "out": {"kind": "aes67", "input": "line", "interface": "eth0", "group": self.sender_group},
                "rec": {"kind": "file", "path": "rec.wav", "input": [f"in-{index}" for index in range(receivers)]},
            },
        }
        self.switched: dict[str, int] = {}
        """By receiver, the frame from which it records its newest stream."""

    @staticmethod
    def _idle() -> dict[str, Any]:
        return {"kind": "aes67", "interface": "eth0", "enabled": False, "channels": 2}

    def apply(self, changes: Mapping[str, Any], tai_ns: int) -> None:
        """Change the graph, at the frame of a media time."""
        for path, value in changes.items():
            role, id, *option = path.split(".", 2)
            tables = self.graph[f"{role}s"]
            if option:
                tables[id] = {**tables[id], option[0]: value}
            elif value is None:
                del tables[id]
            else:
                tables[id] = dict(value)
                self.switched[id.removesuffix("-nmos")] = tai_ns * RATE // NS_PER_S

    def status(self, descriptions: Mapping[str, str]) -> RunStatus:
        """The status; ``descriptions`` are session descriptions by the group that they name."""
        nodes: dict[str, NodeStatus] = {}
        for role, tables in self.graph.items():
            for id, table in tables.items():
                nodes[id] = self._node(role, table, descriptions)
        return RunStatus(
            name=self.name,
            graph=f"{self.name}.toml",
            profile=None,
            pid=1,
            started_at="",
            duration_s=1.0,
            stopping=False,
            trouble=[],
            nodes=nodes,
            edges={},
        )

    def _node(self, role: str, table: Mapping[str, Any], descriptions: Mapping[str, str]) -> NodeStatus:
        metrics: dict[str, int | float | str] = {}
        rates: dict[str, dict[str, float]] = {}
        if role == "clocks":
            metrics = {"state": "locked", "grandmaster": GRANDMASTER, "timescale": "ptp", "domain": 127}
        elif table["kind"] == "aes67":
            heard = role == "sinks" or table.get("group") in descriptions
            rates = {"1": {"packets_sent" if role == "sinks" else "packets_received": 1000.0 if heard else 0.0}}
            text = descriptions.get(table.get("group", ""), "")
            metrics = {"packets_lost": 0, "packets_late": 0, **({"session_description": text} if text else {})}
        width = 2 * len(table["input"]) if isinstance(table.get("input"), list) else 2
        return NodeStatus(
            role=role.removesuffix("s"),
            kind=table["kind"],
            pace="none" if table["kind"] in ("tone", "file") else "clock",
            state="running",
            severity=0,
            text="",
            rate=None if role == "clocks" else RATE,
            channels=None if role == "clocks" else width,
            metrics=metrics,
            rates=rates,
        )


class SiteNode:
    """One node: the parts that `kernel nmos` connects with sockets, connected with virtual time."""

    def __init__(self, site: Site, number: int, receivers: int) -> None:
        self.site = site
        self.run = VirtualRun(number, receivers)
        address = f"10.{1 + number // 250}.{number % 250}.10"
        self.identity = NodeIdentity(
            seed=uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}.site.example"), label=self.run.name, host=address, port=3212
        )
        mac = f"00-1d-c1-00-{number >> 8:02x}-{number & 255:02x}"
        self.interfaces = [HostInterface(name="eth0", address=address, mac=mac)]
        self.store = ResourceStore()
        self.connections = Connections(self.identity, site.parse_session)
        self.client = RegistrationClient(self.identity.id)
        self.system = SystemClient(self.identity.id)
        self.mapping = ChannelMapping()
        self.model = DeviceModel(DeviceIdentity(name=self.run.name, version="0", serial_number=self.identity.id))
        self.view: RunView | None = None
        self._pumping_ns: int | None = None

    def start(self) -> None:
        """The node comes up."""
        self.refresh()
        self.client.set_registries([registry.api for registry in self.site.registries], self.now_ns)
        self.system.set_apis([SystemApi(url="http://10.0.0.9:80/x-nmos/system/v1.0/global")], self.now_ns)
        self.site.time.call_at(self.system.wake_ns() or 0, self._fetch_system)
        self._pump()
        self._watch()

    @property
    def now_ns(self) -> int:
        """Local time."""
        return self.site.time.now_ns

    @property
    def receivers(self) -> list[str]:
        """UUIDs of the receivers."""
        return list(self.connections.endpoints["receiver"])

    @property
    def sender(self) -> str:
        """UUID of the sender."""
        return next(iter(self.connections.endpoints["sender"]))

    def refresh(self, activated: frozenset[str] = frozenset()) -> None:
        """As NodeProcess.refresh: what the run has now becomes resources, ports and observations."""
        descriptions = self.site.descriptions
        self.view = view_of_run(self.run.name, self.run.graph, self.run.status(descriptions), self.site.parse_session)
        self.connections.follow([self.view], self.interfaces)
        made = make_resources(self.identity, [self.view], self.interfaces, self.connections.subscriptions(), [], [])
        if self.store.replace_resources(made, TAI_NS + self.now_ns, activated):
            self.client.set_resources(self.store.resources)
        self.mapping.set_ports(ports_of_runs([self.view], self.identity.endpoint_id))
        self._observe()

    def post_bulk(self, body: list[dict[str, Any]]) -> list[int]:
        """``POST /bulk/receivers`` of IS-05. Returns the status of each entry."""
        results, _ = self.connections.patch_bulk("receiver", body, TAI_NS + self.now_ns)
        due_ns = self.connections.next_due_ns()
        if due_ns is not None:
            self.site.time.call_at(due_ns - TAI_NS, self._take_due)
        return [result.code for result in results]

    def post_map(self, body: dict[str, Any]) -> None:
        """``POST /map/activations`` of IS-08, scheduled."""
        change = self.mapping.propose(body, TAI_NS + self.now_ns)
        self.mapping.schedule(change)
        assert change.at_tai_ns is not None

        def act() -> None:
            for run in self.mapping.runs_of(change):
                self.run.apply(self.mapping.options_of(change, run), change.at_tai_ns or 0)
            self.mapping.finish_change(change, change.at_tai_ns or 0)
            self.refresh()
            self._pump()

        self.site.time.call_at(change.at_tai_ns - TAI_NS, act)

    def _take_due(self) -> None:
        due = self.connections.take_due(TAI_NS + self.now_ns)
        for _, items in itertools.groupby(due, key=lambda item: item[1].due_ns):
            self._act_at(list(items))

    def _act_at(self, items: list[Due]) -> None:
        assert self.view is not None
        due_ns = items[0][1].due_ns
        assert due_ns is not None
        switches = [
            Switch(
                kind=endpoint.kind,
                view=endpoint.view,
                settings=activation.settings,
                offered=endpoint.offered_stream(activation.settings),
            )
            for endpoint, activation in items
        ]
        changes, _ = changes_of(switches, self.view.graph, self.interfaces)

        def act() -> None:
            self.run.apply(changes, due_ns)
            for endpoint, activation in items:
                endpoint.finish(activation, due_ns)
                endpoint.settle()
            self.refresh(frozenset(endpoint.id for endpoint, _ in items))
            self._pump()

        self.site.time.call_at(due_ns - TAI_NS, act)

    def _observe(self) -> None:
        assert self.view is not None
        states = {
            endpoint.id: ConnectionState(endpoint.active.master_enable, endpoint.changed_ns)
            for endpoints in self.connections.endpoints.values()
            for endpoint in endpoints.values()
        }
        links = NodeLinks(self.interfaces, {"eth0": True})
        receivers, senders = monitored_resources([self.view], self.identity.endpoint_id, states, links)
        self.model.observe_runs(receivers, senders, self.now_ns)

    def _watch(self) -> None:
        # The status of the run, once a second.
        self.refresh()
        self._pump()
        self.site.time.call_at(self.now_ns + NS_PER_S, self._watch)

    def _pump(self) -> None:
        # Send what is due to a registry, or come back when it is.
        request = self.client.next_request(self.now_ns)
        if request is not None:
            self.site.send(self, request)
            return
        wake_ns = self.client.wake_ns()
        if wake_ns is not None and wake_ns > self.now_ns and wake_ns != self._pumping_ns:
            self._pumping_ns = wake_ns
            self.site.time.call_at(wake_ns, self._pump)

    def take_answer(self, status: int | None) -> None:
        """The answer of a registry; None where there was none in time."""
        if status is None:
            self.client.on_failure("does not answer", self.now_ns)
        else:
            self.client.on_answer(status, self.now_ns)
        self._pump()

    def _fetch_system(self) -> None:
        if self.system.next_fetch(self.now_ns) is not None:
            self.system.on_answer(200, json.dumps(GLOBAL).encode(), self.now_ns)
            assert self.system.parameters is not None
            self.client.heartbeat_s = self.system.parameters.is04.heartbeat_interval


class Site:
    """All nodes, two registries, and a controller."""

    def __init__(self, nodes: int, receivers: int, seed: int) -> None:
        self.time = VirtualTime()
        self.random = random.Random(seed)
        self.parse_session = session_parser()
        self.memory = SharedMemory()
        self.registries = [VirtualRegistry(number, self.memory) for number in (1, 2)]
        self.descriptions: dict[str, str] = {}
        """Session descriptions of the streams on the network, by group."""
        self.nodes = [SiteNode(self, number, receivers) for number in range(nodes)]
        self.wanted: dict[str, str] = {}
        """By receiver, the sender that the controller has connected it to."""
        self.due_frame = 0

    def send(self, node: SiteNode, request: RegistryRequest) -> None:
        """Bring a request to its registry and the answer back, in 0.2 to 5 ms; a registry that is gone is silent."""
        registry = next(each for each in self.registries if request.url.startswith(each.api.url))
        if registry.gone:
            self.time.call_at(self.time.now_ns + round(TIMEOUT_S * NS_PER_S), partial(node.take_answer, None))
            return
        there_ns, back_ns = (self.random.randrange(200_000, 5_000_000) for _ in range(2))

        def arrive() -> None:
            status = None if registry.gone else registry.answer(node.identity.id, request, self.time.now_ns)
            wait_ns = back_ns if status is not None else round(TIMEOUT_S * NS_PER_S) - there_ns
            self.time.call_at(self.time.now_ns + wait_ns, partial(node.take_answer, status))

        self.time.call_at(self.time.now_ns + there_ns, arrive)

    def start(self) -> int:
        """Start the nodes within two seconds. Returns how long it took until all were registered."""
        for node in self.nodes:
            self.time.call_at(self.random.randrange(2 * NS_PER_S), node.start)
        self.time.run_for(2 * NS_PER_S)
        took_ns = 2 * NS_PER_S + self.time.run_until(self.all_registered, 30 * NS_PER_S)
        for node in self.nodes:  # what a controller fetches from /transportfile, and what is on the network
            assert node.view is not None
            (endpoint,) = node.connections.endpoints["sender"].values()
            self.descriptions[node.run.sender_group] = write_transport_file(endpoint, node.view.clocks[0])
        return took_ns

    def all_registered(self) -> bool:
        """Whether the registries have every resource of every node, at its newest version."""
        return all(
            node.client.registered
            and self.memory.resources.get(node.identity.id, {}).keys()
            == {(kind, id) for kind, resources in node.store.resources.items() for id in resources}
            and all(
                self.memory.resources[node.identity.id][kind, id]["version"] == resource["version"]
                for kind, resources in node.store.resources.items()
                for id, resource in resources.items()
            )
            for node in self.nodes
        )

    def salvo(self) -> int:
        """Switch every receiver of the site to another sender, all at one frame. Returns how many there were."""
        at_ns = TAI_NS + self.time.now_ns + LEAD_NS + NS_PER_S // 2
        at_ns -= at_ns % NS_PER_S
        self.due_frame = at_ns * RATE // NS_PER_S
        count = 0
        for node in self.nodes:
            body = []
            for receiver in node.receivers:
                before = self.wanted.get(receiver)
                other = self.random.choice([each for each in self.nodes if each is not node and each.sender != before])
                self.wanted[receiver] = other.sender
                count += 1
                body.append(
                    {
                        "id": receiver,
                        "params": {
                            "sender_id": other.sender,
                            "master_enable": True,
                            "transport_file": {
                                "data": self.descriptions[other.run.sender_group],
                                "type": "application/sdp",
                            },
                            "activation": {
                                "mode": "activate_scheduled_absolute",
                                "requested_time": format_tai(at_ns),
                            },
                        },
                    }
                )
            if {*node.post_bulk(body)} != {202}:
                raise Disagreement(f"{node.run.name} refuses the salvo")
        self.time.run_for(2 * NS_PER_S)
        return count

    def swap_channels(self) -> int:
        """Swap the channels of every recorder at one frame (IS-08). Returns how many outputs there were."""
        at = format_tai(TAI_NS + self.time.now_ns + NS_PER_S // 2)
        for node in self.nodes:
            (output,) = [port for port in node.mapping.ports.outputs.values() if port.node == "rec"]
            turned = {
                str(index): {"input": route[0], "channel_index": 1 - route[1]}
                for index, route in enumerate(output.routes)
                if route is not None
            }
            activation = {"mode": "activate_scheduled_absolute", "requested_time": at}
            node.post_map({"activation": activation, "action": {output.id: turned}})
        before = [self._routes(node) for node in self.nodes]
        self.time.run_for(NS_PER_S)
        for node, routes in zip(self.nodes, before, strict=True):
            turned_routes = [(route[0], 1 - route[1]) for route in routes]
            if self._routes(node) != turned_routes:
                raise Disagreement(f"{node.run.name} records {self._routes(node)}, not {turned_routes}")
        return len(self.nodes)

    @staticmethod
    def _routes(node: SiteNode) -> list[tuple[str, int]]:
        (output,) = [port for port in node.mapping.ports.outputs.values() if port.node == "rec"]
        return [route for route in output.routes if route is not None]

    def check(self) -> None:
        """Compare everything with everything. Raises Disagreement."""
        groups = {node.sender: node.run.sender_group for node in self.nodes}
        for node in self.nodes:
            monitors = {
                object.touchpoints[0]["resource"]["id"]: object.monitor
                for object in node.model.monitors
                if object.touchpoints
            }
            for id, endpoint in node.connections.endpoints["receiver"].items():
                wanted = self.wanted[id]
                table = node.run.graph["sources"][endpoint.view.node]
                subscription = self.memory.find("receiver", node.identity.id, id)["subscription"]
                facts = {
                    "the connection API": endpoint.active.peer_id == wanted and endpoint.active.master_enable,
                    "the graph": table["group"] == groups[wanted],
                    "the frame": node.run.switched[endpoint.view.id] == self.due_frame,
                    "the registry": subscription == {"sender_id": wanted, "active": True},
                    "the monitor": monitors[id].overall is Health.HEALTHY,
                }
                if wrong := [name for name, right in facts.items() if not right]:
                    raise Disagreement(f"{node.run.name} {endpoint.view.id}: {', '.join(wrong)}")

    def requests(self) -> int:
        """Requests that the registries have answered."""
        return sum(registry.requests for registry in self.registries)


def run_site(nodes: int, receivers: int, salvos: int, seed: int) -> list[list[str]]:
    """The rows of the table: phase, what happened, how long it took in virtual time, requests to registries."""
    site = Site(nodes, receivers, seed)
    rows: list[list[str]] = []
    counted = 0

    def row(phase: str, what: str, longest_ns: int) -> None:
        nonlocal counted
        rows.append([phase, what, f"{longest_ns / NS_PER_S:.2f} s", f"{site.requests() - counted}"])
        counted = site.requests()

    took_ns = site.start()
    resources = sum(len(known) for known in site.memory.resources.values())
    row("start", f"{nodes} nodes register {resources} resources", took_ns)
    switched = 0
    for _ in range(salvos):
        switched += site.salvo()
    site.time.run_for(4 * NS_PER_S)
    site.check()
    row("salvos", f"{salvos} salvos switch {switched} receivers, each salvo at one frame", salvos * 2 * NS_PER_S)
    outputs = site.swap_channels()
    site.check()
    row("channels", f"{outputs} outputs swap their channels, at one frame", NS_PER_S)

    first, second = site.registries
    first.gone = True
    registered = second.requests
    moved_ns = site.time.run_until(
        lambda: all(node.client.registry == second.api for node in site.nodes), 10 * NS_PER_S
    )
    switched = site.salvo()
    site.time.run_for(4 * NS_PER_S)
    site.check()
    assert second.requests > registered
    failovers = sum(node.client.failovers for node in site.nodes)
    row("failover", f"{failovers} nodes go to the second registry; a salvo of {switched} meanwhile", moved_ns)

    site.memory.resources.clear()
    again_ns = site.time.run_until(site.all_registered, 30 * NS_PER_S)
    site.check()
    row("amnesia", "the registry forgets everything; all nodes register again", again_ns)

    first.gone, second.gone = True, True
    site.time.run_for(20 * NS_PER_S)
    switched = site.salvo()
    first.gone = False
    back_ns = site.time.run_until(site.all_registered, 120 * NS_PER_S)
    site.time.run_for(4 * NS_PER_S)
    site.check()
    row("no registry", f"both are gone for 22 s; a salvo of {switched} meanwhile; then one comes back", back_ns)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--receivers", type=int, default=4)
    parser.add_argument("--salvos", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.process_time()
    rows = run_site(options.nodes, options.receivers, options.salvos, options.seed)
    print(machine())
    print(markdown(["phase", "what", "longest, virtual", "requests"], rows))
    print(f"\nAll agree after every phase. {time.process_time() - began_s:.0f} s of processor time.")


if __name__ == "__main__":
    main()
