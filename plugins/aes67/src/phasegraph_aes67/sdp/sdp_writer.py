"""Writing a session description, in the dialect of its readers."""

from __future__ import annotations

from typing import Literal

from phasegraph import Encoding

from ..parameters import StreamParameters

Preset = Literal["aes67", "dante", "ravenna", "st2110-30"]
PRESETS: tuple[Preset, ...] = ("aes67", "dante", "ravenna", "st2110-30")
"""What readers differ in: Dante wants its order of lines and no source filter, RAVENNA its clock-domain and sync-time,
ST 2110-30 connection, clocks and filter in the medium, the channel order, and a media clock that starts at zero."""


def write(
    parameters: StreamParameters,
    *,
    name: str,
    origin: str,
    session_id: int,
    version: int = 1,
    preset: Preset = "aes67",
    second: StreamParameters | None = None,
) -> str:
    """The session description of a stream that we send; ``origin`` is the sender's IPv4 address.

    ``second`` is its duplicate on another path (ST 2022-7), named by a DUP group (RFC 7104).
    """
    title = " ".join(name.split()) or "Phasegraph"
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 {origin}", f"s={title}"]
    connection_first = preset in ("aes67", "dante") and second is None
    if connection_first:
        lines.append(_connection(parameters))
    lines.append("t=0 0")
    if preset == "ravenna":
        lines += _ravenna(parameters)
    legs = (parameters,) if second is None else (parameters, second)
    if second is not None:
        lines.append("a=group:DUP primary secondary")
    for leg, mid in zip(legs, ("primary", "secondary"), strict=False):
        lines += _medium(leg, preset, connection=not connection_first)
        if second is not None:
            lines.append(f"a=mid:{mid}")
    return "\r\n".join(lines) + "\r\n"


def _medium(parameters: StreamParameters, preset: Preset, *, connection: bool) -> list[str]:
    frames = parameters.frames_per_packet
    assert frames is not None, "a sender knows its packet time"
    milliseconds = f"{frames * 1000 / parameters.rate:.6f}".rstrip("0").rstrip(".")
    payload_type = parameters.payload_type
    lines = [f"m=audio {parameters.port} RTP/AVP {payload_type}"]
    if connection:
        lines.append(_connection(parameters))
    if parameters.source is not None and preset != "dante":
        lines.append(f"a=source-filter: incl IN IP4 {parameters.address} {parameters.source}")
    lines += [
        "a=recvonly",
        f"a=rtpmap:{payload_type} {parameters.encoding}/{parameters.rate}/{parameters.channels}",
    ]
    if preset == "st2110-30":
        am824 = parameters.encoding is Encoding.AM824  # ST 2110-31: a symbol for each pair
        order = ",".join(["AES3"] * (parameters.channels // 2)) if am824 else f"U{parameters.channels:02d}"
        lines.append(f"a=fmtp:{payload_type} channel-order=SMPTE2110.({order})")
    lines.append(f"a=ptime:{milliseconds}")
    if preset == "st2110-30":
        lines.append(f"a=maxptime:{milliseconds}")
    if preset in ("aes67", "ravenna"):
        lines.append(f"a=framecount:{frames}")
    if preset == "ravenna":
        lines += _ravenna(parameters)
    if parameters.ts_refclk:
        lines.append(f"a=ts-refclk:{parameters.ts_refclk}")
    if parameters.mediaclk_offset is not None:
        lines.append(f"a=mediaclk:direct={parameters.mediaclk_offset}")
    return lines


def _connection(parameters: StreamParameters) -> str:
    ttl = f"/{parameters.ttl}" if parameters.multicast and parameters.ttl else ""
    return f"c=IN IP4 {parameters.address}{ttl}"


def _ravenna(parameters: StreamParameters) -> list[str]:
    # The domain of its clock, and the RTP timestamp of media time zero, in RAVENNA's own words.
    domain = parameters.ts_refclk.rpartition(":")[2]
    clock = f"PTPv2 {domain}" if domain.isdecimal() else "PTPv2 0"
    return [f"a=clock-domain:{clock}", f"a=sync-time:{parameters.mediaclk_offset or 0}"]
