"""Reading a session description (RFC 8866): what streams it describes, and what is wrong with it.

The text comes from strangers. Everything that is kept of it is checked here, once: numbers are in range, addresses are
IPv4 addresses, names are printable, and the count of streams, problems and letters is bounded.
"""

from __future__ import annotations

import codecs
import ipaddress
import math
import re
from collections.abc import Iterator, Sequence

import msgspec

from phasegraph import Encoding

from ..parameters import ENCODINGS, RTP_HEADER_BYTES, StreamParameters, frames_per_packet
from .reference_clock import parse_media_clock, parse_reference

MAX_SDP_BYTES = 64 << 10
_MAX_MEDIA = 32
"""Media of one description that are read."""
_MAX_ATTRIBUTES = 256
"""Attributes of the session, and of one medium, that are read."""
_MAX_SOURCES = 16
_MAX_PROBLEMS = 32
_MAX_QUOTE = 80
"""Letters of a remote text within a sentence."""
_MAX_FRAME_BYTES = 1472
"""UDP payload of an Ethernet frame."""
_MAX_DATAGRAM_BYTES = 65_507

# Numbers are ASCII digits, few enough that reading them costs nothing.
_RTPMAP = re.compile(r"(\d{1,9})\s+([\w-]+)\s*/\s*(\d{1,9})(\.\d{1,9})?(?:\s*/\s*(\d{1,9})(?!\d))?(?!\d)(.*)", re.ASCII)
_PORT = re.compile(r"(\d{1,9})(/\d+)?\Z", re.ASCII)
_COUNT = re.compile(r"\d{1,5}\Z", re.ASCII)
_FILTER = re.compile(r"\s*(incl|excl)\s+IN\s+(?:IP4|\*)\s+(\S+)\s+(.+)", re.IGNORECASE)
_INFORMATION_CHANNELS = re.compile(r"\s*(\d{1,3}) channels?:", re.ASCII)
_CHANNEL_ORDER = re.compile(r"channel-order\s*=\s*SMPTE2110\.\(([\w,\s]{1,500})\)", re.ASCII | re.IGNORECASE)
_CHARSET = re.compile(rb"(?im)^a=charset:\s*([\w.:-]{1,40})\s*$")
_GROUP_CHANNELS = {"M": 1, "DM": 2, "ST": 2, "LTRT": 2, "51": 6, "71": 8, "222": 24, "SGRP": 4, "AES3": 2}
"""Channels of a grouping symbol (ST 2110-30, 6.2.2; ST 2110-31)."""
_STATIC_TYPES = {"0": "PCMU", "3": "GSM", "8": "PCMA", "9": "G722", "14": "MPA"}
"""Payload types of RFC 3551 that need no rtpmap and that are not supported."""
_SINGLE_BYTE_CHARSETS = frozenset({"us-ascii", "ascii", "windows-1252"} | {f"iso-8859-{n}" for n in range(1, 16)})


class MalformedSdp(ValueError):
    """A session description that no stream can be received from; the message gives the reason."""


class SessionDescription(msgspec.Struct, frozen=True):
    """A session description, as far as it concerns audio over RTP."""

    name: str
    streams: tuple[StreamParameters, ...]
    problems: tuple[str, ...] = ()
    """What is wrong or missing without making the streams unusable."""
    dup_of: tuple[int | None, ...] = ()
    """For each stream the index of the one that it duplicates (RFC 7104; the second leg of ST 2022-7), or None."""
    information: str = ""
    """The ``i=`` line: channel names, as Dante and RAVENNA write them."""


def decode_sdp(octets: bytes) -> str:
    """The text of a description, in its ``a=charset`` (RFC 8866, 6.10) or UTF-8. What cannot be decoded is replaced."""
    found = _CHARSET.search(octets, 0, MAX_SDP_BYTES)
    charset = found[1].decode("ascii").lower() if found is not None else "utf-8"
    if charset not in _SINGLE_BYTE_CHARSETS:
        charset = "utf-8"
    return codecs.decode(octets, charset, "replace")


def printable_text(text: str) -> str:
    """A remote text without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text.replace("\t", " "))


class _Section:
    """Lines of the session, or of one medium."""

    def __init__(self, media: str = "") -> None:
        self.media = media
        """What follows ``m=``; empty for the session."""
        self.connection: str | None = None
        self.information = ""
        self.attributes: list[tuple[str, str]] = []

    def all(self, name: str) -> list[str]:
        """Every value of an attribute, in order."""
        return [value for key, value in self.attributes if key == name]

    def first(self, name: str) -> str | None:
        """The first value of an attribute."""
        return next((value for key, value in self.attributes if key == name), None)


class _Lines:
    """A description taken apart: the session's own lines and its media (RFC 8866, section 5)."""

    def __init__(self, text: str) -> None:
        """Raises MalformedSdp where it is too long."""
        if len(text) > MAX_SDP_BYTES:
            raise MalformedSdp(f"longer than {MAX_SDP_BYTES >> 10} KiB: this is not a session description")
        self.session = _Section()
        self.media: list[_Section] = []
        self.name = ""
        self.version: str | None = None
        for kind, value in _lines(text):
            section = self.media[-1] if self.media else self.session
            if kind == "m":
                self.media.append(_Section(value))
            elif kind == "c":
                section.connection = value
            elif kind == "i":
                section.information = value
            elif kind == "a" and len(section.attributes) < _MAX_ATTRIBUTES:
                key, _, argument = value.partition(":")
                section.attributes.append((key.strip().lower(), argument.strip()))
            elif kind == "s":
                self.name = value
            elif kind == "v":
                self.version = value


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace("\r", "\n").split("\n"):
        kind, equals, value = line.strip().partition("=")
        if equals and len(kind) == 1:
            yield kind, printable_text(value.strip())


def parse(text: str) -> SessionDescription:
    """Read a session description. Raises MalformedSdp with the reason."""
    lines = _Lines(text)
    problems: list[str] = []
    if lines.version is None:
        problems.append("the first line should be v=0")
    elif lines.version != "0":
        problems.append(f"v={_quote(lines.version)}: the only version of SDP is v=0")
    audio = [section for section in lines.media if section.media.lower().startswith("audio")]
    if not audio:
        others = ", ".join(dict.fromkeys(words[0] for section in lines.media if (words := section.media.split())))
        reason = "there is no m=audio line" + (f": it describes {_quote(others)}" if others else "")
        raise MalformedSdp(reason if text.strip() else "it is empty")
    if len(audio) > _MAX_MEDIA:
        problems.append(f"it has {len(audio)} m=audio lines: the first {_MAX_MEDIA} are read")
    streams, dup_of = _streams(audio[:_MAX_MEDIA], lines.session, problems)
    unique = tuple(dict.fromkeys(problems))
    if len(unique) > _MAX_PROBLEMS:
        unique = (*unique[:_MAX_PROBLEMS], f"{len(unique) - _MAX_PROBLEMS} more problems are not listed")
    information = audio[0].information or lines.session.information
    return SessionDescription(lines.name, tuple(streams), unique, tuple(dup_of), information)


def _streams(
    audio: Sequence[_Section], session: _Section, problems: list[str]
) -> tuple[list[StreamParameters], list[int | None]]:
    # The streams, and for each the index of the one that it duplicates. Raises MalformedSdp where none is usable.
    streams: list[StreamParameters] = []
    dup_of: list[int | None] = []
    reasons = []
    first_of_group: dict[int, int] = {}
    for section in audio:
        try:
            stream, sources = _stream(section, session, problems)
        except MalformedSdp as error:
            reasons.append(str(error))
            continue
        if stream in streams:
            problems.append(f"the stream to {stream.address}:{stream.port} is described twice: it is used once")
            continue
        index = len(streams)
        group = _duplication_group(section, session)
        first = None if group is None else first_of_group.setdefault(group, index)
        if first is not None and first != index and stream.format != streams[first].format:
            problems.append(f"the legs of a=group:DUP differ: {streams[first].format}, and {stream.format}")
            first = None
        streams.append(stream)
        dup_of.append(None if first == index else first)
        if _is_duplicated_by_source(section):
            streams += [msgspec.structs.replace(stream, source=source) for source in sources[1:]]
            dup_of += [index] * len(sources[1:])
    if not streams:
        raise MalformedSdp(reasons[0])
    problems += [f"one of its streams is not usable: {reason}" for reason in reasons]
    return streams, dup_of


def _quote(text: str) -> str:
    return text if len(text) <= _MAX_QUOTE else f"{text[:_MAX_QUOTE]}..."


def _duplication_group(section: _Section, session: _Section) -> int | None:
    # Which a=group:DUP names this medium; RFC 7104, 3.
    mid = section.first("mid")
    for number, value in enumerate(session.all("group")):
        semantics, *members = value.split() or [""]
        if semantics.upper() == "DUP" and mid in members:
            return number
    return None


def _is_duplicated_by_source(section: _Section) -> bool:
    # RFC 7104, 4.2: one destination, sent to by several sources.
    return any(value.upper().startswith("DUP") for value in section.all("ssrc-group"))


def _stream(section: _Section, session: _Section, problems: list[str]) -> tuple[StreamParameters, list[str]]:
    # The stream of a medium, and the sources that may send it. Raises MalformedSdp.
    words = section.media.split()
    match = _PORT.match(words[1]) if len(words) >= 4 else None
    if match is None:
        raise MalformedSdp(f"the line m={_quote(section.media)} should read m=audio PORT RTP/AVP PAYLOAD-TYPE")
    port = int(match[1])
    if not 1 <= port <= 65535:
        raise MalformedSdp(f"port {port} is not between 1 and 65535")
    _check_transport(words[2], section, session)
    payload_type, encoding, rate, channels = _format(section, words[3:], problems)
    address, ttl = _connection(section.connection or session.connection)
    sources = _sources("incl", section, session, address, problems)
    frames = _packet_frames(section, session, rate, problems)
    information = _INFORMATION_CHANNELS.match(section.information or session.information)
    if information is not None and int(information[1]) != channels:
        problems.append(f"i= names {information[1]} channels, the rtpmap {channels}: the rtpmap counts")
    _check_channel_order(section, payload_type, channels, problems)
    _check_direction(section, session, problems)
    stream = StreamParameters(
        address=address,
        port=port,
        encoding=encoding,
        rate=rate,
        channels=channels,
        frames_per_packet=frames,
        payload_type=payload_type,
        mediaclk_offset=_media_clock(section, session, rate, problems),
        ts_refclk=_reference_clock(section, session, problems),
        source=sources[0] if sources else None,
        excluded=tuple(_sources("excl", section, session, address, problems)),
        ttl=ttl,
    )
    _check_size(stream, problems)
    return stream, sources


def _check_transport(protocol: str, section: _Section, session: _Section) -> None:
    # RFC 8866, 5.14. RTP/AVPF (RFC 4585) sends the same RTP packets.
    name = protocol.upper()
    if "SAVP" in name or "SRTP" in name or "TLS" in name:
        raise MalformedSdp(f"its transport {_quote(protocol)} is encrypted: only RTP/AVP is supported")
    if name not in ("RTP/AVP", "RTP/AVPF"):
        raise MalformedSdp(f"its transport {_quote(protocol)} is not supported: only RTP/AVP is, over UDP")
    for key, what in (("privacy", "IPMX privacy"), ("crypto", "SRTP, RFC 4568")):
        if section.first(key) is not None or session.first(key) is not None:
            raise MalformedSdp(f"its payload is encrypted (a={key}, {what}), which is not supported")


def _check_direction(section: _Section, session: _Section, problems: list[str]) -> None:
    # RFC 8866, 6.7: the medium's direction counts before the session's.
    directions = ("recvonly", "sendrecv", "sendonly", "inactive")
    for part in (section, session):
        given = [key for key, _ in part.attributes if key in directions]
        if given:
            if given[-1] == "inactive":
                problems.append("a=inactive: the sender states that it sends nothing at present")
            return


def _check_channel_order(section: _Section, payload_type: int, channels: int, problems: list[str]) -> None:
    for value in section.all("fmtp"):
        match = _CHANNEL_ORDER.search(value)
        if match is None or value.split()[0] != str(payload_type):
            continue
        symbols = [symbol.strip().upper() for symbol in match[1].split(",")]
        counts = [
            int(symbol[1:]) if re.fullmatch(r"U\d\d", symbol, re.ASCII) else _GROUP_CHANNELS.get(symbol)
            for symbol in symbols
        ]
        if None not in counts and (total := sum(count or 0 for count in counts)) != channels:
            problems.append(f"channel-order={_quote(match[1])} has {total} channels, the rtpmap {channels}")


def _check_size(stream: StreamParameters, problems: list[str]) -> None:
    payload = (stream.frames_per_packet or 0) * stream.frame_bytes
    octets = payload + RTP_HEADER_BYTES
    if octets > _MAX_DATAGRAM_BYTES:
        raise MalformedSdp(f"its packets have {payload} octets of payload, more than UDP can carry")
    if octets > _MAX_FRAME_BYTES:
        problems.append(
            f"its packets have {payload} octets of payload, more than an Ethernet frame can carry: "
            "they arrive as IP fragments, or not at all"
        )


def _reference_clock(section: _Section, session: _Section, problems: list[str]) -> str:
    clocks = section.all("ts-refclk") or session.all("ts-refclk")
    clock = next((one for one in clocks if parse_reference(one).kind == "ptp"), clocks[0] if clocks else "")
    if not clock:
        domain = section.first("clock-domain") or session.first("clock-domain")
        other = f"; a=clock-domain gives {_quote(domain)}" if domain else ""
        problems.append(f"there is no a=ts-refclk line: the clock of its timestamps is unknown{other}")
    elif parse_reference(clock).kind == "unknown":
        problems.append(f"the reference clock a=ts-refclk:{_quote(clock)} is not one of RFC 7273")
    return _quote(clock)


def _media_clock(section: _Section, session: _Section, rate: int, problems: list[str]) -> int | None:
    # Timestamp of media time zero: RFC 7273, 5; sync-time is what RAVENNA called it before.
    deviation = section.first("clock-deviation") or session.first("clock-deviation")
    if deviation is not None and deviation.replace(" ", "") not in ("1/1", "1"):
        problems.append(f"a=clock-deviation:{_quote(deviation)}: its timestamps may drift from their clock")
    values = [*section.all("mediaclk"), *session.all("mediaclk")]
    clock = next((found for value in values if (found := parse_media_clock(value)) is not None), None)
    if clock is None:
        older = section.first("sync-time") or session.first("sync-time")
        if older is not None and older.isascii() and older.isdecimal() and len(older) <= 20:
            problems.append(f"there is no a=mediaclk:direct line: a=sync-time:{older} is used instead")
            return int(older) % 2**32
        problems.append("there is no a=mediaclk:direct line: timestamps have no known relation to a clock")
        return None
    if clock.problem:
        problems.append(clock.problem)
    if clock.rate not in (None, (rate, 1), (1, 1)):
        problems.append(
            f"the media clock has {clock.rate_text}, the stream {rate} Hz: its timestamps may drift from their clock"
        )
    return clock.offset


def _format(section: _Section, formats: list[str], problems: list[str]) -> tuple[int, Encoding, int, int]:
    # Payload type, encoding, rate and channels of the first supported format of the m= line: the sender's default.
    maps = [match for value in section.all("rtpmap") if (match := _RTPMAP.match(value)) is not None]
    # Some devices name one payload type in the m= line and map another.
    maps.sort(key=lambda match: formats.index(match[1]) if match[1] in formats else len(formats))
    supported = next((match for match in maps if match[2].upper() in ENCODINGS), None)
    if supported is not None:
        return _mapped_format(supported, formats, problems)
    payload_type = formats[0] if formats else ""
    if payload_type in ("10", "11"):  # RFC 3551, 6: the static types of L16
        return int(payload_type), Encoding.L16, 44_100, 2 if payload_type == "10" else 1
    unsupported = maps[0][2] if maps else ""
    if not maps and payload_type in _STATIC_TYPES:
        unsupported = f"{_STATIC_TYPES[payload_type]} (payload type {payload_type})"
    if unsupported:
        supported_ones = f"{', '.join(ENCODINGS[:-1])} and {ENCODINGS[-1]}"
        raise MalformedSdp(f"encoding {_quote(unsupported)} is not supported: {supported_ones} are")
    raise MalformedSdp("there is no usable a=rtpmap line, such as a=rtpmap:98 L24/48000/2")


def _mapped_format(match: re.Match[str], formats: list[str], problems: list[str]) -> tuple[int, Encoding, int, int]:
    name, fraction = match[2].upper(), match[4]
    if fraction is not None and fraction.strip(".0"):
        raise MalformedSdp(f"{match[3]}{fraction} Hz is not a whole number")
    if fraction is not None or match[6].strip():
        problems.append(f"a=rtpmap:{_quote(match[0].strip())} is read as {name}/{match[3]}/{match[5] or 1}")
    if match[1] not in formats:
        offered = _quote(" ".join(formats))
        problems.append(f"the m= line offers payload type {offered}, its rtpmap is for {match[1]}")
    rate, channels = int(match[3]), int(match[5] or 1)
    if int(match[1]) > 127:
        raise MalformedSdp(f"payload type {match[1]} is not between 0 and 127")
    if not 8000 <= rate <= 384_000 or not 1 <= channels <= 128:
        raise MalformedSdp(f"{rate} Hz with {channels} channels is out of range")
    return int(match[1]), Encoding(name), rate, channels


def _connection(value: str | None) -> tuple[str, int | None]:
    if value is None:
        raise MalformedSdp("there is no c= line: the address of the stream is unknown")
    words = value.split()
    if len(words) < 3 or words[1].upper() != "IP4":
        raise MalformedSdp(f"the line c={_quote(value)} should read c=IN IP4 ADDRESS/TTL; IPv6 is not supported")
    address, _, rest = words[2].partition("/")
    try:
        number = ipaddress.IPv4Address(address)
    except ValueError:
        raise MalformedSdp(f"{_quote(address)!r} in the c= line is not an IPv4 address") from None
    if number.is_unspecified:
        raise MalformedSdp("c= has the address 0.0.0.0: the stream is on hold, and sent nowhere (RFC 3264, 8.4)")
    if number.is_reserved:
        raise MalformedSdp(f"nothing can be sent to the address {address} of the c= line")
    ttl = rest.split("/")[0]
    return str(number), int(ttl) if _COUNT.match(ttl) and int(ttl) <= 255 else None


def _packet_frames(section: _Section, session: _Section, rate: int, problems: list[str]) -> int | None:
    count = section.first("framecount")
    counted = int(count) if count is not None and _COUNT.match(count) and 0 < int(count) < 65536 else None
    text = section.first("ptime") or session.first("ptime")
    if text is None:
        if counted is None:
            problems.append("there is no a=ptime line: the packet time is taken from the first packet")
        return counted
    try:
        milliseconds = float(text) if len(text) < 40 else math.nan
    except ValueError:
        milliseconds = math.nan
    if not 0.0 < milliseconds < 1000.0:
        problems.append(f"a=ptime:{_quote(text)} is not a packet time in milliseconds")
        return counted
    timed = frames_per_packet(round(milliseconds * 1e6), rate)
    if counted not in (None, timed):
        problems.append(
            f"a=framecount:{counted} and a=ptime:{text}, which is {timed} frames at {rate} Hz, disagree: "
            "the packet time is taken from the packets"
        )
    return counted or timed


def _sources(mode: str, section: _Section, session: _Section, address: str, problems: list[str]) -> list[str]:
    # The senders that are to be received, or not (RFC 4570); the medium's filters count before the session's.
    # Hosts without the name of an address, and groups, cannot be one.
    included = mode == "incl"
    for value in (*section.all("source-filter"), *session.all("source-filter")):
        match = _FILTER.match(value)
        if match is None or match[1].lower() != mode or match[2] not in (address, "*"):
            continue
        sources: list[str] = []
        for text in dict.fromkeys(match[3].split()[:_MAX_SOURCES]):
            try:
                source = ipaddress.IPv4Address(text)
            except ValueError:
                source = None
            if source is None or source.is_multicast or source.is_unspecified or source.is_reserved:
                effect = "it is not used" if included else "it is not excluded"
                problems.append(f"the source {_quote(text)} in a=source-filter is not an IPv4 address: {effect}")
            else:
                sources.append(str(source))
        if included and len(sources) > 1 and not _is_duplicated_by_source(section):
            problems.append(f"a=source-filter names {len(sources)} sources: {sources[0]}, the first of them, is used")
        return sources
    return []
