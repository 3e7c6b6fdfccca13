"""Judges the PTP of a capture, by domain: grandmasters, answers, and intervals against the limits of profiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import numpy as np

from phasegraph.ieee1588 import (
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    MalformedMessage,
    Message,
    Sync,
    decode,
    format_clock_identity,
)

from .capture_reader import CapturedDatagram
from .verdicts import Check, CheckVerdict, Subject, judged

PTP_PORTS = (319, 320)
_TOLERANCE = 1.3
"""IEEE 1588-2019, 9.5.9.2: the mean is within 30 % of the interval."""
_MOST_DOMAINS = 256


class ProfileLimits(msgspec.Struct, frozen=True):
    """The intervals that a profile allows, as base-2 logarithms of seconds."""

    name: str
    sync: tuple[int, int]
    announce: tuple[int, int]


PROFILES = (
    ProfileLimits("IEEE 1588 default", (-1, 1), (0, 4)),
    ProfileLimits("AES67 media", (-4, 1), (0, 4)),
    ProfileLimits("AES-R16", (-4, -1), (0, 1)),
    ProfileLimits("ST 2059-2", (-7, -1), (-3, 1)),
)
"""IEEE 1588-2019 annex I.3, AES67 annex A, AES-R16, ST 2059-2 table 2."""


def check_ptp(datagrams: Iterable[CapturedDatagram]) -> list[Subject]:
    """The domains of a capture, each with its checks."""
    domains: dict[int, list[tuple[int, Message]]] = defaultdict(list)
    malformed = 0
    for one in datagrams:
        if one.destination_port not in PTP_PORTS and one.source_port not in PTP_PORTS:
            continue
        try:
            message = decode(one.payload)
        except MalformedMessage:
            malformed += 1
            continue
        if message.domain in domains or len(domains) < _MOST_DOMAINS:
            domains[message.domain].append((one.stamp_ns, message))
    subjects = [_check_domain(domain, messages) for domain, messages in sorted(domains.items())]
    if malformed and subjects:
        subjects[0].checks.append(Check("IEEE 1588", "malformed", CheckVerdict.NOTE, f"{malformed} datagrams"))
    return subjects


def _check_domain(domain: int, messages: list[tuple[int, Message]]) -> Subject:
    announces = [(at, message) for at, message in messages if isinstance(message, Announce)]
    grandmasters = list(dict.fromkeys(message.grandmaster for _, message in announces))
    masters = {message.source for _, message in messages if isinstance(message, Sync | Announce)}
    named = ", ".join(map(format_clock_identity, grandmasters)) or "none announced"
    checks = []
    if announces:
        changes = sum(one.grandmaster != next.grandmaster for (_, one), (_, next) in pairwise(announces))
        checks.append(judged("IEEE 1588", "grandmaster", len(grandmasters) == 1, named, "one"))
        checks.append(judged("IEEE 1588", "changes of grandmaster", changes == 0, str(changes), "0"))
    checks.append(judged("IEEE 1588", "masters", len(masters) <= 1, str(len(masters)), "one at a time"))
    checks += _check_follow_ups(messages)
    measured = {
        "Sync": _intervals(messages, Sync),
        "Announce": _intervals(messages, Announce),
    }
    checks += _check_answers(messages)
    checks += _check_profiles(measured)
    return Subject(f"PTP domain {domain}", f"grandmaster {named}, {len(messages)} messages", checks)


def _intervals(messages: list[tuple[int, Message]], kind: type[Message]) -> tuple[int, float, float] | None:
    # Logarithm of the announced interval, mean and largest measured one in s, of the master that sends most.
    by_master = defaultdict(list)
    for at, message in messages:
        if isinstance(message, kind):
            by_master[message.source].append((at, message.log_interval))
    most = max(by_master.values(), key=len, default=[])
    if len(most) < 3:
        return None
    gaps = np.diff([at for at, _ in most]) / 1e9
    return most[-1][1], float(gaps.mean()), float(gaps.max())


def _check_profiles(measured: dict[str, tuple[int, float, float] | None]) -> list[Check]:
    checks = []
    for name, found in measured.items():
        if found is None:
            checks.append(Check("IEEE 1588", f"{name} interval", CheckVerdict.NOTE, "too few messages to measure"))
            continue
        log, mean_s, max_s = found
        figures = f"mean {mean_s * 1000:.1f} ms, max {max_s * 1000:.1f} ms"
        if -10 <= log <= 10:
            held = 2.0**log / _TOLERANCE <= mean_s <= 2.0**log * _TOLERANCE
            checks.append(judged("IEEE 1588", f"{name} interval held", held, figures, f"{1000 * 2.0**log:g} ms ± 30 %"))
        for profile in PROFILES:
            low, high = profile.sync if name == "Sync" else profile.announce
            passed = 2.0**low / _TOLERANCE <= mean_s <= 2.0**high * _TOLERANCE
            limit = f"{1000 * 2.0**low:g} to {1000 * 2.0**high:g} ms"
            verdict = CheckVerdict.PASS if passed else CheckVerdict.NOTE  # a network follows one profile, not all
            checks.append(Check(profile.name, f"{name} interval", verdict, figures, limit))
    fitting = [
        profile.name
        for profile in PROFILES
        if all(
            found is None or 2.0**low / _TOLERANCE <= found[1] <= 2.0**high * _TOLERANCE
            for found, (low, high) in ((measured["Sync"], profile.sync), (measured["Announce"], profile.announce))
        )
    ]
    if any(measured.values()):
        names = ", ".join(fitting) or "none"
        checks.append(judged("PTP profiles", "fits", bool(fitting), names, "at least one profile"))
    return checks


def _check_follow_ups(messages: list[tuple[int, Message]]) -> list[Check]:
    # The last half second may lack what came after the capture's end.
    end_ns = max(at for at, _ in messages) - 500_000_000
    two_step = {
        (message.source, message.sequence)
        for at, message in messages
        if isinstance(message, Sync) and message.flags & Flag.TWO_STEP and at < end_ns
    }
    followed = {(message.source, message.sequence) for _, message in messages if isinstance(message, FollowUp)}
    if not two_step:
        return []
    missing = len(two_step - followed)
    return [judged("IEEE 1588", "Follow_Up", missing == 0, f"{missing} of {len(two_step)} missing", "0 missing")]


def _check_answers(messages: list[tuple[int, Message]]) -> list[Check]:
    end_ns = max(at for at, _ in messages) - 500_000_000
    asked = {
        (message.source, message.sequence) for at, message in messages if isinstance(message, DelayReq) and at < end_ns
    }
    answered = {(message.requesting, message.sequence) for _, message in messages if isinstance(message, DelayResp)}
    if not asked:
        return []
    missing = len(asked - answered)
    part = f"{missing} of {len(asked)} unanswered"
    return [judged("IEEE 1588", "Delay_Resp", missing <= 0.05 * len(asked), part, "at most 5 %")]
