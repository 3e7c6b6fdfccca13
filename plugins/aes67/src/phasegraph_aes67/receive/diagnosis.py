"""Why a stream is silent or comes late, in sentences that name the remedy. Sans-IO."""

from __future__ import annotations

import re
from collections.abc import Sequence

from phasegraph import NS_PER_S, Encoding, format_duration

from ..parameters import ENCODINGS, StreamParameters
from ..rtp import wrapped

_LEAP_NS = 37 * NS_PER_S
"""TAI minus UTC, since 2017."""
_NEAR_NS = NS_PER_S // 2
PLAUSIBLE_NS = 10 * NS_PER_S
"""Longer than any packet travels: one that appears to be this late has timestamps of another timebase."""
_NUMBERS = re.compile(r"-?[\d.]+( (ns|µs|ms|s|min|h)\b)?")
_TAGS = (10, 4, 16)
"""Bytes that SRTP appends to a packet: HMAC-SHA1-80, HMAC-SHA1-32, AES-GCM (RFC 3711, RFC 7714)."""


def why_rejected(rejection: str, ago_ns: int) -> str:
    """Why a stream is silent whose packets are all rejected; the last one arrived this long ago, 0 for just now."""
    if ago_ns:
        return f"packets arrived until {format_duration(ago_ns)} ago and were rejected: {rejection}"
    return f"packets arrive and are rejected: {rejection}"


def why_silent(
    parameters: StreamParameters, interface: str, obstacles: Sequence[str], silent_ns: int | None = None
) -> str:
    """Why no packet of a stream arrives; ``obstacles`` is what the system knows.

    ``silent_ns`` is the time since the last packet; None where none has come.
    """
    by = f"by {interface}" if interface else "by the interface that the routes lead to (the option interface names one)"
    source = f" from {parameters.source} alone (option source)" if parameters.source else ""
    where = f"nothing comes to {parameters.address}:{parameters.port} {by}{source}"
    if obstacles:
        return f"{where}; {'; '.join(obstacles)}"
    if silent_ns is not None:
        where += f" for {format_duration(silent_ns)}"
        switch = ", or does the switch forward the group no more (IGMP querier)" if parameters.multicast else ""
        return f"{where}: has the sender stopped, is its network there{switch}?"
    switch = "does the switch forward the group to here (IGMP), " if parameters.multicast else ""
    asked = f"is it sent, {switch}does a firewall let UDP port {parameters.port} in?"
    return f"{where}: {asked} `kernel doctor` looks for it"


def why_outside_window(
    lateness_ns: int, without_offset_ns: int, offset: int, link_offset_ns: int, *, relative: bool, jumped: bool = True
) -> str:
    """Why packets of this lateness are outside the window; ``without_offset_ns`` is their lateness with offset 0.

    ``jumped`` says of a relative stream whether its timestamps jumped, or went on as before.
    """
    late = f"packets arrive {format_duration(lateness_ns)} after their media time, and the link offset is "
    late += f"{format_duration(link_offset_ns)}: set link-offset to more than that"
    if relative:
        if 0 < lateness_ns < PLAUSIBLE_NS:
            return late
        if not jumped:
            return (
                "packets come earlier than the first one did: that was held up, or the sender's clock runs fast; they "
                "are followed"
            )
        return "the timestamps have jumped: the sender has started again, or its clock was set; they are followed"
    if offset and -_NEAR_NS < without_offset_ns < PLAUSIBLE_NS:
        return f"the timestamps fit the mediaclk offset 0, and the description says {offset}: a device may change it"
    if abs(abs(lateness_ns) - _LEAP_NS) < _NEAR_NS:
        return (
            "one side counts UTC and the other TAI, which are 37 s apart: let both follow one PTP grandmaster, or set "
            'media-clock = "relative"'
        )
    if 0 < lateness_ns < PLAUSIBLE_NS:
        return late
    way = "before" if lateness_ns < 0 else "after"
    return (
        f"packets arrive {format_duration(abs(lateness_ns))} {way} their media time: the timestamps count another time "
        "than this graph's clock, as with another PTP domain or grandmaster (share one), another mediaclk offset, or "
        'only themselves (then set media-clock = "relative")'
    )


def why_grandmaster_differs(described: str, clock: str) -> str:
    """What is wrong where the graph's clock follows another grandmaster than a description names."""
    return f"the description names grandmaster {described}, and this graph's clock follows {clock}: share one"


_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 90_000, 96_000, 176_400, 192_000, 384_000)
_RATE_NS = NS_PER_S // 2
"""Time after which a rate is certain enough to be named."""
_SAME_RATE = 0.03
"""A sender's rate is one of these if it is seen within this share of it."""
_STEADY = 0.05
"""Timestamps that stray further from a straight line than this share of their way show a stall, not a rate."""
_MOST_MARKS = 16
_LONG_NS = 60 * NS_PER_S
"""A way that is longer loses its first half: timestamps wrap."""


class TimestampProgress:
    """How the timestamps of packets that are outside the window go on with time, by a few marks."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, int]] = []

    def forget(self) -> None:
        """Another sender: the next packet begins."""
        self._marks = []

    def restart(self, timestamp: int, arrival_ns: int) -> None:
        """Begin at the first packet that is outside the window."""
        self._marks = [(timestamp, arrival_ns)]

    def is_recent(self, now_ns: int) -> bool:
        """Whether a packet that is outside now goes on with those that were outside before."""
        return bool(self._marks) and now_ns - self._marks[-1][1] < _LONG_NS

    def add(self, timestamp: int, arrival_ns: int) -> None:
        """Add a later packet."""
        self._marks.append((timestamp, arrival_ns))
        if len(self._marks) > _MOST_MARKS:
            long = arrival_ns - self._marks[0][1] > _LONG_NS
            del self._marks[slice(_MOST_MARKS // 2) if long else slice(1, -1, 2)]

    def why_rate_differs(self, rate: int) -> str:
        """What is wrong where timestamps go on steadily at another sample rate than is described; else empty."""
        first, since_ns = self._marks[0]
        way = [(wrapped(timestamp - first, 32), arrival_ns - since_ns) for timestamp, arrival_ns in self._marks]
        frames, duration_ns = way[-1]
        if duration_ns < _RATE_NS or len(way) < 3:
            return ""
        seen = frames * NS_PER_S / duration_ns
        if abs(seen) < rate / 1000:
            return "the timestamps stand still"
        if any(abs(at - frames * ns / duration_ns) > _STEADY * abs(frames) for at, ns in way):
            return ""
        nearest = min(_RATES, key=lambda one: abs(one - seen))
        if nearest == rate or abs(seen - nearest) > _SAME_RATE * nearest:
            return ""
        return f"the timestamps go on at {nearest / 1000:g} kHz, and {rate / 1000:g} kHz is described: set the rate"


_DRIFT_PPB = 10_000
"""Clocks that are locked to one reference differ by less; crystals of two devices by more."""
_MOST_DRIFT_PPB = 20_000_000
"""No clock is as wrong as this: it is another sample rate."""
_ODD = 20
"""Packets in a second that are no accident."""
_CERTAIN = 5
"""Standard errors that a drift must exceed to be reported."""


def why_drifts(rate_ppb: float, sigma_ppb: float, clock: str, *, relative: bool) -> str:
    """What is wrong where the sender's clock runs at another rate than the graph's ``clock``; else empty."""
    if not max(_DRIFT_PPB, _CERTAIN * sigma_ppb) <= abs(rate_ppb) < _MOST_DRIFT_PPB:
        return ""
    name = f"clock '{clock}'" if clock else "this graph's clock"
    way = "fast" if rate_ppb > 0 else "slow"
    remedy = "set a link-offset that lasts" if relative else 'set media-clock = "relative"'
    return f"the sender's clock runs {abs(rate_ppb) / 1000:.0f} ppm {way} of {name}: share a PTP clock, or {remedy}"


def is_other_kind(reason: str, before: str) -> bool:
    """Whether two reasons differ by more than their numbers."""
    return _NUMBERS.sub("", reason) != _NUMBERS.sub("", before)


def why_late(link_offset_ns: int, p99_ns: int, max_ns: int) -> str:
    """What is wrong where some packets arrive later than the link offset."""
    seen = f"99 % arrived within {format_duration(p99_ns)} of their media time, all within {format_duration(max_ns)}"
    return f"the link offset of {format_duration(link_offset_ns)} is too short: {seen}"


def why_format_differs(parameters: StreamParameters, payload_bytes: int, step: int) -> str:
    """Why packets of this size are not what is described, if timestamps go on by ``step`` frames a packet."""
    described = f"{parameters.encoding} with {_channels(parameters.channels)}"
    frames = payload_bytes // parameters.frame_bytes
    seen = f"{payload_bytes} bytes are {frames} frames of {described}, but timestamps go on by {step}"
    size, rest = divmod(payload_bytes, step) if step else (0, 1)
    fitting = [
        f"{encoding} with {_channels(size // encoding.sample_bytes)}"
        for encoding in map(Encoding, ENCODINGS)
        if not rest and size % encoding.sample_bytes == 0
    ]
    if fitting:
        return f"{seen}: {' or '.join(fitting)} would fit (set encoding and channels)"
    return seen + why_encrypted(payload_bytes, step * parameters.frame_bytes)


def why_numbers_differ(received: int, lost: int, duplicate: int, jumps: int, frames_missing: int) -> str:
    """What is wrong with a sender's numbers, by what was counted in a second; empty where nothing is."""
    if lost >= _ODD and not frames_missing:
        return (
            f"sequence numbers do not fit the timestamps: {lost} packets are missing by number, no audio by timestamp"
        )
    if jumps >= 2 and not lost:
        return f"timestamps jumped {jumps} times while the sequence numbers went on: the sender leaves audio out"
    if duplicate >= _ODD and 2 * duplicate >= received:
        return (
            f"{duplicate} of {received} packets repeat a sequence number: the network brings them twice, or the "
            "sender's numbers do not go on"
        )
    return ""


def why_rival(followed: str, ignored: str, *, same_host: bool) -> str:
    """What is wrong where two senders send to one address at once."""
    remedy = (
        "end one of them, or give it another group" if same_host else "give one of them another group, or set source"
    )
    return f"two senders on one address: {followed}, is followed; {ignored}, is ignored: {remedy}"


def why_encrypted(payload_bytes: int, expected_bytes: int) -> str:
    """A clause where packets have as many bytes more than expected as encryption adds; else empty."""
    if payload_bytes - expected_bytes not in _TAGS:
        return ""
    return f"; {payload_bytes - expected_bytes} bytes more than expected are what SRTP adds: is the stream encrypted?"


def _channels(count: int) -> str:
    return f"{count} channel{'' if count == 1 else 's'}"
