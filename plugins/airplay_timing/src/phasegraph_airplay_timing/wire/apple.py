"""Apple's dialect of PTP: what is different from IEEE 1588 in messages of the same shape.

- majorSdoId is 1 and the domain 0, on unicast UDP; there is no multicast.
- Port numbers say nothing: one device sends Follow_Up and Delay_Resp under different ones, so a message is told by its
  clock identity and sequence alone.
- The correction of a Follow_Up is large (0.04 to 110 ms were captured) and counts: see `departure_ns`.
- The correction of a Delay_Resp is **added** to its time, where IEEE 1588 subtracts it: see `arrival_ns`.
- Follow_Up and Signaling carry TLVs of 802.1AS and of Apple. All may be missing; unknown ones are passed over.
"""

from __future__ import annotations

from typing import Self

import msgspec

from phasegraph.ieee1588 import DelayResp, FollowUp, Message, OrganizationExtension, Sync, Tlv, TlvType
from phasegraph.ieee1588 import decode as decode_ptp

from .malformed_packet import MalformedPacket, PacketFault

MAJOR_SDO = 1
"""majorSdoId of every message; Apple's devices drop messages with another one in silence."""
CORRECTION_LIMIT_NS = 10_000_000_000
"""A correction of this size or more, either way, is refused."""
IEEE_802_1, APPLE = 0x0080C2, 0x000D93
"""organizationIds of TLVs."""
SIGNALING_SUBTYPES = (1, 5)
"""Apple's subtypes in Signaling: 16 and 26 octets whose meaning is not public."""


def decode(datagram: bytes) -> Message:
    """The message in a datagram. Raises MalformedMessage where it is not PTP, MalformedPacket where not Apple's."""
    message = decode_ptp(datagram)
    if (message.major_sdo, message.domain) != (MAJOR_SDO, 0):
        raise MalformedPacket(
            PacketFault.DIALECT, f"majorSdoId {message.major_sdo}, domain {message.domain}; not 1 and 0"
        )
    if abs(message.correction) >= CORRECTION_LIMIT_NS << 16:
        raise MalformedPacket(PacketFault.CORRECTION, f"a correction of {message.correction / 65536e9:.1f} s")
    return message


def departure_ns(follow_up: FollowUp, sync: Sync) -> int:
    """T1, when a Sync left by the leader's clock: the precise origin and both corrections."""
    return follow_up.precise_origin_ns + (follow_up.correction + sync.correction >> 16)


def arrival_ns(response: DelayResp) -> int:
    """T4, when a Delay_Req arrived by the leader's clock: the receive time plus the correction, which has a sign."""
    return response.receive_ns + (response.correction >> 16)


class FollowUpInformation(msgspec.Struct, frozen=True, gc=False):
    """802.1AS Follow_Up information (IEEE 802.1AS-2020, 11.4.4.3). After a change of leader a HomePod fills it in."""

    rate_offset: int = 0
    """cumulativeScaledRateOffset, signed 32 bits, in 2**-41."""
    time_base: int = 0
    """gmTimeBaseIndicator, 16 bits: counts the grandmasters."""
    phase_change: int = 0
    """lastGmPhaseChange, signed 96 bits, in 2**-16 ns."""
    frequency_change: int = 0
    """scaledLastGmFreqChange, signed 32 bits, in 2**-41."""

    @classmethod
    def from_tlv(cls, tlv: Tlv) -> Self | None:
        """The fields of a TLV; None where it is another one."""
        data = _data(tlv, IEEE_802_1, 1, 22)
        if data is None:
            return None
        signed = [int.from_bytes(data[a:b], "big", signed=True) for a, b in ((0, 4), (6, 18), (18, 22))]
        return cls(signed[0], int.from_bytes(data[4:6], "big"), signed[1], signed[2])

    def to_tlv(self) -> Tlv:
        """The TLV of these fields. Raises OverflowError where one does not fit."""
        data = (
            self.rate_offset.to_bytes(4, "big", signed=True)
            + self.time_base.to_bytes(2, "big")
            + self.phase_change.to_bytes(12, "big", signed=True)
            + self.frequency_change.to_bytes(4, "big", signed=True)
        )
        return OrganizationExtension(IEEE_802_1, 1, data).to_tlv()


class AppleClock(msgspec.Struct, frozen=True, gc=False):
    """Apple's TLV in Follow_Up: whose time it is."""

    clock: int
    """clockIdentity of the grandmaster, 64 bits."""

    @classmethod
    def from_tlv(cls, tlv: Tlv) -> Self | None:
        """The fields of a TLV; None where it is another one."""
        data = _data(tlv, APPLE, 4, 10)
        return None if data is None else cls(int.from_bytes(data[:8], "big"))

    def to_tlv(self) -> Tlv:
        """The TLV of these fields."""
        return OrganizationExtension(APPLE, 4, self.clock.to_bytes(8, "big") + bytes(2)).to_tlv()


def _data(tlv: Tlv, organization: int, subtype: int, length: int) -> bytes | None:
    # A short one is passed over like an unknown one: no device's time depends on it.
    if tlv.type != TlvType.ORGANIZATION_EXTENSION or len(tlv.value) < 6 + length:
        return None
    known = tlv.value[:6] == organization.to_bytes(3, "big") + subtype.to_bytes(3, "big")
    return tlv.value[6:] if known else None
