"""The session description of a sender's active parameters, as ST 2110-30 wants it (``/transportfile``).

It is written from what is active, so that it never disagrees with ``/active``.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegraph import NS_PER_S

from ..model.resources import HostInterface
from ..model.run_view import ClockView, EndpointView
from .endpoint import ConnectionEndpoint
from .transport_params import LegParams, is_multicast

NTP_EPOCH_S = 2_208_988_800
"""1970 since 1900: RFC 8866, 5.2."""
TTL = 32


def write_transport_file(endpoint: ConnectionEndpoint, clock: ClockView | None) -> str:
    """The session description; ``clock`` is the one that the sender runs on."""
    view, legs = endpoint.view, endpoint.active.legs
    shown = [leg for leg in legs if leg["rtp_enabled"]] or list(legs)
    title = " ".join(view.label.split()) or view.id
    session = int(endpoint.id.replace("-", ""), 16) % (1 << 63)
    version = endpoint.changed_ns // NS_PER_S + NTP_EPOCH_S
    lines = ["v=0", f"o=- {session} {version} IN IP4 {shown[0]['source_ip']}", f"s={title}", "t=0 0"]
    names = ("primary", "secondary")
    if len(shown) > 1:
        lines.append(f"a=group:DUP {' '.join(names)}")
    for name, leg in zip(names, shown, strict=False):
        lines += _medium(view, leg, _reference(clock, leg, endpoint.interfaces))
        if len(shown) > 1:
            lines.append(f"a=mid:{name}")
    return "\r\n".join(lines) + "\r\n"


def _medium(view: EndpointView, leg: LegParams, reference: str) -> list[str]:
    address, type = leg["destination_ip"], view.payload_type
    multicast = is_multicast(address)
    milliseconds = f"{view.packet_time_ns / 1e6:.6f}".rstrip("0").rstrip(".")
    am824 = view.encoding == "AM824"
    order = ",".join(["AES3"] * (view.channels // 2)) if am824 else f"U{view.channels:02d}"
    return [
        f"m=audio {leg['destination_port']} RTP/AVP {type}",
        f"c=IN IP4 {address}" + (f"/{view.table.get('ttl', TTL)}" if multicast else ""),
        *([f"a=source-filter: incl IN IP4 {address} {leg['source_ip']}"] if multicast else []),
        f"a=rtpmap:{type} {view.encoding}/{view.rate}/{view.channels}",
        f"a=fmtp:{type} channel-order=SMPTE2110.({order})",
        f"a=ptime:{milliseconds}",
        f"a=ts-refclk:{reference}",
        "a=mediaclk:direct=0",
    ]


def _reference(clock: ClockView | None, leg: LegParams, interfaces: Sequence[HostInterface]) -> str:
    # ST 2110-10, 8.2: PTP, or the sender's own clock by the MAC of its interface.
    if clock is not None and clock.is_ptp and clock.grandmaster:
        domain = "" if clock.domain is None else f":{clock.domain}"
        return f"ptp=IEEE1588-2008:{clock.grandmaster}{domain}"
    mac = next((each.mac for each in interfaces if each.address == leg["source_ip"]), "00-00-00-00-00-00")
    return f"localmac={mac.upper()}"
