"""Answers to management messages (IEEE 1588-2019, clause 15): GETs are answered, changes are refused.

A node's options come from its graph, so nothing can be set from outside. At most one message answers one message, and
its size does not depend on the question.
"""

from __future__ import annotations

from phasegraph.ieee1588 import (
    ALL_PORTS,
    Action,
    Flag,
    Management,
    ManagementError,
    ManagementErrorStatus,
    ManagementId,
    ManagementTlv,
    TlvType,
    TypedTlv,
)

from .management_data import CLOCK_DATA, PORT_DATA, ManagementView

_ANSWERS: dict[int, Action] = {
    Action.GET: Action.RESPONSE,
    Action.SET: Action.RESPONSE,
    Action.COMMAND: Action.ACKNOWLEDGE,
}
_KNOWN = frozenset(ManagementId)


def answer(request: Management, view: ManagementView) -> Management | None:
    """The answer to the sender of a request; None where it is not for this instance, or needs no answer.

    Raises MalformedMessage for a TLV that is damaged.
    """
    answering = _ANSWERS.get(request.action)
    default = view.data.default
    here = request.domain == default.domain and request.major_sdo == default.sdo >> 8
    if answering is None or not here or request.target.clock not in (default.clock_identity, ALL_PORTS.clock):
        return None
    if not request.tlvs or request.tlvs[0].type != TlvType.MANAGEMENT:
        return None
    hops = max(0, request.starting_hops - request.hops)
    return Management(
        source=view.port,
        sequence=request.sequence,
        domain=request.domain,
        flags=request.flags & Flag.UNICAST,
        major_sdo=request.major_sdo,
        minor_sdo=request.minor_sdo,
        minor_version=request.minor_version,
        target=request.source,
        starting_hops=hops,
        hops=hops,
        action=answering,
        tlvs=(_response_tlv(request, ManagementTlv.from_tlv(request.tlvs[0]), view).to_tlv(),),
    )


def _response_tlv(request: Management, asked: ManagementTlv, view: ManagementView) -> TypedTlv:
    if asked.id not in _KNOWN:
        return ManagementErrorStatus(ManagementError.NO_SUCH_ID, asked.id)
    of_clock, of_port = CLOCK_DATA.get(asked.id), PORT_DATA.get(asked.id)
    write = of_clock or of_port
    if write is None:
        return ManagementErrorStatus(ManagementError.NOT_SUPPORTED, asked.id)
    if of_port and request.target.port not in (view.port.port, ALL_PORTS.port):
        return ManagementErrorStatus(ManagementError.WRONG_VALUE, asked.id, "there is no such port")
    if request.action == Action.GET or asked.id == ManagementId.NULL_MANAGEMENT:
        return ManagementTlv(asked.id, write(view))
    if request.action == Action.SET:
        return ManagementErrorStatus(ManagementError.NOT_SETABLE, asked.id, "set it in the graph")
    return ManagementErrorStatus(ManagementError.NOT_SUPPORTED, asked.id)
