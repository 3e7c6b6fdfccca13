"""The data sets of an instance (8.2), put together from its parts."""

from __future__ import annotations

from .data_sets import (
    CurrentDS,
    DataSets,
    PortDS,
    default_ds,
    own_parent,
    parent_of,
    path_trace,
)
from .port import Port
from .port_state import PortStateMachine


def data_sets(port: Port, machine: PortStateMachine) -> DataSets:
    """All of them, now."""
    settings, slave, peer = port.settings, machine.slave, machine.peer
    default = default_ds(settings, port.identity)
    current, parent = CurrentDS(), own_parent(default)
    trace: tuple[int, ...] = ()
    link_ns = (peer.delay.ns or 0.0) if peer is not None else 0.0
    if slave is not None:
        announce = slave.foreign_master.announce
        delay_ns = link_ns if slave.requester is None else slave.delay.ns or 0.0
        current = CurrentDS(
            steps_removed=announce.steps_removed + 1,
            offset_from_master_ns=slave.offset_ns(delay_ns),
            mean_delay_ns=delay_ns,
            ingress_ns=slave.ingress_ns,
        )
        parent = parent_of(announce, slave.foreign_master.address)
        trace = path_trace(announce)
        trace = (*trace, port.identity.clock) if trace else ()
    return DataSets(
        default=default,
        current=current,
        parent=parent,
        time_properties=machine.time_properties,
        port=PortDS(
            port=port.identity,
            state=machine.state,
            settings=settings,
            mean_link_delay_ns=link_ns,
            neighbor_rate_ratio=peer.rate.ratio if peer is not None else 1.0,
        ),
        path_trace=trace,
    )
