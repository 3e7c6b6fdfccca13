"""Content of answers to management GETs: data sets as they lie in a dataField (IEEE 1588-2019, 15.5.3).

The ids that end in NP are linuxptp's own: `pmc` asks for them, and so do other programs that work with ptp4l.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from phasegraph import StampKind
from phasegraph.ieee1588 import ManagementId, PortIdentity, to_interval
from phasegraph.ieee1588.octets import pack, pack_text

from .data_sets import ClockQuality, DataSets
from .settings import DelayMechanism, Settings

# Layouts in the letters of `struct`. A PortIdentity is QH, a ClockQuality BBH, a TimeInterval q.
DEFAULT_DATA_SET = "BxHBBBHBQBx"
CURRENT_DATA_SET = "Hqq"
PARENT_DATA_SET = "QHBxHiBBBHBQ"
TIME_PROPERTIES_DATA_SET = "hBB"
PORT_DATA_SET = "QHBbqbBbBbB"
TIME_STATUS_NP = "qqiiHHQHiQ"
GRANDMASTER_SETTINGS_NP = "BBHhBB"
PORT_PROPERTIES_NP = "QHBB"

DELAY_MECHANISMS = {DelayMechanism.E2E: 1, DelayMechanism.P2P: 2}
"""delayMechanism on the wire (8.2.15.4.4)."""
_TIMESTAMPING = {StampKind.USER: 0, StampKind.KERNEL: 0, StampKind.HARDWARE: 1}
_ORDINARY_CLOCK = 0x8000
_UDP_IPV4, _UDP_IPV6 = 1, 2
_VARIANCE_UNKNOWN, _RATE_UNKNOWN = 0xFFFF, 0x7FFF_FFFF
_MESSAGE_TYPES = range(16)
_MOST_NS = 2**63 - 1


class ClockDescription(msgspec.Struct, frozen=True, kw_only=True):
    """CLOCK_DESCRIPTION (15.5.3.1.2): what stands in no data set."""

    mac: bytes = b""
    """physicalAddress of the interface."""
    address: bytes = b""
    """Its IPv4 or IPv6 address, 4 or 16 octets."""
    product: str = "Phasegraph;phasegraph-ptp;"
    """productDescription: manufacturer, model and instance, between semicolons."""
    revision: str = ";;"
    """revisionData: hardware, firmware and software, between semicolons."""
    user: str = ""
    """userDescription: a name and a place, 128 octets at most."""
    profile: int = 0x001B_1900_0100
    """profileIdentity, 48 bits."""


class ManagementView(msgspec.Struct, frozen=True, kw_only=True):
    """All that an instance with one port reports of itself, at one moment."""

    data: DataSets
    description: ClockDescription = ClockDescription()
    interface: str = ""
    stamps: StampKind = StampKind.KERNEL
    received: Mapping[int, int] = {}
    """Messages received, by messageType."""
    sent: Mapping[int, int] = {}

    @property
    def port(self) -> PortIdentity:
        """The port's identity."""
        return self.data.port.port


def _default_data_set(view: ManagementView) -> bytes:
    default = view.data.default
    return pack(
        DEFAULT_DATA_SET,
        default.two_step | default.slave_only << 1,
        default.number_ports,
        default.priority1,
        *_quality(default.quality),
        default.priority2,
        default.clock_identity,
        default.domain,
    )


def _current_data_set(view: ManagementView) -> bytes:
    current = view.data.current
    delays = current.offset_from_master_ns, current.mean_delay_ns
    return pack(CURRENT_DATA_SET, current.steps_removed, *map(to_interval, delays))


def _parent_data_set(view: ManagementView) -> bytes:
    parent = view.data.parent
    return pack(
        PARENT_DATA_SET,
        parent.port.clock,
        parent.port.port,
        False,  # parentStats
        _VARIANCE_UNKNOWN,
        _RATE_UNKNOWN,
        parent.grandmaster_priority1,
        *_quality(parent.grandmaster_quality),
        parent.grandmaster_priority2,
        parent.grandmaster,
    )


def _time_properties_data_set(view: ManagementView) -> bytes:
    properties = view.data.time_properties
    return pack(TIME_PROPERTIES_DATA_SET, properties.utc_offset_s, properties.flags, properties.time_source)


def _port_data_set(view: ManagementView) -> bytes:
    port, settings = view.data.port, view.data.port.settings
    return pack(
        PORT_DATA_SET,
        port.port.clock,
        port.port.port,
        port.state,
        settings.log_min_delay_req_interval,
        to_interval(port.mean_link_delay_ns),
        settings.log_announce_interval,
        settings.announce_receipt_timeout,
        settings.log_sync_interval,
        DELAY_MECHANISMS[settings.delay_mechanism],
        settings.log_min_pdelay_req_interval,
        _version(settings),
    )


def _clock_description(view: ManagementView) -> bytes:
    described = view.description
    network = _UDP_IPV4 if len(described.address) == 4 else _UDP_IPV6
    return b"".join(
        (
            pack("H", _ORDINARY_CLOCK),
            pack_text("IEEE 802.3"),
            pack("H", len(described.mac)) + described.mac,
            pack("HH", network, len(described.address)) + described.address,
            bytes(4),  # manufacturerIdentity: none of our own; reserved
            *map(pack_text, (described.product, described.revision, described.user)),
            pack("HI", described.profile >> 32, described.profile & 0xFFFF_FFFF),
        )
    )


def _time_status(view: ManagementView) -> bytes:
    current = view.data.current
    return pack(
        TIME_STATUS_NP,
        max(-_MOST_NS, min(_MOST_NS, round(current.offset_from_master_ns))),  # timestamps reach further
        current.ingress_ns,
        *(0,) * 6,  # of 802.1AS: rate offset, phase change, time base
        view.data.grandmaster_present,
        view.data.parent.grandmaster,
    )


def _grandmaster_settings(view: ManagementView) -> bytes:
    properties = view.data.time_properties
    quality = _quality(view.data.default.quality)
    return pack(GRANDMASTER_SETTINGS_NP, *quality, properties.utc_offset_s, properties.flags, properties.time_source)


def _port_properties(view: ManagementView) -> bytes:
    port = view.data.port
    fixed = pack(PORT_PROPERTIES_NP, port.port.clock, port.port.port, port.state, _TIMESTAMPING[view.stamps])
    return fixed + pack_text(view.interface)


def _port_stats(view: ManagementView) -> bytes:
    counts = (way.get(kind, 0) for way in (view.received, view.sent) for kind in _MESSAGE_TYPES)
    # The counts are little-endian, as linuxptp writes them on every machine.
    return pack("QH", view.port.clock, view.port.port) + b"".join(count.to_bytes(8, "little") for count in counts)


def _quality(quality: ClockQuality) -> tuple[int, int, int]:
    return quality.clock_class, quality.accuracy, quality.variance


def _version(settings: Settings) -> int:
    return settings.minor_version << 4 | 2


def _octet(value: Callable[[DataSets], int]) -> Callable[[ManagementView], bytes]:
    return lambda view: pack("Bx", value(view.data) & 0xFF)  # intervals are signed


CLOCK_DATA: Mapping[int, Callable[[ManagementView], bytes]] = {
    ManagementId.USER_DESCRIPTION: lambda view: pack_text(view.description.user),
    ManagementId.DEFAULT_DATA_SET: _default_data_set,
    ManagementId.CURRENT_DATA_SET: _current_data_set,
    ManagementId.PARENT_DATA_SET: _parent_data_set,
    ManagementId.TIME_PROPERTIES_DATA_SET: _time_properties_data_set,
    ManagementId.PRIORITY1: _octet(lambda data: data.default.priority1),
    ManagementId.PRIORITY2: _octet(lambda data: data.default.priority2),
    ManagementId.DOMAIN: _octet(lambda data: data.default.domain),
    ManagementId.SLAVE_ONLY: _octet(lambda data: data.default.slave_only),
    ManagementId.CLOCK_ACCURACY: _octet(lambda data: data.default.quality.accuracy),
    ManagementId.UTC_PROPERTIES: lambda view: pack(
        "hBx", view.data.time_properties.utc_offset_s, view.data.time_properties.flags & 0x07
    ),
    ManagementId.TRACEABILITY_PROPERTIES: _octet(lambda data: data.time_properties.flags & 0x30),
    ManagementId.TIMESCALE_PROPERTIES: lambda view: pack(
        "BB", view.data.time_properties.flags & 0x08, view.data.time_properties.time_source
    ),
    ManagementId.TIME_STATUS_NP: _time_status,
    ManagementId.GRANDMASTER_SETTINGS_NP: _grandmaster_settings,
}
"""Writers of what belongs to the clock as a whole (table 59: applicable to "clock")."""
PORT_DATA: Mapping[int, Callable[[ManagementView], bytes]] = {
    ManagementId.NULL_MANAGEMENT: lambda view: b"",
    ManagementId.CLOCK_DESCRIPTION: _clock_description,
    ManagementId.PORT_DATA_SET: _port_data_set,
    ManagementId.LOG_ANNOUNCE_INTERVAL: _octet(lambda data: data.port.settings.log_announce_interval),
    ManagementId.ANNOUNCE_RECEIPT_TIMEOUT: _octet(lambda data: data.port.settings.announce_receipt_timeout),
    ManagementId.LOG_SYNC_INTERVAL: _octet(lambda data: data.port.settings.log_sync_interval),
    ManagementId.VERSION_NUMBER: _octet(lambda data: _version(data.port.settings)),
    ManagementId.DELAY_MECHANISM: _octet(lambda data: DELAY_MECHANISMS[data.port.settings.delay_mechanism]),
    ManagementId.LOG_MIN_PDELAY_REQ_INTERVAL: _octet(lambda data: data.port.settings.log_min_pdelay_req_interval),
    ManagementId.PORT_PROPERTIES_NP: _port_properties,
    ManagementId.PORT_STATS_NP: _port_stats,
}
"""Writers of what belongs to a port."""
