"""Judges a stream: AES67, ST 2110-10 and -30, EBU LIST, JT-NM Tested, and EBU Tech 3337.

Delta is the time at which a packet was captured less the time of its RTP timestamp, as EBU LIST computes it. It needs
stamps of the sender's PTP time: of a capture card that follows it, or of our flight recorder, whose comments say how
far its stamps are from the clock. Where stamps and timestamps are not of one clock, delta counts from the least one,
and says so: its spread is judged, and its offset is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from .capture_reader import CaptureFile, ClockRemark
from .rtp_streams import Longs, RtpStream
from .verdicts import Check, CheckVerdict, Plot, Subject, judged

TSDF_WINDOW_NS = 200_000_000
"""EBU Tech 3337: a window's first packet is its reference."""
PAIRING_NS = 1_000_000_000
"""Stamps and timestamps that are farther apart are not of one clock."""
AES67, ST2110_10, ST2110_30 = "AES67", "ST 2110-10", "ST 2110-30"
ST2022_7 = "ST 2022-7"
LIST, JTNM, TECH3337 = "EBU LIST", "JT-NM Tested 5.3", "EBU Tech 3337"
LEVELS = {
    "A": (48_000, 1000, 8),
    "AX": (96_000, 1000, 4),
    "B": (48_000, 125, 8),
    "BX": (96_000, 125, 8),
    "C": (48_000, 125, 64),
    "CX": (96_000, 125, 32),
}
"""ST 2110-30: rate, packet time in us, most channels."""


class DeltaLimits(msgspec.Struct, frozen=True):
    """EBU LIST's limits of delta for one packet time, in us."""

    narrow_max: float
    wide_max: float
    wide_mean: float


DELTA_LIMITS = {1000: DeltaLimits(3000, 20_000, 2500), 125: DeltaLimits(375, 2500, 375)}
"""By packet time in us."""


class Delta(msgspec.Struct, frozen=True):
    """Captured time less RTP time, in us."""

    values_us: NDArray[np.float64]
    clock: str
    """What the stamps are of; empty where they and the timestamps are not of one clock."""


def delta_of(stream: RtpStream, remarks: Sequence[ClockRemark]) -> Delta:
    """The deltas of a stream's packets."""
    for clock, stamps_ns in _reference_times(stream.stamps_ns, remarks):
        rtp_ns = _rtp_times(stream, stamps_ns)
        values = (stamps_ns - rtp_ns) / 1000.0
        if np.abs(values).max() * 1000 < PAIRING_NS:
            return Delta(values, clock)
    # Relative: against timestamps from the first packet on, least delta zero.
    elapsed = (stream.timestamps - stream.timestamps[0]) * 1e6 / stream.rate
    values = (stream.stamps_ns - stream.stamps_ns[0]) / 1000.0 - elapsed
    return Delta(values - values.min(), "")


def _reference_times(stamps_ns: Longs, remarks: Sequence[ClockRemark]) -> list[tuple[str, Longs]]:
    # The stamps as each clock's time; at last as they are, for capture devices that follow PTP.
    found = []
    for clock in dict.fromkeys(remark.clock for remark in remarks if remark.state in ("locked", "holdover")):
        own = [remark for remark in remarks if remark.clock == clock]
        at = np.array([remark.stamp_ns for remark in own], np.int64)
        nearest = np.clip(np.searchsorted(at, stamps_ns), 0, len(own) - 1)
        ahead = np.array([remark.ahead_ns for remark in own], np.int64)[nearest]
        rate = np.array([remark.rate_ppb for remark in own])[nearest]
        drift = ((stamps_ns - at[nearest]) * rate / 1e9).astype(np.int64)
        found.append((f"clock {clock} of the run", stamps_ns + ahead + drift))
    return [*found, ("the capture's stamps", stamps_ns)]


def _rtp_times(stream: RtpStream, stamps_ns: Longs) -> Longs:
    # Times of the timestamps since the epoch, for media clocks without an offset: the period nearest to the stamp.
    rate = stream.rate
    first_frame = int(stamps_ns[0]) * rate // 10**9
    wraps = (first_frame - int(stream.timestamps[0]) + (1 << 31)) >> 32
    frames = stream.timestamps + (wraps << 32)
    whole, rest = frames // rate, frames % rate
    return whole * 10**9 + rest * 10**9 // rate


def tsdf_us(stream: RtpStream) -> NDArray[np.float64]:
    """Time-stamped delay factor of each window of 200 ms, in us (EBU Tech 3337, 3.3)."""
    transit = stream.stamps_ns / 1000.0 - stream.timestamps * (1e6 / stream.rate)
    window = (stream.stamps_ns - stream.stamps_ns[0]) // TSDF_WINDOW_NS
    begins = np.flatnonzero(np.diff(window, prepend=-1))
    relative = transit - np.repeat(transit[begins], np.diff([*begins, len(transit)]))
    factor: NDArray[np.float64] = np.maximum.reduceat(relative, begins) - np.minimum.reduceat(relative, begins)
    return factor


def lost_and_reordered(sequence: Longs) -> tuple[int, int, int]:
    """Packets lost, reordered and duplicate, by their numbers without wraps."""
    unique, firsts = np.unique(sequence, return_index=True)
    lost = int(unique[-1] - unique[0] + 1 - len(unique))
    newest_before = np.maximum.accumulate(sequence)[firsts - 1]
    reordered = int(((sequence[firsts] < newest_before) & (firsts > 0)).sum())
    return lost, reordered, len(sequence) - len(unique)


def check_redundancy(streams: Sequence[RtpStream]) -> list[Subject]:
    """The pairs of streams that carry the same packets (ST 2022-7): what both lost, and how far apart they are."""
    subjects = []
    for at, one in enumerate(streams):
        for other in streams[at + 1 :]:
            if (one.ssrc, one.payload_type) != (other.ssrc, other.payload_type) or one.name == other.name:
                continue
            both, of_one, of_other = np.intersect1d(one.timestamps, other.timestamps, return_indices=True)
            if len(both) < 0.5 * min(one.count, other.count):
                continue
            number_apart = int(np.median(other.sequence[of_other] - one.sequence[of_one]))
            lost, _, _ = lost_and_reordered(np.concatenate([one.sequence, other.sequence - number_apart]))
            apart_us = (other.stamps_ns[of_other] - one.stamps_ns[of_one]) / 1000
            subjects.append(
                Subject(
                    f"{one.name} and {other.name}",
                    "the same packets by two networks",
                    [
                        judged(ST2022_7, "lost by both", lost == 0, str(lost), "0"),
                        judged(ST2022_7, "numbers", number_apart == 0, f"{number_apart} apart", "alike"),
                        judged(
                            ST2022_7,
                            "path difference",
                            bool(np.abs(apart_us).max() <= 10_000),
                            f"{apart_us.min():.1f} to {apart_us.max():.1f} us",
                            "<= 10 ms (class A, low skew)",
                        ),
                    ],
                )
            )
    return subjects


def check_stream(stream: RtpStream, capture: CaptureFile) -> Subject:
    """All checks of one stream."""
    delta = delta_of(stream, capture.remarks)
    factors = tsdf_us(stream)
    packet_us = stream.packet_time_ns / 1000
    checks = [
        *_check_format(stream),
        *_check_headers(stream, capture),
        *_check_numbers(stream),
        *_check_delta(stream, delta),
        _check_tsdf(factors, packet_us),
        *_check_intervals(stream, packet_us),
    ]
    elapsed = (stream.stamps_ns - stream.stamps_ns[0]) / 1e9
    limits = [("1 packet time", packet_us), ("17 packet times", 17 * packet_us)]
    windows_s = [at * TSDF_WINDOW_NS / 1e9 for at in range(len(factors))]
    plots = [
        _plot("Delta packet against RTP time" if delta.clock else "Delta, from the least", elapsed, delta.values_us),
        Plot("TS-DF", "us", windows_s, factors.round(3).tolist(), limits),
    ]
    described = (
        f"{stream.source} -> {stream.name}, payload type {stream.payload_type}, SSRC 0x{stream.ssrc:08X}, "
        f"{stream.encoding or 'unknown encoding'} {stream.rate / 1000:g} kHz {stream.channels} ch, "
        f"{stream.frames_per_packet} frames a packet, {stream.count} packets"
    )
    return Subject(stream.name, described, checks, plots)


def _check_format(stream: RtpStream) -> list[Check]:
    packet_us = stream.packet_time_ns / 1000
    sized = (stream.lengths == stream.lengths[0]).all() and bool(stream.encoding)
    size = f"{int(np.median(stream.lengths))} octets: {stream.encoding or 'no L16 or L24'}, {stream.channels} channels"
    checks = [
        judged(AES67, "payload", bool(sized), size, "L16 or L24, one size"),
        judged(
            AES67, "payload size", int(stream.lengths.max()) <= 1440, f"{int(stream.lengths.max())} octets", "<= 1440"
        ),
        judged(
            AES67, "packet time", _is_usual(packet_us), f"{packet_us:.4g} us", "125 us, 250 us, 1/3 ms, 1 ms or 4 ms"
        ),
    ]
    fitting = [
        name
        for name, (rate, us, most) in LEVELS.items()
        if stream.rate == rate and abs(packet_us - us) < 1 and 0 < stream.channels <= most
    ]
    measured = f"{stream.rate / 1000:g} kHz, {packet_us:.4g} us, {stream.channels} channels"
    measured += f": level {' and '.join(fitting)}" if fitting else ""
    checks.append(judged(ST2110_30, "conformance level", bool(fitting), measured, "one of A, AX, B, BX, C, CX"))
    return checks


def _is_usual(packet_us: float) -> bool:
    # At 44.1 kHz packets have as many frames as at 48 kHz, and last longer by as much.
    return any(abs(packet_us * scale - us) < 2 for us in (125, 250, 1000 / 3, 1000, 4000) for scale in (1.0, 44.1 / 48))


def _check_headers(stream: RtpStream, capture: CaptureFile) -> list[Check]:
    checks = [
        judged(
            AES67, "payload type", 96 <= stream.payload_type <= 127, str(stream.payload_type), "96 to 127 (dynamic)"
        ),
        Check(
            ST2110_10,
            "RTP header",
            CheckVerdict.NOTE,
            "with extension, CSRC or padding" if stream.extended else "plain",
        ),
    ]
    if capture.composed:
        return [*checks, Check(AES67, "DSCP", CheckVerdict.NOTE, "not in a capture of the flight recorder")]
    dscps = ", ".join(map(str, stream.dscps))
    default = stream.dscps == [34]
    verdict = CheckVerdict.PASS if default else CheckVerdict.NOTE  # another class may be configured
    return [*checks, Check(AES67, "DSCP", verdict, dscps, "34 (AF41), unless configured")]


def _check_numbers(stream: RtpStream) -> list[Check]:
    lost, reordered, duplicates = lost_and_reordered(stream.sequence)
    order = np.argsort(stream.sequence, kind="stable")
    sequence, timestamps = stream.sequence[order], stream.timestamps[order]
    fresh = np.diff(sequence) > 0
    steps = np.diff(timestamps)[fresh] - np.diff(sequence)[fresh] * stream.frames_per_packet
    jumps = int(np.count_nonzero(steps))
    return [
        judged(ST2110_10, "lost packets", lost == 0, f"{lost} of {stream.count + lost}", "0"),
        Check(ST2110_10, "reordered, duplicate", CheckVerdict.NOTE, f"{reordered}, {duplicates}"),
        judged(AES67, "timestamps", jumps == 0, f"{jumps} jumps", f"+{stream.frames_per_packet} a packet"),
    ]


def _check_delta(stream: RtpStream, delta: Delta) -> list[Check]:
    values = delta.values_us
    least, mean, most = float(values.min()), float(values.mean()), float(values.max())
    measured = f"min {least:.1f} us, mean {mean:.1f} us, max {most:.1f} us"
    packet_us = round(stream.packet_time_ns / 1000)
    # Timestamps that count frames of 44.1 kHz have the limits of the nearest packet time.
    limits = DELTA_LIMITS.get(min(DELTA_LIMITS, key=lambda us: abs(us - packet_us)))
    assert limits is not None
    if not delta.clock:
        note = "stamps and timestamps are not of one clock"
        checks = [
            Check(JTNM, "delta", CheckVerdict.NOTE, f"{note}; from the least: mean {mean:.1f} us, max {most:.1f} us")
        ]
    else:
        passed = least >= 0 and most < 1000
        verdict = CheckVerdict.PASS if passed else CheckVerdict.FAIL
        if not passed and least >= 0 and packet_us >= 1000:
            # A live sender cannot send a packet of 1 ms before its last frame: the limit is for shorter ones.
            verdict = CheckVerdict.NOTE
        checks = [Check(JTNM, f"delta, by {delta.clock}", verdict, measured, "0 <= delta < 1000 us")]
    narrow = most < limits.narrow_max and least >= 0
    wide = most < limits.wide_max and mean < limits.wide_mean and least >= 0
    grade = "narrow" if narrow else "wide" if wide else "not compliant"
    limit = (
        f"narrow: max < {limits.narrow_max:g} us; wide: max < {limits.wide_max:g} us, mean < {limits.wide_mean:g} us"
    )
    name = "delta" if delta.clock else "spread of delta"
    return [*checks, judged(LIST, name, narrow or wide, f"{grade}: {measured}", limit)]


def _check_tsdf(factors: NDArray[np.float64], packet_us: float) -> Check:
    most = float(factors.max())
    colour = "green" if most <= packet_us else "red" if most > 17 * packet_us else "orange"
    return judged(
        TECH3337, "TS-DF", most <= 17 * packet_us, f"{colour}: max {most:.1f} us of {len(factors)} windows",
        f"<= {packet_us:.4g} us is good, <= {17 * packet_us:.5g} us",
    )  # fmt: skip


def _check_intervals(stream: RtpStream, packet_us: float) -> list[Check]:
    gaps = np.diff(stream.stamps_ns) / 1000
    measured = f"min {gaps.min():.1f} us, mean {gaps.mean():.2f} us, max {gaps.max():.1f} us"
    packets = min(17.0, 17_000 / packet_us)
    elapsed = float(stream.stamps_ns[-1] - stream.stamps_ns[0])
    counted = float(stream.timestamps[-1] - stream.timestamps[0]) * 1e9 / stream.rate
    rate_ppm = (counted / elapsed - 1) * 1e6 if elapsed else 0.0
    return [
        judged(AES67, "packet interval", bool(gaps.max() <= (packets + 1) * packet_us), measured,
               f"jitter <= {packets:.3g} packet times"),
        Check(AES67, "sender's rate", CheckVerdict.NOTE, f"{rate_ppm:+.2f} ppm against the stamps"),
    ]  # fmt: skip


def _plot(title: str, elapsed: NDArray[np.float64], values: NDArray[np.float64]) -> Plot:
    # At most 2000 points: the largest of each stretch, which is what limits are about.
    stretch = -(-len(values) // 2000)
    begins = np.arange(0, len(values), stretch)
    return Plot(title, "us", elapsed[begins].round(6).tolist(), np.maximum.reduceat(values, begins).round(3).tolist())
