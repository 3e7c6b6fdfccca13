"""What we write, we read; and any text at all is either understood or refused with a reason."""

from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from phasegraph import Encoding
from phasegraph_aes67 import sdp
from phasegraph_aes67.parameters import StreamParameters

CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
ADDRESSES = st.integers(0x01000000, 0xEFFFFFFF).map(lambda number: str(IPv4Address(number)))
REFCLKS = st.sampled_from(["", "local", "ptp=IEEE1588-2008:00-1D-C1-FF-FE-51-D7-EB:0", "ptp=IEEE1588-2008:traceable"])
PARAMETERS = st.builds(
    StreamParameters,
    address=ADDRESSES,
    port=st.integers(1, 65535),
    encoding=st.sampled_from([Encoding.L16, Encoding.L24]),
    rate=st.sampled_from([8_000, 44_100, 48_000, 88_200, 96_000, 192_000]) | st.integers(8_000, 384_000),
    channels=st.integers(1, 128),
    frames_per_packet=st.integers(1, 2000),
    payload_type=st.integers(0, 127),
    mediaclk_offset=st.none() | st.integers(0, 2**32 - 1),
    ts_refclk=REFCLKS,
    ttl=st.integers(1, 255),
)


def written(parameters: StreamParameters, name: str = "stage") -> str:
    return sdp.write(parameters, name=name, origin="10.0.0.1", session_id=7)


@CALM
@given(PARAMETERS, st.text(max_size=30))
def test_what_is_written_is_read(parameters: StreamParameters, name: str) -> None:
    text = written(parameters, name)
    frames, rate = parameters.frames_per_packet, parameters.rate
    assert frames is not None
    octets = 12 + frames * parameters.frame_bytes
    assume(octets <= 65_507)
    session = sdp.parse(text)
    (stream,) = session.streams
    assert stream == (parameters if parameters.multicast else StreamParameters(**{**fields(parameters), "ttl": None}))
    missing = (parameters.mediaclk_offset is None) + (parameters.ts_refclk == "") + (octets > 1472)
    assert len(session.problems) == missing
    # Without the line that says the number of frames, the packet time must do.
    without = "".join(line for line in text.splitlines(True) if "framecount" not in line)
    if rate % 44_100 and frames * 1000 < 1000 * rate:
        assert sdp.parse(without).streams[0].frames_per_packet == frames


def fields(parameters: StreamParameters) -> dict[str, object]:
    return {name: getattr(parameters, name) for name in parameters.__struct_fields__}


@pytest.mark.parametrize(("rate", "frames"), [(44_100, 48), (44_100, 6), (44_100, 192), (88_200, 96), (176_400, 24)])
def test_the_packet_time_of_44100_hz_alone_says_the_frames(rate: int, frames: int) -> None:
    text = written(StreamParameters(address="239.1.1.1", rate=rate, frames_per_packet=frames))
    text = "".join(line for line in text.splitlines(True) if "framecount" not in line)
    assert sdp.parse(text).streams[0].frames_per_packet == frames


def test_every_line_in_the_order_that_devices_expect() -> None:
    parameters = StreamParameters(
        address="239.69.1.10", frames_per_packet=6, ts_refclk="ptp=IEEE1588-2008:00-1D-C1-FF-FE-51-D7-EB:0", ttl=32
    )
    assert written(parameters, " Stage \r\n left ") == "\r\n".join(
        [
            "v=0",
            "o=- 7 1 IN IP4 10.0.0.1",
            "s=Stage left",
            "c=IN IP4 239.69.1.10/32",
            "t=0 0",
            "m=audio 5004 RTP/AVP 98",
            "a=recvonly",
            "a=rtpmap:98 L24/48000/2",
            "a=ptime:0.125",
            "a=framecount:6",
            "a=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-51-D7-EB:0",
            "a=mediaclk:direct=0",
            "",
        ]
    )


def test_a_unicast_address_has_no_ttl() -> None:
    assert "c=IN IP4 10.0.0.9\r\n" in written(StreamParameters(address="10.0.0.9", frames_per_packet=48, ttl=32))


WORDS = st.sampled_from(
    ["v=0", "s=x", "m=audio 5004 RTP/AVP 97", "m=audio ", "m=", "c=IN IP4 239.1.1.1/32", "c=IN IP4 ", "c=",
     "a=rtpmap:97 L24/48000/2", "a=rtpmap:97 L16/", "a=rtpmap:", "a=ptime:", "a=framecount:", "a=mediaclk:direct=",
     "a=ts-refclk:ptp=", "a=source-filter: incl IN IP4 * ", "RTP/AVP", "97", "²", "٣", "-1", "1e400", "nan",
     "9" * 25, "9" * 4400, "/", ":", " ", "\r", "\n", "\r\n", "\0"]
)  # fmt: skip


@CALM
@given(st.lists(WORDS | st.text(max_size=5), max_size=40).map("".join) | st.text(max_size=200))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for stream in streams_or_reason(text):
        usable(stream)


def streams_or_reason(text: str) -> tuple[StreamParameters, ...]:
    try:
        streams = sdp.parse(text).streams
    except sdp.MalformedSdp as error:
        reason = str(error)
    else:
        assert streams
        return streams
    assert reason
    return ()


def usable(stream: StreamParameters) -> None:
    IPv4Address(stream.address)
    assert 1 <= stream.port <= 65535
    assert 0 <= stream.payload_type <= 127
    assert 8_000 <= stream.rate <= 384_000
    assert 1 <= stream.channels <= 128
    assert stream.frames_per_packet is None or stream.frames_per_packet >= 1
    assert stream.mediaclk_offset is None or 0 <= stream.mediaclk_offset < 2**32
    assert stream.ttl is None or 0 <= stream.ttl <= 255
    assert stream.source is None or IPv4Address(stream.source)
    assert str(stream)


GOOD = (
    "v=0\ns=x\nc=IN IP4 239.1.1.1/32\nm=audio 5004 RTP/AVP 97\na=rtpmap:97 L24/48000/2\na=ptime:1\n"
    "a=framecount:48\na=source-filter: incl IN IP4 * 10.0.0.1\na=mediaclk:direct=0\na=ts-refclk:local\n"
)


@CALM
@given(st.data())
def test_a_good_one_with_anything_put_in_it(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 10))
        text = text[:at] + data.draw(WORDS | st.text(max_size=4)) + text[at + cut :]
    for stream in streams_or_reason(text):
        usable(stream)
