"""Reading a session description: what streams it describes, and what is wrong with it."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from phasegraph import Encoding

from ..parameters import StreamParameters, frames_per_packet
from .grammar import Lines, MalformedSdp, Section
from .refclk import direct_offset, parse_reference

# Numbers are ASCII digits, and not so many that reading them costs anything.
_RTPMAP = re.compile(r"(\d{1,9})\s+([\w-]+)/(\d{1,9})(?:/(\d{1,9}))?(?!\d)", re.ASCII)
_PORT = re.compile(r"(\d{1,9})(/\d+)?\Z", re.ASCII)
_COUNT = re.compile(r"\d{1,5}\Z", re.ASCII)
_FILTER = re.compile(r"\s*(incl|excl)\s+IN\s+(?:IP4|\*)\s+(\S+)\s+(.+)", re.IGNORECASE)
_RATE = re.compile(r"\brate=(\d{1,9})(?:/(\d{1,9}))?", re.ASCII)
_SAYS_CHANNELS = re.compile(r"\s*(\d{1,3}) channels?:", re.ASCII)
_MOST_SOURCES = 16
_STATIC_TYPES = {"0": "PCMU", "3": "GSM", "8": "PCMA", "9": "G722", "14": "MPA"}
"""Payload types of RFC 3551 that need no rtpmap, and are nothing for us."""
ENCODINGS = ("L16", "L24", "AM824")
"""Of RFC 3551, RFC 3190 and ST 2110-31, as rtpmap names them."""


class Session(msgspec.Struct, frozen=True):
    """A session description, as far as it concerns audio over RTP."""

    name: str
    streams: tuple[StreamParameters, ...]
    problems: tuple[str, ...] = ()
    """What is wrong or missing without making the streams unusable."""
    dup_of: tuple[int | None, ...] = ()
    """For each stream the index of the one that it duplicates (RFC 7104; the second leg of ST 2022-7), or None."""
    information: str = ""
    """The ``i=`` line: channel names, as Dante and RAVENNA write them."""


def parse(text: str) -> Session:
    """Read a session description. Raises MalformedSdp with the reason."""
    lines = Lines(text)
    problems = [] if lines.has_version else ["the first line should be v=0"]
    audio = [section for section in lines.media if section.media.startswith("audio")]
    if not audio:
        others = ", ".join(dict.fromkeys(words[0] for section in lines.media if (words := section.media.split())))
        reason = "there is no m=audio line" + (f": it describes {others}" if others else "")
        raise MalformedSdp(reason if text.strip() else "it is empty")
    streams: list[StreamParameters] = []
    dup_of: list[int | None] = []
    reasons = []
    first_of_group: dict[int, int] = {}
    for section in audio:
        try:
            stream = _stream(section, lines.session, problems)
        except MalformedSdp as error:
            reasons.append(str(error))
            continue
        group = _group(section, lines.session)
        index = len(streams)
        dup_of.append(None if group is None else first_of_group.get(group))
        if group is not None:
            first_of_group.setdefault(group, index)
        streams.append(stream)
        if any(value.upper().startswith("DUP") for value in section.all("ssrc-group")):
            for source in _sources("incl", section, lines.session, stream.address)[1:]:
                streams.append(msgspec.structs.replace(stream, source=source))
                dup_of.append(index)
    if not streams:
        raise MalformedSdp(reasons[0])
    problems += [f"one of its streams is not usable: {reason}" for reason in reasons]
    information = audio[0].information or lines.session.information
    return Session(lines.name, tuple(streams), tuple(dict.fromkeys(problems)), tuple(dup_of), information)


def _group(section: Section, session: Section) -> int | None:
    # Which a=group:DUP names this medium; RFC 7104, 3.
    mid = section.first("mid")
    for number, value in enumerate(session.all("group")):
        semantics, *members = value.split() or [""]
        if semantics.upper() == "DUP" and mid in members:
            return number
    return None


def _stream(section: Section, session: Section, problems: list[str]) -> StreamParameters:
    words = section.media.split()
    match = _PORT.match(words[1]) if len(words) >= 4 else None
    if match is None:
        raise MalformedSdp(f"the line m={section.media} should read m=audio PORT RTP/AVP PAYLOAD-TYPE")
    port = int(match[1])
    if not 1 <= port <= 65535:
        raise MalformedSdp(f"port {port} is not between 1 and 65535")
    payload_type, encoding, rate, channels = _rtpmap(section, words[3:], problems)
    address, ttl = _connection(section.connection or session.connection)
    direct = _media_clock(section, session, rate, problems)
    refclks = section.all("ts-refclk") or session.all("ts-refclk")
    refclk = next((one for one in refclks if parse_reference(one).kind == "ptp"), refclks[0] if refclks else "")
    if not refclk:
        domain = section.first("clock-domain") or session.first("clock-domain")
        said = f"; a=clock-domain says {domain}" if domain else ""
        problems.append(f"there is no a=ts-refclk line: it is not said which clock the timestamps count{said}")
    elif parse_reference(refclk).kind == "unknown":
        problems.append(f"the reference clock a=ts-refclk:{refclk} is none that RFC 7273 knows")
    said_channels = _SAYS_CHANNELS.match(section.information or session.information)
    if said_channels is not None and int(said_channels[1]) != channels:
        problems.append(f"i= speaks of {said_channels[1]} channels, the rtpmap of {channels}: the rtpmap counts")
    return StreamParameters(
        address=address,
        port=port,
        encoding=encoding,
        rate=rate,
        channels=channels,
        frames_per_packet=_packet_frames(section, session, rate, problems),
        payload_type=payload_type,
        mediaclk_offset=direct,
        ts_refclk=refclk,
        source=_source(section, session, address, problems),
        excluded=_excluded(section, session, address, problems),
        ttl=ttl,
    )


def _media_clock(section: Section, session: Section, rate: int, problems: list[str]) -> int | None:
    # Timestamp of media time zero: RFC 7273, 5; sync-time is what RAVENNA called it before.
    values = [*section.all("mediaclk"), *session.all("mediaclk")]
    direct = direct_offset(values)
    if direct is None:
        older = section.first("sync-time") or session.first("sync-time")
        if older is not None and older.isascii() and older.isdecimal() and len(older) <= 20:
            problems.append(f"there is no a=mediaclk:direct line: a=sync-time:{older} stands in for it")
            return int(older) % 2**32
        problems.append("there is no a=mediaclk:direct line: timestamps have no known relation to a clock")
        return None
    said = next((match for value in values if (match := _RATE.search(value)) is not None), None)
    if said is not None and (int(said[1]), int(said[2] or 1)) not in ((rate, 1), (1, 1)):
        problems.append(
            f"the media clock has {said[0]}, the stream {rate} Hz: its timestamps may drift from their clock"
        )
    return direct


def _rtpmap(section: Section, formats: list[str], problems: list[str]) -> tuple[int, Encoding, int, int]:
    maps = [match for value in section.all("rtpmap") if (match := _RTPMAP.match(value)) is not None]
    maps.sort(key=lambda match: match[1] not in formats)  # some devices name one payload type and map another
    unsupported = None
    for match in maps:
        name = match[2].upper()
        if name not in ENCODINGS:
            unsupported = unsupported or match[2]
            continue
        if match[1] not in formats:
            problems.append(f"the m= line offers payload type {' '.join(formats)}, its rtpmap is for {match[1]}")
        rate, channels = int(match[3]), int(match[4] or 1)
        if int(match[1]) > 127:
            raise MalformedSdp(f"payload type {match[1]} is not between 0 and 127")
        if not 8000 <= rate <= 384_000 or not 1 <= channels <= 128:
            raise MalformedSdp(f"{rate} Hz with {channels} channels is out of range")
        return int(match[1]), Encoding(name), rate, channels
    if formats and formats[0] in ("10", "11"):  # RFC 3551, 6: the static types of L16
        return int(formats[0]), Encoding.L16, 44_100, 2 if formats[0] == "10" else 1
    if unsupported is None and not maps and formats and formats[0] in _STATIC_TYPES:
        unsupported = f"{_STATIC_TYPES[formats[0]]} (payload type {formats[0]})"
    if unsupported is not None:
        raise MalformedSdp(f"encoding {unsupported} is not supported: L16, L24 and AM824 are")
    raise MalformedSdp("there is no usable a=rtpmap line, such as a=rtpmap:98 L24/48000/2")


def _connection(value: str | None) -> tuple[str, int | None]:
    if value is None:
        raise MalformedSdp("there is no c= line: it is not said where the stream is sent to")
    words = value.split()
    if len(words) < 3 or words[1].upper() != "IP4":
        raise MalformedSdp(f"the line c={value} should read c=IN IP4 ADDRESS/TTL; IPv6 is not supported")
    address, _, rest = words[2].partition("/")
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise MalformedSdp(f"{address!r} in the c= line is not an IPv4 address") from None
    ttl = rest.split("/")[0]
    return address, int(ttl) if _COUNT.match(ttl) and int(ttl) <= 255 else None


def _packet_frames(section: Section, session: Section, rate: int, problems: list[str]) -> int | None:
    count = section.first("framecount")
    counted = int(count) if count is not None and _COUNT.match(count) and 0 < int(count) < 65536 else None
    text = section.first("ptime") or session.first("ptime")
    if text is None:
        if counted is None:
            problems.append("there is no a=ptime line: the first packet tells the packet time")
        return counted
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = 0.0
    if not 0.0 < milliseconds < 1000.0:
        problems.append(f"a=ptime:{text} is not a packet time in milliseconds")
        return counted
    timed = frames_per_packet(round(milliseconds * 1e6), rate)
    if counted not in (None, timed):
        problems.append(
            f"a=framecount:{counted} and a=ptime:{text}, which is {timed} frames at {rate} Hz, disagree: packets tell"
        )
    return counted or timed


def _source(section: Section, session: Section, address: str, problems: list[str]) -> str | None:
    sources = _sources("incl", section, session, address)
    if not sources:
        return None
    duplicated = any(value.upper().startswith("DUP") for value in section.all("ssrc-group"))
    if len(sources) > 1 and not duplicated:
        problems.append(f"a=source-filter names {len(sources)} sources: {sources[0]}, the first of them, is heard")
    try:
        return str(ipaddress.IPv4Address(sources[0]))
    except ValueError:
        problems.append(f"the source {sources[0]} in a=source-filter is not an IPv4 address: any source is heard")
        return None


def _excluded(section: Section, session: Section, address: str, problems: list[str]) -> tuple[str, ...]:
    found = []
    for source in _sources("excl", section, session, address):
        try:
            found.append(str(ipaddress.IPv4Address(source)))
        except ValueError:
            problems.append(f"the source {source} in a=source-filter is not an IPv4 address: it is not excluded")
    return tuple(found)


def _sources(mode: str, section: Section, session: Section, address: str) -> list[str]:
    # The sources that are to be listened to, or not (RFC 4570); the medium's filters count before the session's.
    for value in (*section.all("source-filter"), *session.all("source-filter")):
        match = _FILTER.match(value)
        if match is not None and match[1].lower() == mode and match[2] in (address, "*"):
            return match[3].split()[:_MOST_SOURCES]
    return []
