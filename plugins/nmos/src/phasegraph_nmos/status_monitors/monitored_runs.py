"""What the monitors of all receivers and senders of a node observe now, from the views of its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..model.resources import HostInterface, interface_of
from ..model.run_view import EndpointView, RunView
from .domain_health import Observation
from .run_observation import LegLink, NodeFigures, observe_receiver, observe_sender, observe_stream
from .status_monitor import MonitoredResource, MonitorInput


class ConnectionState(msgspec.Struct, frozen=True):
    """What the connection API has active of a receiver or sender."""

    active: bool
    """``master_enable``."""
    activation: int
    """Another number for every activation."""


class NodeLinks(msgspec.Struct, frozen=True):
    """The network interfaces of this computer."""

    interfaces: Sequence[HostInterface]
    up: Mapping[str, bool]
    """Whether an interface is up, by name."""

    def of_leg(self, named: str) -> LegLink:
        """The interface that a leg names; the first of all where it names none."""
        found = interface_of(named, self.interfaces)
        name = found.name if found is not None else named
        return LegLink(name, self.up.get(name, found is not None))


EndpointUuid = Callable[[str, str, str], str]
"""UUID of a ``receiver`` or ``sender``: (kind, run, id)."""


def monitored_resources(
    runs: Sequence[RunView], uuid_of: EndpointUuid, states: Mapping[str, ConnectionState], links: NodeLinks
) -> tuple[list[MonitoredResource], list[MonitoredResource]]:
    """Receivers and senders, as `DeviceModel.observe_runs` takes them. Without a connection state they are left out."""
    receivers: list[MonitoredResource] = []
    senders: list[MonitoredResource] = []
    for run in runs:
        streams: dict[str, Observation] = {}
        for view in run.receivers:
            id = uuid_of("receiver", run.name, view.id)
            figures = _figures(run, view, links)
            if (state := states.get(id)) is not None:
                if state.active:
                    streams[view.node] = observe_stream(figures)
                seen = observe_receiver(figures, state.active, state.activation)
                receivers.append(_resource(run, view, id, seen))
        for view in run.senders:
            id = uuid_of("sender", run.name, view.id)
            if (state := states.get(id)) is not None:
                feeding = tuple(streams[source] for source in view.neighbours if source in streams)
                figures = msgspec.structs.replace(_figures(run, view, links), feeding=feeding)
                senders.append(_resource(run, view, id, observe_sender(figures, state.active, state.activation)))
    return receivers, senders


def _resource(run: RunView, view: EndpointView, id: str, seen: MonitorInput) -> MonitoredResource:
    return MonitoredResource(id=id, role=f"{run.name}.{view.id}", label=view.label, seen=seen)


def _figures(run: RunView, view: EndpointView, links: NodeLinks) -> NodeFigures:
    status = run.status.nodes.get(view.node)
    clock = run.status.nodes.get(view.clock or "")
    kinds = {each.id: each.kind for each in run.clocks}
    if status is None:
        return NodeFigures(severity=3, text="the node is not running")
    return NodeFigures(
        severity=status.severity,
        text=status.text,
        metrics=status.metrics,
        rates=status.rates,
        legs=tuple(links.of_leg(leg.interface) for leg in view.legs),
        clock_kind=kinds.get(view.clock or ""),
        clock=clock.metrics if clock is not None else {},
    )
