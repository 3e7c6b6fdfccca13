"""Channel mapping and status monitors of a node, connected with its runs.

runs --RunView--> ports of channel mapping, observations of monitors --> the APIs
controller --POST map/activations--> ChannelMappingApi --RunLink--> runs
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import trio

from phasegraph import NS_PER_S
from phasegraph.control import ControlError

from .activation_runner import APPLY_TIMEOUT_S, ActivationClock, ChangeableRun, apply_at
from .connection.connections import Connections
from .control_model.control_objects import DeviceIdentity
from .control_model.device_model import DeviceModel
from .host_interfaces import interfaces_up
from .http.api_answers import NmosApiError
from .http.channel_mapping_api import VERSION, ChannelMappingApi, Options
from .http.control_websocket import PATH, ControlWebSocket
from .http.nmos_app import NmosApp
from .mapping.audio_ports import ports_of_runs
from .mapping.channel_mapping import ChannelMapping
from .model.resources import DeviceControl, HostInterface, NodeIdentity
from .model.run_view import RunView
from .status_monitors.monitored_runs import ConnectionState, NodeLinks, monitored_resources

CONTROLS = (
    DeviceControl(type=f"urn:x-nmos:control:cm-ctrl/{VERSION}", path=f"/x-nmos/channelmapping/{VERSION}/"),
    DeviceControl(type="urn:x-nmos:control:ncp/v1.0", path=PATH, scheme="ws"),
)
"""What a device advertises in IS-04 (IS-08 and IS-12, "IS-04 interactions")."""
LINKS_S = 1.0
"""How often it is read which network interfaces are up."""


class ControlServices:
    """The Channel Mapping API and the control protocol of a node."""

    def __init__(
        self,
        identity: NodeIdentity,
        version: str,
        connections: Connections,
        runs: Callable[[str], ChangeableRun | None],
        clock: ActivationClock,
        on_mapped: Callable[[Collection[str]], Awaitable[None]],
        on_set: Callable[[], None],
        log: Any,
    ) -> None:
        """``on_mapped`` is called with the UUIDs of sources whose channel map has changed, ``on_set`` when a controller
        has set a property of the device model."""
        self._identity = identity
        self._connections = connections
        self._runs = runs
        self._clock = clock
        self._views: Sequence[RunView] = ()
        self._interfaces: Sequence[HostInterface] = ()
        self._up: Mapping[str, bool] = {}
        self._mapping = ChannelMapping()
        self._shapes: list[Any] = []
        """What the ports of the runs follow from."""
        self._mapping_api = ChannelMappingApi(self._mapping, self, clock.now_ns, on_mapped, log)
        device = DeviceIdentity(name=identity.label, version=version, serial_number=identity.id)
        self.model = DeviceModel(device, on_set)
        self._websocket = ControlWebSocket(self.model, local_now_ns)

    def add_to(self, app: NmosApp) -> None:
        """Serve both by an application."""
        app.add_api("channelmapping", {VERSION: self._mapping_api.answer_request})
        app.add_websocket(PATH, self._websocket.serve_session)

    def follow_views(self, views: Sequence[RunView], interfaces: Sequence[HostInterface]) -> None:
        """Take what the runs and the connection API have now."""
        self._views, self._interfaces = views, interfaces
        shapes = [_shape_of(view) for view in views]
        if shapes != self._shapes:
            self._shapes = shapes
            self._mapping.set_ports(ports_of_runs(views, self._identity.endpoint_id))
        states = {
            endpoint.id: ConnectionState(endpoint.active.master_enable, endpoint.changed_ns)
            for endpoints in self._connections.endpoints.values()
            for endpoint in endpoints.values()
        }
        links = NodeLinks(interfaces, self._up)
        self._websocket.observe_runs(*monitored_resources(views, self._identity.endpoint_id, states, links))

    async def run(self) -> None:
        """Act at the times of scheduled changes and of reporting delays, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mapping_api.run)
            nursery.start_soon(self._websocket.run)
            nursery.start_soon(self._follow_links)

    async def _follow_links(self) -> None:
        while True:
            up = await trio.to_thread.run_sync(interfaces_up)
            if up != self._up:
                self._up = up
                self.follow_views(self._views, self._interfaces)
            await trio.sleep(LINKS_S)

    async def check_options(self, run: str, options: Options) -> None:
        """See `MappedRuns.check_options`."""
        with _refusals(run):
            await self._planned_changes(self._link(run), options)

    async def apply_options(self, run: str, options: Options, at_tai_ns: int | None) -> int:
        """See `MappedRuns.apply_options`."""
        with _refusals(run):
            link = self._link(run)
            async with link.changing:
                with trio.fail_after(APPLY_TIMEOUT_S):
                    changes = await self._planned_changes(link, options)
                    passed = at_tai_ns is None or at_tai_ns <= self._clock.now_ns()
                    if changes:
                        clocks = [clock.id for clock in link.view.clocks] if link.view is not None else []
                        due_ns = 0 if at_tai_ns is None else at_tai_ns
                        await apply_at(link, changes, clocks, due_ns, self._clock, wait=True)
                        await link.refresh()
        return self._clock.now_ns() if at_tai_ns is None or passed else at_tai_ns

    def _link(self, run: str) -> ChangeableRun:
        link = self._runs(run)
        if link is None:
            raise ControlError(f"the run {run} has gone")
        return link

    async def _planned_changes(self, link: ChangeableRun, options: Options) -> Mapping[str, Any]:
        # What changes, as the run is now. Raises ControlError where a sink would have to begin again.
        await link.refresh()
        assert link.view is not None
        views = [link.view if view.name == link.view.name else view for view in self._views]
        self._mapping.set_ports(ports_of_runs(views, self._identity.endpoint_id))
        self._shapes = []
        changes = options()
        if changes:
            plan = await link.plan(changes)
            if plan.problems:
                raise ControlError("; ".join(plan.problems))
            sinks = link.view.graph.get("sinks", {})
            playing = [change for change in plan.changed if sinks.get(change.node, {}).get("enabled", True)]
            if begun := [change.text for change in playing if change.change != "switched"]:
                raise ControlError(f"this cannot be switched without a gap: {'; '.join(begun)}")
        return changes


def _shape_of(run: RunView) -> Any:
    formats = [(id, node.rate, node.channels, node.pace) for id, node in run.status.nodes.items()]
    return run.name, run.graph, run.clocks, [view.node for view in run.receivers], formats


@contextmanager
def _refusals(run: str) -> Iterator[None]:
    try:
        yield
    except ControlError as error:
        raise NmosApiError(400, str(error)) from None
    except trio.TooSlowError:
        raise NmosApiError(400, f"the run {run} took longer than {APPLY_TIMEOUT_S:g} s") from None


def local_now_ns() -> int:
    """The time of trio's clock, which reporting delays are measured by."""
    return round(trio.current_time() * NS_PER_S)
