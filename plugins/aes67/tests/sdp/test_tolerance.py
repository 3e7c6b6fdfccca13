"""Session descriptions as devices write them: what is forgiven, what is said about it, and what is refused."""

import pytest

from phasegraph import Encoding
from phasegraph_aes67 import sdp
from phasegraph_aes67.parameters import StreamParameters

GOOD = """\
v=0
o=- 1423986 1423994 IN IP4 169.254.98.63
s=Stage left
c=IN IP4 239.65.45.154/32
t=0 0
m=audio 5004 RTP/AVP 97
a=recvonly
a=rtpmap:97 L24/48000/2
a=ptime:1
a=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-51-D7-EB:0
a=mediaclk:direct=142410716
"""
REFCLK = "ptp=IEEE1588-2008:00-1D-C1-FF-FE-51-D7-EB:0"


def changed(*replacements: tuple[str, str]) -> str:
    text = GOOD
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


def only(text: str) -> StreamParameters:
    (stream,) = sdp.parse(text).streams
    return stream


def test_a_good_one() -> None:
    session = sdp.parse(GOOD)
    assert session.name == "Stage left"
    assert session.problems == ()
    assert session.streams == (
        StreamParameters(
            address="239.65.45.154",
            port=5004,
            encoding=Encoding.L24,
            rate=48_000,
            channels=2,
            frames_per_packet=48,
            payload_type=97,
            mediaclk_offset=142_410_716,
            ts_refclk=REFCLK,
            source=None,
            ttl=32,
        ),
    )


SAME = {
    "CRLF": GOOD.replace("\n", "\r\n"),
    "CR alone": GOOD.replace("\n", "\r"),
    "no newline at the end": GOOD.rstrip(),
    "spaces at the ends of lines": GOOD.replace("\n", " \n"),
    "empty lines and comments": "\n" + GOOD.replace("\n", "\n\n") + "# a comment\nnonsense\n",
    "no o=, s= and t=": "\n".join(line for line in GOOD.splitlines() if line[0] not in "ost"),
    "an origin beyond 32 bits and with a name": changed(("o=- 1423986", "o=Node 99999999999999999999999999")),
    "attributes of the session": changed(("a=ptime:1\n", ""), ("t=0 0\n", "t=0 0\na=ptime:1\n")),
    "c= of the medium, behind its attributes": changed(("c=IN IP4 239.65.45.154/32\n", ""))
    + "c=IN IP4 239.65.45.154/32\n",
    "c= of the medium counts": changed(("c=IN IP4 239.65.45.154/32", "c=IN IP4 239.0.0.9/1"))
    + "c=IN IP4 239.65.45.154/32\n",
    "an encoding in small letters": changed(("L24", "l24")),
    "attribute names in capitals": changed(("a=rtpmap", "a=RTPMAP")),
    "spaces behind the colon": changed(("a=mediaclk:", "a=mediaclk: ")),
    "ports in a row": changed(("audio 5004", "audio 5004/2")),
    "a clock with its own rate": changed(("direct=142410716", "direct=142410716 rate=48000")),
    "RFC 7273's rate": changed(("direct=142410716", "direct=142410716 rate=48000/1")),
    "attributes that are not known": GOOD + "a=keywds:Dante\na=sync-time:0\na=clock-domain:PTPv2 0\na=mid:1\n",
    "a video medium beside it": GOOD + "m=video 30000 RTP/AVP 100\nc=IN IP4 239.9.9.9\na=rtpmap:100 raw/90000\n",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME.keys())
def test_forgiven_without_a_word(text: str) -> None:
    got = sdp.parse(text)
    assert got.streams == sdp.parse(GOOD).streams
    assert got.problems == ()


@pytest.mark.parametrize(
    ("written", "frames"),
    [("1", 48), ("1.000", 48), ("0.12", 6), ("0.125", 6), ("0.250", 12), ("0.33", 16), ("0.333", 16), ("4", 192)],
)
def test_packet_times(written: str, frames: int) -> None:
    assert only(changed(("ptime:1", f"ptime:{written}"))).frames_per_packet == frames


@pytest.mark.parametrize("written", ["1", "1.09", "1.0884", "1.08843537415"])
def test_packet_times_of_44100_hz(written: str) -> None:
    assert only(changed(("ptime:1", f"ptime:{written}"), ("48000", "44100"))).frames_per_packet == 48


@pytest.mark.parametrize(
    ("written", "channels"), [("L24/48000", 1), ("L24/48000/1", 1), ("L24/48000/64", 64), ("L24/48000/2 ", 2)]
)
def test_channels(written: str, channels: int) -> None:
    assert only(changed(("L24/48000/2", written))).channels == channels


@pytest.mark.parametrize(
    ("written", "address", "ttl"),
    [
        ("239.65.45.154", "239.65.45.154", None),
        ("239.65.45.154/0", "239.65.45.154", 0),
        ("239.65.45.154/255", "239.65.45.154", 255),
        ("239.65.45.154/999", "239.65.45.154", None),
        ("239.65.45.154/32/2", "239.65.45.154", 32),
        ("233.254.171.0/32", "233.254.171.0", 32),
        ("192.168.1.20", "192.168.1.20", None),
        ("239.65.45.154/²", "239.65.45.154", None),
    ],
)
def test_connections(written: str, address: str, ttl: int | None) -> None:
    stream = only(changed(("239.65.45.154/32", written)))
    assert (stream.address, stream.ttl) == (address, ttl)


@pytest.mark.parametrize("offset", [0, 2**31, 3_969_992_633, 2**32 - 1])
def test_the_offset_is_unsigned(offset: int) -> None:
    assert only(changed(("142410716", str(offset)))).mediaclk_offset == offset


@pytest.mark.parametrize(
    "refclk",
    [
        "ptp=IEEE1588-2008:00-1D-C1-FF-FE-0B-2F-10:domain-nmbr=0",
        "ptp=IEEE1588-2008:04-5c-6c-ff-fe-0a-53-70:127",
        "ptp=IEEE1588-2008:00-00-00-FF-FE-00-00-00:0",
        "ptp=IEEE1588-2008:00-1D-C1-FF-FE",
        "ptp=IEEE1588-2008:traceable",
        "ptp=traceable",
        "ptp=IEEE1588-2019:00-1D-C1-FF-FE-0B-2F-10:5",
        "ptp=IEEE802.1AS-2011:39-A7-94-FF-FE-07-CB-D0",
        "localmac=01-02-03-04-05-06",
        "ntp=203.0.113.10",
        "ntp=/traceable/",
        "local",
    ],
)
def test_reference_clocks_are_kept_as_they_are(refclk: str) -> None:
    session = sdp.parse(changed((REFCLK, refclk)))
    assert session.streams[0].ts_refclk == refclk
    assert session.problems == ()


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("a=source-filter: incl IN IP4 239.65.45.154 192.168.1.17", "192.168.1.17"),
        ("a=source-filter:incl IN IP4 239.65.45.154 192.168.1.17", "192.168.1.17"),
        ("a=source-filter: incl IN IP4 * 192.168.1.17 192.168.1.18", "192.168.1.17"),
        ("a=source-filter: incl IN * 239.65.45.154 192.168.1.17", "192.168.1.17"),
        ("a=source-filter: incl IN IP4 239.1.1.1 192.168.1.17", None),
        ("a=source-filter: excl IN IP4 239.65.45.154 192.168.1.17", None),
        ("a=source-filter: incl IN IP6 * ff3e::1", None),
        ("a=source-filter: incl", None),
    ],
)
def test_source_filters(line: str, source: str | None) -> None:
    assert only(GOOD + line + "\n").source == source


@pytest.mark.parametrize(
    ("before", "behind", "excluded"),
    [
        ("", "a=source-filter: excl IN IP4 239.65.45.154 192.168.1.17\n", ("192.168.1.17",)),
        ("", "a=source-filter:excl IN IP4 * 192.168.1.17 192.168.1.18\n", ("192.168.1.17", "192.168.1.18")),
        ("a=source-filter: excl IN IP4 * 192.168.1.17\n", "", ("192.168.1.17",)),
        (
            "a=source-filter: excl IN IP4 * 192.168.1.17\n",
            "a=source-filter: excl IN IP4 * 10.0.0.9\n",
            ("10.0.0.9",),
        ),
        ("", "a=source-filter: excl IN IP4 239.1.1.1 192.168.1.17\n", ()),
        ("", "a=source-filter: incl IN IP4 * 192.168.1.17\n", ()),
    ],
)
def test_sources_that_are_excluded(before: str, behind: str, excluded: tuple[str, ...]) -> None:
    session = sdp.parse(GOOD.replace("t=0 0\n", "t=0 0\n" + before) + behind)
    assert session.streams[0].excluded == excluded
    assert session.problems == ()


def test_of_several_reference_clocks_ptp() -> None:
    assert (
        only(changed((f"a=ts-refclk:{REFCLK}", f"a=ts-refclk:ntp=10.0.0.1\na=ts-refclk:{REFCLK}"))).ts_refclk == REFCLK
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (changed(("v=0\n", "")), "v=0"),
        (changed(("rtpmap:97", "rtpmap:96")), "the m= line offers payload type 97, its rtpmap is for 96"),
        (changed(("a=ptime:1\n", "")), "no a=ptime"),
        (changed(("ptime:1", "ptime:soon")), "a=ptime:soon is not a packet time"),
        (changed(("ptime:1", "ptime:-1")), "a=ptime:-1 is not a packet time"),
        (changed(("ptime:1", "ptime:nan")), "a=ptime:nan is not a packet time"),
        (changed(("ptime:1", "ptime:inf")), "a=ptime:inf is not a packet time"),
        (changed(("a=mediaclk:direct=142410716\n", "")), "no a=mediaclk:direct"),
        (changed(("direct=142410716", "sender")), "no a=mediaclk:direct"),
        (changed(("direct=142410716", "IEEE1722=38-D6-6D-8E-D2-78-13-2F")), "no a=mediaclk:direct"),
        (changed((f"a=ts-refclk:{REFCLK}\n", "")), "no a=ts-refclk"),
        (GOOD + "a=source-filter: incl IN IP4 * studio.example.com\n", "studio.example.com"),
        (GOOD + "a=source-filter: excl IN IP4 * studio.example.com\n", "studio.example.com"),
        (GOOD + "a=source-filter: incl IN IP4 * 10.0.0.1 10.0.0.2\n", "2 sources: 10.0.0.1, the first of them"),
        (changed(("direct=142410716", "direct=142410716 rate=1000/1001")), "the media clock has rate=1000/1001"),
        (changed(("direct=142410716", "direct=142410716 rate=96000")), "the media clock has rate=96000"),
        (changed(("a=mediaclk:direct=142410716", "a=sync-time:77")), "a=sync-time:77 is used instead"),
        (
            changed((f"a=ts-refclk:{REFCLK}\n", "a=clock-domain:PTPv2 0\n")),
            "no a=ts-refclk line: the clock of its timestamps is unknown; a=clock-domain gives PTPv2 0",
        ),
        (GOOD + "i=8 channels: a, b, c, d, e, f, g, h\n", "i= names 8 channels, the rtpmap 2"),
        (
            GOOD + "m=audio 5006 RTP/AVP 98\na=rtpmap:98 opus/48000/2\n",
            "one of its streams is not usable: encoding opus is not supported",
        ),
        (GOOD + "m=audio\n", "one of its streams is not usable: the line m=audio should read"),
        (changed(("v=0", "v=1")), "v=1: the only version of SDP is v=0"),
        (changed(("48000/2", "48000.0/2")), "is read as L24/48000/2"),
        (changed(("48000/2", "48000/2 stereo")), "a=rtpmap:97 L24/48000/2 stereo is read as L24/48000/2"),
        (changed(("direct=142410716", "direct=-5")), "is negative: it is read as 4294967291"),
        (changed(("direct=142410716", "direct=0xff")), "is hexadecimal: it is read as 255"),
        (changed(("direct=142410716", "direct")), "without an offset"),
        (GOOD + "a=inactive\n", "a=inactive: the sender states"),
        (changed(("a=recvonly\n", ""), ("t=0 0\n", "t=0 0\na=inactive\n")), "a=inactive: the sender states"),
        (GOOD + "a=clock-deviation:1001/1000\n", "a=clock-deviation:1001/1000: its timestamps may drift"),
        (GOOD + "a=fmtp:97 channel-order=SMPTE2110.(51)\n", "channel-order=51 has 6 channels, the rtpmap 2"),
        (GOOD + "a=fmtp:97 channel-order=SMPTE2110.(M,M,ST)\n", "channel-order=M,M,ST has 4 channels, the rtpmap 2"),
        (changed(("48000/2", "48000/16")), "2304 octets of payload, more than an Ethernet frame can carry"),
        (GOOD + GOOD[GOOD.index("m=") :], "the stream to 239.65.45.154:5004 is described twice"),
        (GOOD + "a=source-filter: incl IN IP4 * 10.0.0.1 239.1.1.1\n", "the source 239.1.1.1 in a=source-filter is"),
        (
            GOOD + "a=ssrc-group:DUP 1 2\na=source-filter: incl IN IP4 * 10.0.0.1 someone\n",
            "the source someone in a=source-filter is not an IPv4 address",
        ),
        (changed((REFCLK, "\x1b[31m")), "\ufffd[31m is not one of RFC 7273"),
    ],
)
def test_forgiven_and_said(text: str, said: str) -> None:
    session = sdp.parse(text)
    assert session.streams[0].address == "239.65.45.154"
    assert len(session.problems) == 1
    assert said in session.problems[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (" \r\n\n", "it is empty"),
        ("hello", "no m=audio line"),
        (changed(("m=audio", "m=video")), "no m=audio line: it describes video"),
        (changed(("audio 5004 RTP/AVP 97", "audio")), "should read m=audio PORT"),
        (changed(("audio 5004", "audio {{ dst_port }}")), "should read m=audio PORT"),
        (changed(("audio 5004", "audio ²")), "should read m=audio PORT"),
        (changed(("audio 5004", "audio 0")), "port 0 is not between"),
        (changed(("audio 5004", "audio 65536")), "port 65536 is not between"),
        (changed(("audio 5004", "audio " + "9" * 5000)), "is not between|should read"),
        (changed(("L24", "opus")), "encoding opus is not supported: L16, L24 and AM824 are"),
        (changed(("L24/48000/2", "L24/48000/0")), "48000 Hz with 0 channels is out of range"),
        (changed(("L24/48000/2", "L24/48000/129")), "with 129 channels is out of range"),
        (changed(("L24/48000/2", "L24/4800/2")), "4800 Hz with 2 channels is out of range"),
        (changed(("L24/48000/2", "L24/" + "4" * 5000)), "out of range|no usable a=rtpmap"),
        (changed(("rtpmap:97", "rtpmap:128")), "payload type 128"),
        (changed(("a=rtpmap:97 L24/48000/2\n", "")), "no usable a=rtpmap line"),
        (changed(("97 L24/48000/2", "L24")), "no usable a=rtpmap line"),
        (
            changed(("AVP 97", "AVP 0"), ("a=rtpmap:97 L24/48000/2\n", "")),
            r"encoding PCMU \(payload type 0\) is not supported",
        ),
        (changed(("c=IN IP4 239.65.45.154/32\n", "")), "no c= line"),
        (changed(("IN IP4 239.65.45.154/32", "IN IP6 ff15::101")), "IPv6 is not supported"),
        (changed(("IN IP4 239.65.45.154/32", "IN IP4")), "should read c=IN IP4"),
        (changed(("239.65.45.154/32", "studio.example.com")), "'studio.example.com' in the c= line is not an IPv4"),
        (GOOD + "a=" + "x" * 70_000, "longer than 64 KiB"),
        (changed(("RTP/AVP", "RTP/SAVP")), "its transport RTP/SAVP is encrypted"),
        (changed(("RTP/AVP", "UDP/TLS/RTP/SAVPF")), "its transport UDP/TLS/RTP/SAVPF is encrypted"),
        (changed(("RTP/AVP", "SRTP/AVP")), "its transport SRTP/AVP is encrypted"),
        (changed(("RTP/AVP", "TCP/RTP/AVP")), "its transport TCP/RTP/AVP is not supported"),
        (changed(("RTP/AVP", "udp")), "its transport udp is not supported"),
        (GOOD + "a=privacy:protocol=RTP; mode=AES-128-CTR\n", "encrypted .a=privacy, IPMX privacy."),
        (GOOD + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\n", "encrypted .a=crypto, SRTP"),
        (changed(("239.65.45.154/32", "0.0.0.0")), "on hold"),
        (changed(("239.65.45.154/32", "255.255.255.255")), "nothing can be sent to"),
        (changed(("48000/2", "48000.5/2")), "48000.5 Hz is not a whole number"),
        (changed(("48000/2", "48000/128"), ("ptime:1", "ptime:20")), "more than UDP can carry"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(sdp.MalformedSdp, match=reason):
        sdp.parse(text)


@pytest.mark.parametrize(("payload_type", "channels"), [(10, 2), (11, 1)])
def test_the_static_payload_types_need_no_rtpmap(payload_type: int, channels: int) -> None:
    stream = only(changed(("AVP 97", f"AVP {payload_type}"), ("a=rtpmap:97 L24/48000/2\n", "")))
    assert (stream.encoding, stream.rate, stream.channels) == (Encoding.L16, 44_100, channels)
    assert stream.payload_type == payload_type


def test_of_several_formats_the_default_of_the_m_line() -> None:
    both = "a=rtpmap:97 L24/48000/2\na=rtpmap:99 L16/96000/2"
    stream = only(changed(("AVP 97", "AVP 99 97"), ("a=rtpmap:97 L24/48000/2", both)))
    assert (stream.payload_type, stream.encoding, stream.rate) == (99, Encoding.L16, 96_000)


def test_legs_of_other_formats_are_no_duplicates() -> None:
    second = GOOD[GOOD.index("m=") :].replace("L24", "L16") + "c=IN IP4 239.66.0.1/32\na=mid:b\n"
    session = sdp.parse(GOOD.replace("t=0 0\n", "t=0 0\na=group:DUP a b\n") + "a=mid:a\n" + second)
    assert session.dup_of == (None, None)
    assert session.problems == ("the legs of a=group:DUP differ: L24 48 kHz 2 ch, and L16 48 kHz 2 ch",)


def test_a_leg_that_is_given_twice_is_used_once() -> None:
    medium = GOOD[GOOD.index("m=") :]
    third = medium + "c=IN IP4 239.66.0.1/32\na=mid:b\n"
    head = GOOD.replace("t=0 0\n", "t=0 0\na=group:DUP a b\n")
    session = sdp.parse(head + "a=mid:a\n" + medium + "a=mid:a\n" + third)
    assert [stream.address for stream in session.streams] == ["239.65.45.154", "239.66.0.1"]
    assert session.dup_of == (None, 0)
    assert session.problems == ("the stream to 239.65.45.154:5004 is described twice: it is used once",)


def test_every_source_of_a_duplicated_stream_is_an_address() -> None:
    sources = "10.0.0.3 someone 10.0.0.4 239.1.1.1 10.0.0.3 0.0.0.0"
    session = sdp.parse(GOOD + f"a=ssrc-group:DUP 1 2\na=source-filter: incl IN IP4 239.65.45.154 {sources}\n")
    assert [stream.source for stream in session.streams] == ["10.0.0.3", "10.0.0.4"]
    assert session.dup_of == (None, 0)
    assert len(session.problems) == 3


def test_charsets() -> None:
    text = GOOD.replace("Stage left", "Bühne").replace("t=0 0\n", "t=0 0\na=charset:ISO-8859-1\n")
    assert sdp.parse(sdp.decode_sdp(text.encode("latin-1"))).name == "Bühne"
    assert sdp.parse(sdp.decode_sdp(text.replace("ISO-8859-1", "utf-8").encode())).name == "Bühne"
    assert sdp.parse(sdp.decode_sdp(text.replace("ISO-8859-1", "rot13").encode())).name == "Bühne"
    assert sdp.parse(sdp.decode_sdp(text.encode("utf-8").replace(b"ISO-8859-1", b"idna"))).name == "Bühne"


def test_nothing_of_a_description_commands_a_terminal() -> None:
    session = sdp.parse(changed(("Stage left", "Stage\x1b]0;x\x07 left\x9b31m")) + "i=\x1b[2Ja\n")
    everything = [
        session.name,
        session.information,
        *session.problems,
        *map(str, session.streams),
        *sdp.explain(session),
    ]
    assert all(line.isprintable() for line in everything)


def test_work_and_words_are_bounded() -> None:
    media = "m=audio 5004 RTP/AVP 97\na=rtpmap:97 L24/48000/2\na=ts-refclk:" + "x" * 500 + "\n"
    many = "v=0\nc=IN IP4 239.1.1.1\n" + "".join(f"{media}a=ptime:{n}\n" for n in range(100))
    session = sdp.parse(many)
    assert len(session.streams) <= 32
    assert len(session.problems) <= 33
    assert max(map(len, session.problems)) < 300
    attributes = GOOD.replace("t=0 0\n", "t=0 0\n" + "a=x\n" * 10_000)
    assert len(sdp.parse(attributes).streams) == 1


def test_of_several_formats_the_first_that_is_supported() -> None:
    stream = only(changed(("AVP 97", "AVP 96 97"), ("a=rtpmap:97", "a=rtpmap:96 opus/48000/2\na=rtpmap:97")))
    assert (stream.payload_type, stream.encoding) == (97, Encoding.L24)


def test_two_legs() -> None:
    second = GOOD[GOOD.index("m=") :].replace("5004", "5006")
    session = sdp.parse(GOOD + "a=mid:primary\n" + second + "c=IN IP4 239.66.0.1/32\na=mid:secondary\n")
    assert [(stream.address, stream.port) for stream in session.streams] == [
        ("239.65.45.154", 5004),
        ("239.66.0.1", 5006),
    ]
    assert session.problems == ()
