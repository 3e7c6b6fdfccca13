"""The data sets of an instance (8.2), put together from its parts."""

from __future__ import annotations

from .data_sets import (
    CurrentDS,
    DataSets,
    PortDS,
    TimeProperties,
    default_data_set,
    own_parent,
    parent_of,
    path_trace,
)
from .port import Port
from .port_state import Machine
from .settings import Role


def data_sets(port: Port, machine: Machine) -> DataSets:
    """All of them, now."""
    settings, following, peer = port.settings, machine.following, machine.peer
    default = default_data_set(settings, port.identity)
    current, parent, properties = CurrentDS(), own_parent(default), port.properties
    trace: tuple[int, ...] = ()
    link_ns = (peer.delay.ns or 0.0) if peer is not None else 0.0
    if following is not None:
        announce = following.master.announce
        delay_ns = link_ns if following.requester is None else following.delay.ns or 0.0
        current = CurrentDS(
            steps_removed=announce.steps_removed + 1,
            offset_from_master_ns=following.offset_ns(delay_ns),
            mean_delay_ns=delay_ns,
            ingress_ns=following.ingress_ns,
        )
        parent = parent_of(announce, following.master.address)
        properties = TimeProperties.of(announce)
        trace = path_trace(announce)
        trace = (*trace, port.identity.clock) if trace else ()
    return DataSets(
        default=default,
        current=current,
        parent=parent,
        time_properties=properties,
        port=PortDS(
            port=port.identity,
            state=machine.state,
            log_min_delay_req_interval=settings.log_min_delay_req_interval,
            log_min_pdelay_req_interval=settings.log_min_pdelay_req_interval,
            log_announce_interval=settings.log_announce_interval,
            log_sync_interval=settings.log_sync_interval,
            announce_receipt_timeout=settings.announce_receipt_timeout,
            delay_mechanism=settings.delay_mechanism,
            mean_link_delay_ns=link_ns,
            neighbor_rate_ratio=peer.rate.ratio if peer is not None else 1.0,
            delay_asymmetry_ns=settings.asymmetry_ns,
            minor_version=settings.minor_version,
            master_only=settings.role is Role.GRANDMASTER,
        ),
        path_trace=trace,
    )
