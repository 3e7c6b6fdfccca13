"""Signaling messages: the TLVs of unicast negotiation go to whichever side they concern (16.1)."""

from __future__ import annotations

from phasegraph.ieee1588 import (
    AcknowledgeCancelUnicast,
    CancelUnicast,
    GrantUnicast,
    MalformedMessage,
    RequestUnicast,
    Signaling,
    Tlv,
    understand,
)

from .port import Port
from .unicast_client import UnicastClient
from .unicast_master import UnicastMaster


def handle(
    message: Signaling,
    address: str,
    now_ns: int,
    *,
    port: Port,
    unicast_master: UnicastMaster | None,
    unicast_client: UnicastClient | None,
) -> None:
    """Act on one message that came by unicast. Its answers leave together.

    ``unicast_master`` is given while the port is a master, ``unicast_client`` if it is a client.
    """
    if not port.answers.allows(address, now_ns):
        port.drop("rate_limited")
        return
    answers: list[Tlv] = []
    for raw in message.tlvs:
        try:
            tlv = understand(raw)
        except MalformedMessage:
            port.drop("tlv")
            continue
        if isinstance(tlv, RequestUnicast):
            granted = GrantUnicast(tlv.message_type, tlv.log_interval, 0)
            if unicast_master is not None:
                granted = unicast_master.answer_request(tlv, message.source, address, now_ns)
            answers.append(granted.to_tlv())
        elif isinstance(tlv, GrantUnicast) and unicast_client is not None:
            unicast_client.granted(tlv, address, now_ns)
        elif isinstance(tlv, CancelUnicast):
            _cancel(tlv, address, now_ns, unicast_master, unicast_client)
            acknowledged = AcknowledgeCancelUnicast(tlv.message_type, tlv.maintain_request, tlv.maintain_grant)
            answers.append(acknowledged.to_tlv())
    if answers:
        port.send_signaling(message.source, address, *answers)


def _cancel(
    tlv: CancelUnicast,
    address: str,
    now_ns: int,
    unicast_master: UnicastMaster | None,
    unicast_client: UnicastClient | None,
) -> None:
    if unicast_master is not None and not tlv.maintain_request:
        unicast_master.cancel_grant(tlv.message_type, address)
    if unicast_client is not None and not tlv.maintain_grant:
        unicast_client.cancelled(tlv.message_type, address, now_ns)
