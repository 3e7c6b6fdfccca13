"""The process of ``kernel nmos``: it attaches to runs, serves the APIs, and keeps the node registered.

runs (control sockets) --RunLink--> views --make_resources--> ResourceStore --> Node API, registry, mDNS
controller --HTTP--> Connections --ActivationRunner--> RunLink --> runs
"""

from __future__ import annotations

import copy
import os
import signal
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio

from phasegraph import session_parser
from phasegraph.control import ControlError, RunEvent, find_run, list_runs

from .access_tokens import AccessTokens, TokenKeysUnusable, read_token_keys
from .activation_runner import ActivationRunner
from .connection.connections import Connections
from .connection.endpoint import ConnectionEndpoint
from .connection.transport_file import write_transport_file
from .connection.transport_params import PatchRefused
from .control_services import CONTROLS, ControlServices
from .gateway import GatewaySession, announced_sessions, follow_announcements
from .host_interfaces import host_interfaces
from .http.connection_api import connection_api
from .http.http_server import CannotServe, NmosHttpServer
from .http.nmos_app import NmosApp
from .http.node_api import VERSIONS, node_api
from .mdns_service import NmosMdns, start_mdns
from .model.resource_store import ResourceStore
from .model.resources import (
    CONNECTION_CONTROL,
    ActiveState,
    DeviceControl,
    Gateway,
    HostInterface,
    NodeIdentity,
    interface_of,
    make_resources,
)
from .model.run_view import RunView
from .options import NmosOptions
from .registration.registration_client import RegistrationClient
from .registration.registry_choice import configured_registries, peer_properties
from .registry_dialogue import RegistryDialogue
from .run_link import RunLink
from .state_folder import StateFolder
from .syslog_forwarder import SyslogForwarder
from .system_api.global_parameters import GlobalParameters
from .system_api.syslog_message import syslog_server
from .system_api.system_client import SystemClient
from .system_dialogue import SystemDialogue, set_clocks
from .tai_clock import TaiClock

SEARCH_S = 1.0
"""How often new runs are looked for."""
INTERFACES_S = 5.0
"""How often the interfaces of the computer are read."""
MOST_DESCRIPTIONS = 256
"""Session descriptions that are remembered with what they say."""
MOST_OFFERS = 8
"""As above, of descriptions that controllers send: each may be 64 KiB long."""
SAVE_S = 0.5
"""How long several changes together lead to one writing of the state folder."""


class NodeProcess:
    """The node: everything that belongs to it, and the tasks that keep it up to date."""

    def __init__(self, options: NmosOptions, runs: Sequence[str] = (), *, run: str = "") -> None:
        """``runs`` are names or sockets of runs; none are all of this user. ``run`` is the name of the run that this
        node was started by. Raises CannotServe."""
        self.options = options
        self.log = structlog.get_logger("phasegraph.nmos")
        self.clock = TaiClock()
        self.links: dict[str, RunLink] = {}
        """The runs that are there, by name."""
        self.interfaces: list[HostInterface] = host_interfaces()
        self.store = ResourceStore()
        self._shown: Any = None
        """What the resources were made of."""
        self.controls = [DeviceControl(type=CONNECTION_CONTROL, path="/x-nmos/connection/v1.1/"), *CONTROLS]
        self._wanted = runs
        self._state = StateFolder(options.state, run)
        try:
            self._parse_session = session_parser()
        except LookupError as error:
            raise CannotServe(str(error)) from None
        self._tokens = self._access_tokens()
        self.app = NmosApp(self._tokens.check_token if self._tokens is not None else None, self.log)
        self._server = NmosHttpServer(self.app, certificate=options.certificate, key=options.key)
        self._parse_shown = lru_cache(MOST_DESCRIPTIONS)(self._parse_session)
        """For descriptions of runs, which are in every status."""
        self._announced: list[GatewaySession] = []
        self._save = trio.Event()
        self._mdns: NmosMdns | None = None
        self._peers_changed = trio.Event()
        self._parameters: GlobalParameters | None = None
        self._syslog = SyslogForwarder(options.trust)
        self._new_runs: set[str] = set()
        """Runs that have not got the parameters of the system."""

    async def run(self, *, task_status: trio.TaskStatus[NodeProcess] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises CannotServe."""
        port = await self._server.open_port(self._address() or "0.0.0.0", self.options.port)
        self.identity = self._identity(port)
        # A bulk request gives many receivers one description.
        self.connections = Connections(self.identity, lru_cache(MOST_OFFERS)(self._parse_session))
        if self.options.remember:
            self.connections.remember(self._state.read_connections())
        self.activations = ActivationRunner(
            self.connections, self.links.get, lambda: self.interfaces, self.clock, self._on_activated, self.log
        )
        self.client = RegistrationClient(self.identity.id)
        self._dialogue = RegistryDialogue(self.client, self.log, self.options.trust)
        self._services = ControlServices(
            self.identity,
            version("phasegraph"),
            self.connections,
            self.links.get,
            self.clock,
            self.refresh,
            self._save_soon,
            self.log,
        )
        if self.options.remember:
            self._services.model.restore_settings(self._state.read_controls())
        self._system = SystemDialogue(
            SystemClient(self.identity.id), self._on_system_parameters, self.log, self.options.trust
        )
        self._add_apis()
        await self.refresh()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._server.run)
            nursery.start_soon(self.activations.run)
            nursery.start_soon(self._services.run)
            if self.options.system != "ignore":
                nursery.start_soon(self._system.run)
            nursery.start_soon(self._follow_runs, nursery)
            nursery.start_soon(self._follow_interfaces)
            nursery.start_soon(self._keep_state)
            if self.options.gateway:
                nursery.start_soon(follow_announcements, self.options.interface, self._on_announced, self.log)
            await self._start_mdns(nursery)
            self._set_registries()
            nursery.start_soon(self._dialogue.run)
            self.log.info("the node is there", url=f"{self.identity.base_url}/x-nmos/", id=self.identity.id)
            task_status.started(self)

    @property
    def views(self) -> list[RunView]:
        """What the runs offer."""
        return [link.view for _, link in sorted(self.links.items()) if link.view is not None]

    async def refresh(self, activated: Collection[str] = ()) -> None:
        """Bring resources and all that shows them up to date; ``activated`` are UUIDs that get a new version."""
        views = self.views
        announced = {session.gateway.key: session.sdp for session in self._announced}
        new = self.connections.follow(views, self.interfaces, announced)
        offered = self._with_all_legs(views)
        subscriptions = self.connections.subscriptions()
        gateways = [session.gateway for session in self._announced]
        shown = [(run.name, run.label, run.clocks, run.receivers, run.senders) for run in offered]
        parts = (shown, list(self.interfaces), subscriptions, gateways)
        if parts != self._shown or activated:
            self._shown = parts
            self._show(offered, subscriptions, gateways, activated)
        self._services.follow_views(views, self.interfaces)
        if self.options.remember:
            await self._recall(new)

    def _show(
        self,
        offered: Sequence[RunView],
        subscriptions: Mapping[str, ActiveState],
        gateways: Sequence[Gateway],
        activated: Collection[str],
    ) -> None:
        made = make_resources(self.identity, offered, self.interfaces, subscriptions, self.controls, gateways)
        if self.store.replace_resources(made, self.clock.now_ns(), activated):
            self.client.set_resources(self.store.resources)
            self._dialogue.wake()
            self._peers_changed.set()

    def _with_all_legs(self, views: Sequence[RunView]) -> list[RunView]:
        # As the connection API has them: with a leg that is idle at present.
        complete = {
            (endpoint.kind, endpoint.view.run, endpoint.view.id): endpoint.view
            for endpoints in self.connections.endpoints.values()
            for endpoint in endpoints.values()
        }
        return [
            msgspec.structs.replace(
                view,
                receivers=tuple(complete["receiver", view.name, each.id] for each in view.receivers),
                senders=tuple(complete["sender", view.name, each.id] for each in view.senders),
            )
            for view in views
        ]

    async def _recall(self, endpoints: Sequence[ConnectionEndpoint]) -> None:
        # What controllers had set before this process, or the run, began again.
        due = []
        for endpoint in endpoints:
            body = self.connections.recall(endpoint)
            if body is None:
                continue
            try:
                activation = endpoint.patch(body, self.clock.now_ns())
            except PatchRefused as refused:
                self.log.warning("what was set before is not possible any more", id=endpoint.id, reason=str(refused))
                continue
            if activation is not None:
                due.append((endpoint, activation))
        if due:
            done = await self.activations.activate(due)
            for id, result in done.items():
                if isinstance(result, PatchRefused):
                    self.log.warning("what was set before is not possible any more", id=id, reason=str(result))

    def _add_apis(self) -> None:
        self.app.add_api("node", {version: node_api(self.store, version) for version in VERSIONS})
        handler = connection_api(self.connections, self.activations, self.clock.now_ns, self._transport_file)
        self.app.add_api("connection", {"v1.1": handler})
        self._services.add_to(self.app)

    def _transport_file(self, endpoint: ConnectionEndpoint) -> str:
        if endpoint.foreign_file is not None:
            return endpoint.foreign_file
        view = self.links[endpoint.view.run].view
        clocks = {clock.id: clock for clock in view.clocks} if view is not None else {}
        return write_transport_file(endpoint, clocks.get(endpoint.view.clock or ""))

    # Runs and interfaces

    async def _follow_runs(self, nursery: trio.Nursery) -> None:
        while True:
            for name, path in (await trio.to_thread.run_sync(self._find_runs)).items():
                if name not in self.links:
                    self.links[name] = link = RunLink(name, path, self._parse_shown)
                    nursery.start_soon(self._follow_run, link)
            await trio.sleep(SEARCH_S)

    def _find_runs(self) -> dict[str, Path]:
        if not self._wanted:
            return list_runs()
        found = {}
        for name in self._wanted:
            try:
                path = find_run(name)
            except ControlError:
                continue
            if path.exists():
                found[path.stem] = path
        return found

    async def _follow_run(self, link: RunLink) -> None:
        async def show() -> None:
            await self.refresh()
            if link.name in self._new_runs:
                self._new_runs.discard(link.name)
                await self._set_clocks(link)

        self._new_runs.add(link.name)
        try:
            await link.run(show, self._on_event)
        except ControlError as error:
            self.log.info("a run is not followed any more", run=link.name, reason=str(error))
        finally:
            self.links.pop(link.name, None)
        await self.refresh()

    async def _follow_interfaces(self) -> None:
        while True:
            await trio.sleep(INTERFACES_S)
            found = await trio.to_thread.run_sync(host_interfaces)
            if found != self.interfaces:
                self.interfaces[:] = found
                await self.refresh()

    async def _on_announced(self, found: list[Any]) -> None:
        interface = interface_of(self.options.interface, self.interfaces)
        own = frozenset(leg.address for view in self.views for each in view.senders for leg in each.legs if leg.address)
        self._announced = announced_sessions(found, interface.name if interface is not None else "lo", own)
        await self.refresh()

    # What is kept

    async def _on_activated(self, ids: Collection[str]) -> None:
        self._save_soon()
        await self.refresh(ids)

    def _save_soon(self) -> None:
        self._save.set()

    async def _keep_state(self) -> None:
        while self.options.remember:
            await self._save.wait()
            self._save = trio.Event()
            await trio.sleep(SAVE_S)
            try:
                await trio.to_thread.run_sync(self._state.write_connections, self.connections.snapshot())
                await trio.to_thread.run_sync(self._state.write_controls, copy.deepcopy(self._services.model.settings))
            except OSError as error:
                self.log.warning("what controllers have set is not kept", reason=f"{error}")

    # Registries and peers

    def _set_registries(self) -> None:
        registries = configured_registries(self.options.registries)
        if not registries and self._mdns is not None:
            registries = self._mdns.registries
        self.client.set_registries(registries, round(trio.current_time() * 1e9))
        self._dialogue.wake()
        if self._mdns is not None:
            self._system.set_apis(self._mdns.systems)

    async def _on_system_parameters(self, parameters: GlobalParameters) -> None:
        self.client.heartbeat_s = parameters.is04.heartbeat_interval
        self._parameters = parameters
        for link in list(self.links.values()):
            await self._set_clocks(link)
        if (server := syslog_server(parameters)) is not None:
            host, port, secure = server
            self.log.info("events go to the syslog server of the system", host=host, port=port, tls=secure)
            await self._syslog.run(host, port, secure=secure)

    def _on_event(self, event: RunEvent) -> None:
        level = "warning" if "reason" in event.fields else "info"
        self._syslog.take(level, event.name, {"node": event.node, **event.fields})

    async def _set_clocks(self, link: RunLink) -> None:
        # Runs that begin later get the parameters of the system too.
        if self._parameters is None:
            return
        try:
            changed = await set_clocks(link, self._parameters, override=self.options.system == "override")
        except ControlError as error:
            self.log.warning("a run does not take the parameters of the system", run=link.name, reason=str(error))
            return
        if changed:
            self.log.info("PTP clocks follow the system", run=link.name, options=changed)

    async def _start_mdns(self, nursery: trio.Nursery) -> None:
        if not self.options.mdns:
            return
        try:
            self._mdns = await start_mdns(
                self._address(),
                self._set_registries,
                secure=self.identity.secure,
                authorization=self.identity.authorization,
            )
        except OSError as error:
            self.log.warning("there is no mDNS: set registries", reason=f"{error.strerror or error}")
            return
        nursery.start_soon(self._announce_to_peers, self._mdns)

    async def _announce_to_peers(self, mdns: NmosMdns) -> None:
        name = f"{socket.gethostname().partition('.')[0]}-nmos-{self.identity.port}"
        try:
            while True:
                self._peers_changed = trio.Event()
                properties = peer_properties(
                    VERSIONS,
                    secure=self.identity.secure,
                    authorization=self.identity.authorization,
                    revisions=None if self.client.registered else self.store.revisions,
                )
                try:
                    await mdns.announce_node(name, self._host_address(), self.identity.port, properties)
                except OSError as error:
                    self.log.warning("the node is not announced to peers", reason=f"{error}")
                    return
                with trio.move_on_after(1.0):
                    await self._peers_changed.wait()
        finally:
            await mdns.close()

    # What the options say

    def _address(self) -> str:
        if not self.options.interface:
            return ""
        interface = interface_of(self.options.interface, self.interfaces)
        if interface is None:
            there = ", ".join(each.name for each in self.interfaces)
            raise CannotServe(f"there is no interface {self.options.interface!r} with an address; there are {there}")
        return interface.address

    def _host_address(self) -> str:
        interface = interface_of(self.options.interface, self.interfaces)
        return interface.address if interface is not None else "127.0.0.1"

    def _identity(self, port: int) -> NodeIdentity:
        hostname = socket.gethostname()
        try:
            seed = self._state.seed(self.options.seed)
        except OSError as error:
            raise CannotServe(f"cannot keep the seed of the node's UUIDs: {error}; set seed") from None
        return NodeIdentity(
            seed=seed,
            label=self.options.label or hostname,
            description=self.options.description,
            hostname=hostname,
            host=self.options.host or self._host_address(),
            port=port,
            secure=bool(self.options.certificate),
            authorization=self._tokens is not None,
            versions=VERSIONS,
        )

    def _access_tokens(self) -> AccessTokens | None:
        if not self.options.token_keys:
            return None
        try:
            keys = read_token_keys(Path(self.options.token_keys))
        except TokenKeysUnusable as error:
            raise CannotServe(str(error)) from None
        return AccessTokens(keys, self.options.token_audience or socket.gethostname())


def run_node(options: NmosOptions, runs: Sequence[str], *, child: bool = False) -> None:
    """Run a node until a signal ends it, or of a ``child`` the end of standard input. Raises CannotServe."""
    node = NodeProcess(options, runs, run=Path(runs[0]).stem if child else "")

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_by_signal, nursery.cancel_scope)
            if child:
                nursery.start_soon(_end_with_input, nursery.cancel_scope)
            await node.run()

    refused: BaseException | None = None
    try:
        trio.run(serve)
    except* CannotServe as group:
        refused = group.exceptions[0]
    if refused is not None:  # raised outside: what is raised within except* may come in a group
        raise refused


async def _end_by_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _end_with_input(scope: trio.CancelScope) -> None:
    # The run holds the other end: it closes with the run, however that ends.
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        async for _ in stream:
            pass
    scope.cancel()
