"""Queries to a running ptp4l, and its answers. Pure: messages in, values out.

linuxptp's `master_offset` is its clock less the grandmaster's, at the arrival of the Sync that `ingress_time` names on
that same clock. Where it stamps in software that clock is CLOCK_REALTIME, which counts UTC: before it reports the
offset it adds its UTC offset, unless the grandmaster's timescale is its own (ARB). So the grandmaster's time at each
Sync is known whether ptp4l steers its clock, has not caught up yet, or runs free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from phasegraph import NS_PER_S
from phasegraph.ieee1588 import (
    Action,
    Flag,
    Management,
    ManagementId,
    ManagementTlv,
    PortIdentity,
    interval_ns,
    understand,
)
from phasegraph.ieee1588.octets import Octets

from ..protocol.data_sets import PortState
from ..protocol.intervals import stated_period_ns
from ..protocol.management_data import (
    CURRENT_DATA_SET,
    GRANDMASTER_SETTINGS_NP,
    PORT_DATA_SET,
    PORT_PROPERTIES_NP,
    TIME_PROPERTIES_DATA_SET,
    TIME_STATUS_NP,
)

QUESTIONS = (
    ManagementId.PORT_PROPERTIES_NP,
    ManagementId.PORT_DATA_SET,
    ManagementId.GRANDMASTER_SETTINGS_NP,
    ManagementId.TIME_PROPERTIES_DATA_SET,
    ManagementId.CURRENT_DATA_SET,
    ManagementId.TIME_STATUS_NP,
)
"""In this order: the answer to the last one is to be the freshest, and says that all others have come."""
_P2P = 2
_HARDWARE = (1, 3, 4)
"""timestamping of PORT_PROPERTIES_NP: hardware, one-step, one-step for peers. 0 is software; 2, legacy hardware, has
its stamps in CLOCK_REALTIME too."""
_FOLLOWING = (PortState.SLAVE, PortState.UNCALIBRATED)
_USEFUL: tuple[int, ...] = (*_FOLLOWING, PortState.MASTER, PortState.PASSIVE)


class Ptp4lPort(msgspec.Struct, frozen=True, kw_only=True):
    """One of its ports."""

    identity: PortIdentity
    state: int
    """Compare with `PortState`."""
    peer_delay_ns: int | None
    """Mean delay of the link; None with the end-to-end mechanism."""
    sync_interval_ns: int


class Ptp4lStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All that matters of one round of answers."""

    port: Ptp4lPort
    """The port that follows; else one that serves; else any."""
    offset_ns: int
    """Its clock less the grandmaster's, UTC offset allowed for."""
    ingress_ns: int
    """When that was, on its clock; zero where it knows nothing."""
    path_delay_ns: int
    """Zero where it was not measured."""
    grandmaster: int
    grandmaster_is_ptp4l: bool
    """It follows no master: the time is that of its own clock."""
    ptp_timescale: bool
    """TAI since 1970; False: an epoch of the grandmaster's own (ARB)."""
    utc_offset_s: int
    """TAI less UTC, as ptp4l reckons."""
    hardware: bool
    """Whether it stamps with the clock of the interface."""
    interface: str
    """Of the port; empty where it is not reported, as through its read-only socket."""

    @property
    def following(self) -> bool:
        """Whether there is an offset to a grandmaster."""
        return self.port.state in _FOLLOWING and not self.grandmaster_is_ptp4l

    @property
    def serving(self) -> bool:
        """Whether it is the grandmaster."""
        return self.port.state == PortState.MASTER and self.grandmaster_is_ptp4l

    def reference_at_ingress_ns(self, *, utc: bool) -> int | None:
        """The grandmaster's time when the last Sync came, ``ingress_ns``; None where that is not known.

        ``utc`` says that its clock counts UTC.
        """
        if not self.following or not self.ingress_ns or not self.path_delay_ns:
            return None  # until a delay was measured the offset is one of before
        correction = self.utc_offset_s * NS_PER_S if utc and self.ptp_timescale else 0
        return self.ingress_ns + correction - self.offset_ns


def questions(source: PortIdentity, *, sequence: int, domain: int, major_sdo: int) -> list[Management]:
    """The messages of one round, numbered from ``sequence`` on. Without hops, so that only this ptp4l answers."""
    return [
        Management(
            source=source,
            sequence=(sequence + number) & 0xFFFF,
            domain=domain,
            major_sdo=major_sdo,
            starting_hops=0,
            hops=0,
            action=Action.GET,
            tlvs=(ManagementTlv(id).to_tlv(),),
        )
        for number, id in enumerate(QUESTIONS)
    ]


def read_status(answers: Iterable[Management]) -> Ptp4lStatus | None:
    """The status in one round of answers; None where something essential is missing.

    Raises MalformedMessage for an answer that is damaged.
    """
    fields: dict[int, list[Octets]] = {}
    for data in _management_data(answers):
        fields.setdefault(data.id, []).append(Octets(data.data, ManagementId(data.id).name))
    if any(id not in fields for id in QUESTIONS if id is not ManagementId.PORT_PROPERTIES_NP):
        return None
    port = min((_port(octets) for octets in fields[ManagementId.PORT_DATA_SET]), key=_usefulness)
    _, flags, _ = fields[ManagementId.TIME_PROPERTIES_DATA_SET][0].numbers(TIME_PROPERTIES_DATA_SET)
    # The UTC offset that it reckons with is among what it would say as a grandmaster, which is ARB where its clock
    # counts UTC.
    settings = fields[ManagementId.GRANDMASTER_SETTINGS_NP][0].numbers(GRANDMASTER_SETTINGS_NP)
    *_quality, utc_offset_s, own_flags, _ = settings
    _steps, _offset, mean_delay = fields[ManagementId.CURRENT_DATA_SET][0].numbers(CURRENT_DATA_SET)
    offset_ns, ingress_ns, *_gptp, present, grandmaster = fields[ManagementId.TIME_STATUS_NP][0].numbers(TIME_STATUS_NP)
    hardware, interface = bool(own_flags & Flag.PTP_TIMESCALE), ""
    for octets in fields.get(ManagementId.PORT_PROPERTIES_NP, ()):
        clock, number, _state, timestamping = octets.numbers(PORT_PROPERTIES_NP)
        if PortIdentity(clock, number) == port.identity:
            hardware, interface = timestamping in _HARDWARE, octets.text()
    return Ptp4lStatus(
        port=port,
        offset_ns=offset_ns,
        ingress_ns=ingress_ns,
        path_delay_ns=interval_ns(mean_delay) if port.peer_delay_ns is None else port.peer_delay_ns,
        grandmaster=grandmaster,
        grandmaster_is_ptp4l=not present,
        ptp_timescale=bool(flags & Flag.PTP_TIMESCALE),
        utc_offset_s=utc_offset_s,
        hardware=hardware,
        interface=interface,
    )


def _management_data(answers: Iterable[Management]) -> Iterator[ManagementTlv]:
    for message in answers:
        if message.action == Action.RESPONSE and message.tlvs:
            fields = understand(message.tlvs[0])
            if isinstance(fields, ManagementTlv) and fields.id in QUESTIONS:
                yield fields


def _port(octets: Octets) -> Ptp4lPort:
    clock, number, state, _, peer_delay, _, _, log_sync, mechanism, *_ = octets.numbers(PORT_DATA_SET)
    return Ptp4lPort(
        identity=PortIdentity(clock, number),
        state=state,
        peer_delay_ns=interval_ns(peer_delay) if mechanism == _P2P else None,
        sync_interval_ns=stated_period_ns(log_sync) or NS_PER_S,
    )


def _usefulness(port: Ptp4lPort) -> tuple[int, PortIdentity]:
    return _USEFUL.index(port.state) if port.state in _USEFUL else len(_USEFUL), port.identity
