"""Why a stream is not heard, in sentences that name the remedy. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from phasegraph import NS_PER_S, Encoding, format_duration

from ..parameters import StreamParameters

_LEAP_NS = 37 * NS_PER_S
"""TAI is so far ahead of UTC, since 2017."""
_NEAR_NS = NS_PER_S // 2
PLAUSIBLE_NS = 10 * NS_PER_S
"""Nothing on a network takes longer than this: what seems to counts another time."""


def silent(parameters: StreamParameters, interface: str, refused: str, obstacles: Sequence[str]) -> str:
    """Why nothing of a stream comes: ``refused`` is what comes instead, ``obstacles`` what the system knows."""
    if refused:
        return f"what comes is refused: {refused}"
    by = f"by {interface}" if interface else "by the interface that the routes lead to (the option interface names one)"
    source = f" from {parameters.source} alone" if parameters.source else ""
    where = f"nothing comes to {parameters.address}:{parameters.port} {by}{source}"
    if obstacles:
        return f"{where}; {'; '.join(obstacles)}"
    switch = "does the switch forward the group to here (IGMP), " if parameters.multicast else ""
    return f"{where}: is it sent, {switch}does a firewall let UDP port {parameters.port} in?"


def outside(lateness_ns: int, without_offset_ns: int, offset: int, link_offset_ns: int, *, relative: bool) -> str:
    """Why packets are outside the window that are so late, and would be so late if the media clock had no offset."""
    needs = f"they come {format_duration(lateness_ns)} after their media time, and the link offset is "
    needs += f"{format_duration(link_offset_ns)}: let link-offset be more"
    if relative:
        return needs if 0 < lateness_ns < PLAUSIBLE_NS else "their timestamps have jumped"
    if offset and -_NEAR_NS < without_offset_ns < PLAUSIBLE_NS:
        return f"they would fit the mediaclk offset 0, and {offset} is what is said: a device may change it"
    if abs(abs(lateness_ns) - _LEAP_NS) < _NEAR_NS:
        return "one side counts UTC and the other TAI, which are 37 s apart"
    if 0 < lateness_ns < PLAUSIBLE_NS:
        return needs
    return (
        "they count another time than this graph's clock: another PTP domain or grandmaster, another mediaclk offset, "
        'or only themselves (then media-clock = "relative")'
    )


def late(link_offset_ns: int, p99_ns: int, most_ns: int) -> str:
    """What is wrong where some packets come later than the link offset."""
    seen = f"99 % came within {format_duration(p99_ns)} of their media time, all within {format_duration(most_ns)}"
    return f"the link offset of {format_duration(link_offset_ns)} is too short: {seen}"


def misfit(parameters: StreamParameters, payload_bytes: int, step: int) -> str:
    """Why packets of so many bytes are not what is described, if timestamps go on by ``step`` frames a packet."""
    described = f"{parameters.encoding} with {_channels(parameters.channels)}"
    frames = payload_bytes // parameters.frame_bytes
    said = f"{payload_bytes} bytes are {frames} frames of {described}, but timestamps go on by {step}"
    size, rest = divmod(payload_bytes, step)
    fits = [
        f"{encoding} with {_channels(size // encoding.sample_bytes)}"
        for encoding in (Encoding.L24, Encoding.L16, Encoding.AM824)
        if not rest and size % encoding.sample_bytes == 0
    ]
    return f"{said}: {' or '.join(fits)} would fit" if fits else said


def _channels(count: int) -> str:
    return f"{count} channel{'' if count == 1 else 's'}"
