"""Session descriptions: tolerant in, strict out (RFC 8866, RFC 7273, RFC 4570).

What devices leave out or misspell is taken as it is meant and said in ``problems``; what makes a stream unusable
is a `MalformedSdp`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import msgspec

from phasegraph import Encoding

from .parameters import StreamParameters, frames_per_packet

MAX_SDP_BYTES = 64 << 10
# Numbers are ASCII digits, and not so many that reading them costs anything.
_RTPMAP = re.compile(r"(\d{1,9})\s+([\w-]+)/(\d{1,9})(?:/(\d{1,9}))?(?!\d)", re.ASCII)
_DIRECT = re.compile(r"direct=(\d{1,20})", re.ASCII)
_PORT = re.compile(r"(\d{1,9})(/\d+)?\Z", re.ASCII)
_COUNT = re.compile(r"\d{1,5}\Z", re.ASCII)
_FILTER = re.compile(r"\s*(incl|excl)\s+IN\s+IP4\s+(\S+)\s+(.+)")


class MalformedSdp(ValueError):
    """A session description that no stream can be received from; the message says why."""


class Session(msgspec.Struct, frozen=True):
    """A session description, as far as it concerns audio over RTP."""

    name: str
    streams: tuple[StreamParameters, ...]
    problems: tuple[str, ...] = ()
    """What is wrong or missing without making the streams unusable."""


class _Section:
    """Lines of the session, or of one medium."""

    def __init__(self, media: str = "") -> None:
        self.media = media
        self.connection: str | None = None
        self.attributes: list[tuple[str, str]] = []

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


def parse(text: str) -> Session:
    """Read a session description. Raises MalformedSdp with the reason."""
    if len(text) > MAX_SDP_BYTES:
        raise MalformedSdp(f"longer than {MAX_SDP_BYTES >> 10} KiB: this is not a session description")
    session = _Section()
    sections = [session]
    name = ""
    version = False
    for kind, value in _lines(text):
        if kind == "m":
            sections.append(_Section(value))
        elif kind == "c":
            sections[-1].connection = value
        elif kind == "a":
            key, _, argument = value.partition(":")
            sections[-1].attributes.append((key.strip().lower(), argument.strip()))
        elif kind == "s":
            name = value
        elif kind == "v":
            version = True
    problems = [] if version else ["the first line should be v=0"]
    audio = [section for section in sections[1:] if section.media.startswith("audio")]
    if not audio:
        raise MalformedSdp("there is no m=audio line" if text.strip() else "it is empty")
    streams = []
    reasons = []
    for section in audio:
        try:
            streams.append(_stream(section, session, problems))
        except MalformedSdp as error:
            reasons.append(str(error))
    if not streams:
        raise MalformedSdp(reasons[0])
    problems += [f"one of its streams is not usable: {reason}" for reason in reasons]
    return Session(name, tuple(streams), tuple(problems))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace("\r", "\n").split("\n"):
        kind, equals, value = line.strip().partition("=")
        if equals and len(kind) == 1:
            yield kind, value.strip()


def _stream(section: _Section, session: _Section, problems: list[str]) -> StreamParameters:
    words = section.media.split()
    match = _PORT.match(words[1]) if len(words) >= 4 else None
    if match is None:
        raise MalformedSdp(f"the line m={section.media} should read m=audio PORT RTP/AVP PAYLOAD-TYPE")
    port = int(match[1])
    if not 1 <= port <= 65535:
        raise MalformedSdp(f"port {port} is not between 1 and 65535")
    payload_type, encoding, rate, channels = _rtpmap(section, words[3:], problems)
    address, ttl = _connection(section.connection or session.connection)
    direct = _mediaclk(section, session)
    refclk = section.first("ts-refclk") or session.first("ts-refclk") or ""
    if direct is None:
        problems.append("there is no a=mediaclk:direct line: timestamps have no known relation to a clock")
    if not refclk:
        problems.append("there is no a=ts-refclk line: it is not said which clock the timestamps count")
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
        ttl=ttl,
    )


def _rtpmap(section: _Section, formats: list[str], problems: list[str]) -> tuple[int, Encoding, int, int]:
    unsupported = None
    for value in section.all("rtpmap"):
        match = _RTPMAP.match(value)
        if match is None:
            continue
        name = match[2].upper()
        if name not in ("L16", "L24"):
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
    if unsupported is not None:
        raise MalformedSdp(f"encoding {unsupported} is not supported: L16 and L24 are")
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


def _mediaclk(section: _Section, session: _Section) -> int | None:
    # Unsigned 32-bit: Dante sends values above 2**31.
    for value in (*section.all("mediaclk"), *session.all("mediaclk")):
        match = _DIRECT.search(value)
        if match is not None:
            return int(match[1]) % 2**32
    return None


def _packet_frames(section: _Section, session: _Section, rate: int, problems: list[str]) -> int | None:
    count = section.first("framecount")
    if count is not None and _COUNT.match(count) and 0 < int(count) < 65536:
        return int(count)
    text = section.first("ptime") or session.first("ptime")
    if text is None:
        problems.append("there is no a=ptime line: the first packet tells the packet time")
        return None
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = 0.0
    if not 0.0 < milliseconds < 1000.0:
        problems.append(f"a=ptime:{text} is not a packet time in milliseconds")
        return None
    return frames_per_packet(round(milliseconds * 1e6), rate)


def _source(section: _Section, session: _Section, address: str, problems: list[str]) -> str | None:
    for value in (*section.all("source-filter"), *session.all("source-filter")):
        match = _FILTER.match(value)
        if match is not None and match[1] == "incl" and match[2] in (address, "*"):
            source = match[3].split()[0]
            try:
                return str(ipaddress.IPv4Address(source))
            except ValueError:
                problems.append(f"the source {source} in a=source-filter is not an IPv4 address: any source is heard")
    return None


def write(parameters: StreamParameters, *, name: str, origin: str, session_id: int, version: int = 1) -> str:
    """The session description of a stream that we send.

    Order of lines as Dante devices expect it; ``origin`` is the sender's IPv4 address.
    """
    frames = parameters.frames_per_packet
    assert frames is not None, "a sender knows its packet time"
    milliseconds = f"{frames * 1000 / parameters.rate:.6f}".rstrip("0").rstrip(".")
    ttl = f"/{parameters.ttl}" if parameters.multicast and parameters.ttl else ""
    title = " ".join(name.split()) or "Phasegraph"
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN IP4 {origin}",
        f"s={title}",
        f"c=IN IP4 {parameters.address}{ttl}",
        "t=0 0",
        f"m=audio {parameters.port} RTP/AVP {parameters.payload_type}",
        "a=recvonly",
        f"a=rtpmap:{parameters.payload_type} {parameters.encoding}/{parameters.rate}/{parameters.channels}",
        f"a=ptime:{milliseconds}",
        f"a=framecount:{frames}",
    ]
    if parameters.ts_refclk:
        lines.append(f"a=ts-refclk:{parameters.ts_refclk}")
    if parameters.mediaclk_offset is not None:
        lines.append(f"a=mediaclk:direct={parameters.mediaclk_offset}")
    return "\r\n".join(lines) + "\r\n"
