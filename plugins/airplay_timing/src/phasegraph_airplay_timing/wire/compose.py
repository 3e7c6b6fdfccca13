"""PTP messages as Apple's devices write them: flags, control fields, intervals and TLVs as captured."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from phasegraph.ieee1588 import (
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    PathTrace,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    Signaling,
    Sync,
    Tlv,
)

from .apple import MAJOR_SDO, AppleClock, FollowUpInformation

EVENT_FLAGS = Flag.TWO_STEP | Flag.UNICAST | Flag.PTP_TIMESCALE
"""Of Sync, Delay_Req and Delay_Resp: 0x0608."""
GENERAL_FLAGS = Flag.UNICAST | Flag.PTP_TIMESCALE
"""Of Announce, Follow_Up and Signaling: 0x0408."""
LOG_SYNC, LOG_ANNOUNCE = -3, -2
"""125 ms and 250 ms."""
LOG_NONE = -128
"""Of Signaling, as Apple writes it."""


SENDER_CLASS, SENDER_ACCURACY, SENDER_PRIORITY = 6, 0x21, 128
"""clockClass, clockAccuracy and both priorities of a sender: receivers were built for those, whatever its clock is."""
_GPS, _INTERNAL_OSCILLATOR = 0x20, 0xA0
"""timeSource (IEEE 1588-2019, table 6)."""


class AnnouncedDataset(msgspec.Struct, frozen=True, gc=False):
    """Data set of a clock in an Announce. Fields are in the order of comparison: the least wins."""

    priority1: int = 128
    clock_class: int = 248
    accuracy: int = 0xFE
    variance: int = 0x436A
    priority2: int = 248
    grandmaster: int = 0
    steps_removed: int = 0

    @property
    def rank(self) -> tuple[int, ...]:
        """For comparison."""
        return msgspec.structs.astuple(self)


def dataset_of(message: Announce) -> AnnouncedDataset:
    """The data set in an Announce."""
    return AnnouncedDataset(
        message.priority1,
        message.clock_class,
        message.clock_accuracy,
        message.clock_variance,
        message.priority2,
        message.grandmaster,
        message.steps_removed,
    )


def announce(source: PortIdentity, sequence: int, data: AnnouncedDataset) -> Announce:
    """An Announce of 76 octets, with the path that it has come."""
    return Announce(
        source=source,
        sequence=sequence,
        flags=GENERAL_FLAGS,
        log_interval=LOG_ANNOUNCE,
        major_sdo=MAJOR_SDO,
        utc_offset_s=37,
        priority1=data.priority1,
        clock_class=data.clock_class,
        clock_accuracy=data.accuracy,
        clock_variance=data.variance,
        priority2=data.priority2,
        grandmaster=data.grandmaster,
        steps_removed=data.steps_removed,
        time_source=_GPS if data.clock_class == SENDER_CLASS else _INTERNAL_OSCILLATOR,
        tlvs=(PathTrace((data.grandmaster,)).to_tlv(),),
    )


def wake_up(source: PortIdentity, sequence: int, data: AnnouncedDataset) -> Announce:
    """The Announce of 64 octets that makes a leader that has gone to sleep look up."""
    return msgspec.structs.replace(announce(source, sequence, data), tlvs=())


def sync(source: PortIdentity, sequence: int) -> Sync:
    """A Sync of two steps."""
    return Sync(source=source, sequence=sequence, flags=EVENT_FLAGS, log_interval=LOG_SYNC, major_sdo=MAJOR_SDO)


def follow_up(source: PortIdentity, sequence: int, origin_ns: int) -> FollowUp:
    """A Follow_Up of 96 octets for a Sync that left at ``origin_ns``."""
    return FollowUp(
        source=source,
        sequence=sequence,
        flags=GENERAL_FLAGS,
        log_interval=LOG_SYNC,
        major_sdo=MAJOR_SDO,
        precise_origin_ns=origin_ns,
        tlvs=(FollowUpInformation().to_tlv(), AppleClock(source.clock).to_tlv()),
    )


def delay_req(source: PortIdentity, sequence: int) -> DelayReq:
    """A Delay_Req; its sequence is that of the Sync that it answers."""
    return DelayReq(source=source, sequence=sequence, flags=EVENT_FLAGS, log_interval=LOG_SYNC, major_sdo=MAJOR_SDO)


def delay_resp(source: PortIdentity, request: DelayReq, receive_ns: int) -> DelayResp:
    """The answer to a Delay_Req that arrived at ``receive_ns``, with controlField 0 as Apple writes it."""
    return DelayResp(
        source=source,
        sequence=request.sequence,
        flags=EVENT_FLAGS,
        log_interval=LOG_SYNC,
        major_sdo=MAJOR_SDO,
        control=0,
        receive_ns=receive_ns,
        requesting=request.source,
    )


def signaling(source: PortIdentity, sequence: int, target: PortIdentity, tlvs: Iterable[Tlv]) -> Signaling:
    """A Signaling message for one port."""
    return Signaling(
        source=source,
        sequence=sequence,
        flags=GENERAL_FLAGS,
        log_interval=LOG_NONE,
        major_sdo=MAJOR_SDO,
        target=target,
        tlvs=tuple(tlvs),
    )


def pdelay_resp(source: PortIdentity, request: PDelayReq, receive_ns: int) -> PDelayResp:
    """The answer to a Pdelay_Req that arrived at ``receive_ns``."""
    return PDelayResp(
        source=source,
        sequence=request.sequence,
        flags=EVENT_FLAGS,
        major_sdo=MAJOR_SDO,
        request_receipt_ns=receive_ns,
        requesting=request.source,
    )


def pdelay_follow_up(answer: PDelayResp, departed_ns: int) -> PDelayRespFollowUp:
    """When the answer to a Pdelay_Req left."""
    return PDelayRespFollowUp(
        source=answer.source,
        sequence=answer.sequence,
        flags=GENERAL_FLAGS,
        major_sdo=MAJOR_SDO,
        response_origin_ns=departed_ns,
        requesting=answer.requesting,
    )
