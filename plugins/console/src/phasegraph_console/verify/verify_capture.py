"""A whole capture, judged: every stream, pairs of legs, PTP domains, and the delay between streams. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from .audio_delay import audio_delay
from .capture_reader import CaptureFile
from .ptp_verdicts import check_ptp
from .rtp_streams import RtpStream, find_streams
from .stream_checks import check_redundancy, check_stream
from .verdicts import Check, CheckVerdict, Subject, judged
from .verify_report import Verification

_TROUBLES = {
    "format_differs",
    "grandmaster_differs",
    "numbers_differ",
    "packets_come_late",
    "rival_sender",
    "sender_drifts",
    "timestamps_outside_window",
}
"""Events of a source that fail it; each has a reason."""
_MOST_PAIRS = 28
"""Pairs of streams whose sound is compared: those of eight streams."""


def verify_capture(source: str, capture: CaptureFile, *, compare_audio: bool = False) -> Verification:
    """Every check of a capture. ``compare_audio`` correlates the first channels of streams (A2A)."""
    streams = find_streams(capture.datagrams)
    subjects = [check_stream(stream, capture) for stream in streams]
    subjects += check_redundancy(streams)
    subjects += check_ptp(capture.datagrams)
    if compare_audio:
        subjects += _compare(streams)
    notes = list(capture.notes)
    if not capture.ns_stamps:
        notes.append("stamps count microseconds: limits below a few microseconds cannot be judged")
    if capture.fragments:
        notes.append(f"{capture.fragments} IP fragments are left out; audio over IP has none")
    return Verification(source, subjects, notes)


def with_run(verification: Verification, report: Mapping[str, Any]) -> Verification:
    """A verification of what a graph received, with what the graph's own nodes say: locks, silence, losses."""
    subjects = list(verification.subjects)
    for id, node in report["nodes"].items():
        metrics = node["metrics"]
        checks = []
        if node["role"] == "clock":
            state = metrics.get("state", "unknown")
            bound = f", bound {metrics['bound_ns'] / 1000:.1f} us" if "bound_ns" in metrics else ""
            checks.append(judged("graph", "lock", state == "locked", f"{state}{bound}", "locked"))
        elif "packets_received" in metrics:
            received = metrics["packets_received"]
            checks.append(judged("graph", "packets received", received > 0, str(received), "at least one"))
            for name in ("lost", "late", "early", "malformed"):
                count = metrics.get(f"packets_{name}", 0)
                checks.append(judged("graph", f"packets {name}", count == 0, str(count), "0"))
        if metrics.get("trouble"):
            checks.append(Check("graph", "trouble", CheckVerdict.FAIL, str(metrics["trouble"])))
        events = {event["name"]: event for event in report["events"] if event["node"] == id}
        checks += [
            Check("graph", name.replace("_", " "), CheckVerdict.FAIL, str(events[name].get("reason", "")))
            for name in sorted(events.keys() & _TROUBLES)
        ]
        if checks:
            subjects.append(Subject(f"{node['role']} {id}", str(metrics.get("stream", node["kind"])), checks))
    return Verification(verification.source, subjects, verification.notes)


def _compare(streams: Sequence[RtpStream]) -> list[Subject]:
    subjects = []
    sounds = [(stream, stream.samples()) for stream in streams]
    for (one, first), (other, second) in list(combinations(sounds, 2))[:_MOST_PAIRS]:
        if one.rate != other.rate or not len(first) or not len(second):
            continue
        delay = audio_delay(first, second)
        if delay is None:
            continue
        # By the sound, by timestamps, and by when the packets of that sound were captured.
        apart = int(other.timestamps.min() - one.timestamps.min()) + delay.frames
        captured_us = (int(other.stamps_ns[0]) - int(one.stamps_ns[0])) / 1000 + delay.frames * 1e6 / one.rate
        checks = [
            judged("EBU LIST A2A", "same sound", delay.sure, f"correlation {delay.correlation:.3f}", ">= 0.9"),
        ]
        if delay.sure:
            milliseconds = 1000 * apart / one.rate
            checks += [
                Check(
                    "EBU LIST A2A", "delay by timestamps", CheckVerdict.NOTE, f"{apart} samples ({milliseconds:.3f} ms)"
                ),
                Check("EBU LIST A2A", "delay by capture", CheckVerdict.NOTE, f"{captured_us / 1000:.3f} ms"),
            ]
        subjects.append(Subject(f"{one.name} to {other.name}", "the same sound in two streams", checks))
    return subjects
