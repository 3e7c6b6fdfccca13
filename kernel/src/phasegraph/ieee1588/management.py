"""What Management messages say (IEEE 1588-2019, clause 15): actions, identifiers, errors and their TLVs."""

from __future__ import annotations

import enum
from typing import Self

from .octets import Octets, pack, pack_text
from .tlv import TlvType, TypedTlv


class Action(enum.IntEnum):
    """actionField (15.4.1)."""

    GET = 0
    SET = 1
    RESPONSE = 2
    COMMAND = 3
    ACKNOWLEDGE = 4


class ManagementId(enum.IntEnum):
    """managementId (15.5.2). Those that end in NP are linuxptp's own."""

    NULL_MANAGEMENT = 0x0000
    CLOCK_DESCRIPTION = 0x0001
    USER_DESCRIPTION = 0x0002
    SAVE_IN_NON_VOLATILE_STORAGE = 0x0003
    RESET_NON_VOLATILE_STORAGE = 0x0004
    INITIALIZE = 0x0005
    FAULT_LOG = 0x0006
    FAULT_LOG_RESET = 0x0007
    DEFAULT_DATA_SET = 0x2000
    CURRENT_DATA_SET = 0x2001
    PARENT_DATA_SET = 0x2002
    TIME_PROPERTIES_DATA_SET = 0x2003
    PORT_DATA_SET = 0x2004
    PRIORITY1 = 0x2005
    PRIORITY2 = 0x2006
    DOMAIN = 0x2007
    SLAVE_ONLY = 0x2008
    LOG_ANNOUNCE_INTERVAL = 0x2009
    ANNOUNCE_RECEIPT_TIMEOUT = 0x200A
    LOG_SYNC_INTERVAL = 0x200B
    VERSION_NUMBER = 0x200C
    ENABLE_PORT = 0x200D
    DISABLE_PORT = 0x200E
    TIME = 0x200F
    CLOCK_ACCURACY = 0x2010
    UTC_PROPERTIES = 0x2011
    TRACEABILITY_PROPERTIES = 0x2012
    TIMESCALE_PROPERTIES = 0x2013
    DELAY_MECHANISM = 0x6000
    LOG_MIN_PDELAY_REQ_INTERVAL = 0x6001
    TIME_STATUS_NP = 0xC000
    GRANDMASTER_SETTINGS_NP = 0xC001
    SUBSCRIBE_EVENTS_NP = 0xC003
    PORT_PROPERTIES_NP = 0xC004
    PORT_STATS_NP = 0xC005


class ManagementError(enum.IntEnum):
    """managementErrorId (15.5.4.1)."""

    RESPONSE_TOO_BIG = 0x0001
    NO_SUCH_ID = 0x0002
    WRONG_LENGTH = 0x0003
    WRONG_VALUE = 0x0004
    NOT_SETABLE = 0x0005
    NOT_SUPPORTED = 0x0006
    GENERAL_ERROR = 0xFFFE


class ManagementTlv(TypedTlv, frozen=True, gc=False):
    """MANAGEMENT (15.5.2): what is requested, set or answered."""

    tlv_type = TlvType.MANAGEMENT

    id: int
    """managementId, 16 bits; compare with `ManagementId`."""
    data: bytes = b""
    """dataField; one zero octet is added where it is odd."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        return cls(octets.number("H"), octets.rest())

    def _to_octets(self) -> bytes:
        return pack("H", self.id) + self.data


class ManagementErrorStatus(TypedTlv, frozen=True, gc=False):
    """MANAGEMENT_ERROR_STATUS (15.5.4): why there is no answer."""

    tlv_type = TlvType.MANAGEMENT_ERROR_STATUS

    error: int
    """managementErrorId, 16 bits; compare with `ManagementError`."""
    id: int
    """managementId that the error is about."""
    text: str = ""
    """displayData: the same for people, 255 octets at most. Not written where it is empty."""

    @classmethod
    def _from_octets(cls, octets: Octets) -> Self:
        error, about = octets.numbers("HH4x")
        text = octets.rest()
        return cls(error, about, Octets(text, cls.__name__).text() if text else "")

    def _to_octets(self) -> bytes:
        return pack("HH4x", self.error, self.id) + (pack_text(self.text) if self.text else b"")
