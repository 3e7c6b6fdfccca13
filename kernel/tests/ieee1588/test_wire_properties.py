"""Properties of the wire format: whatever is written reads back, whatever is read is bounded and judged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import (
    Announce,
    DelayReq,
    DelayResp,
    FollowUp,
    MalformedMessage,
    Management,
    Message,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    Signaling,
    Sync,
    Tlv,
    decode,
    encode,
)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


times = st.integers(0, 2**48 * 10**9 - 1)
ports = st.builds(PortIdentity, unsigned(64), unsigned(16))
tlvs = st.lists(st.builds(Tlv, unsigned(16), st.binary(max_size=20).map(lambda value: value * 2)), max_size=5).map(
    tuple
)
header = {
    "source": ports,
    "sequence": unsigned(16),
    "domain": unsigned(8),
    "flags": unsigned(16),
    "correction": signed(64),
    "log_interval": signed(8),
    "major_sdo": unsigned(4),
    "minor_sdo": unsigned(8),
    "minor_version": unsigned(4),
    "type_specific": unsigned(32),
    "control": unsigned(8),
    "tlvs": tlvs,
}
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Sync, **header, origin_ns=times),
    st.builds(DelayReq, **header, origin_ns=times),
    st.builds(PDelayReq, **header, origin_ns=times),
    st.builds(FollowUp, **header, precise_origin_ns=times),
    st.builds(DelayResp, **header, receive_ns=times, requesting=ports),
    st.builds(PDelayResp, **header, request_receipt_ns=times, requesting=ports),
    st.builds(PDelayRespFollowUp, **header, response_origin_ns=times, requesting=ports),
    st.builds(
        Announce,
        **header,
        origin_ns=times,
        utc_offset_s=signed(16),
        priority1=unsigned(8),
        clock_class=unsigned(8),
        clock_accuracy=unsigned(8),
        clock_variance=unsigned(16),
        priority2=unsigned(8),
        grandmaster=unsigned(64),
        steps_removed=unsigned(16),
        time_source=unsigned(8),
    ),
    st.builds(Signaling, **header, target=ports),
    st.builds(Management, **header, target=ports, starting_hops=unsigned(8), hops=unsigned(8), action=unsigned(4)),
)


@given(messages, st.binary(max_size=8))
def test_what_is_written_reads_back(message: Message, padding: bytes) -> None:
    wire = encode(message)
    assert decode(wire + padding) == message


def judge(datagram: bytes) -> None:
    """Decodes or is refused; what decodes has a stable form that decodes to the same."""
    try:
        message = decode(datagram)
    except MalformedMessage:
        return
    wire = encode(message)
    assert len(wire) <= len(datagram)
    assert decode(wire) == message


@given(st.binary(max_size=200))
def test_any_octets_are_judged(datagram: bytes) -> None:
    judge(datagram)


@given(messages, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6), st.integers(0, 40))
def test_damaged_messages_are_judged(message: Message, damage: list[tuple[int, int]], cut: int) -> None:
    # Random octets hardly ever pass the header: this reaches the bodies and TLVs.
    wire = bytearray(encode(message))
    for place, value in damage:
        wire[place % len(wire)] = value
    judge(bytes(wire[: max(0, len(wire) - cut)] if cut % 2 else wire))


@given(st.binary(min_size=2000, max_size=2000).map(lambda tail: bytes.fromhex("0b02ffff") + tail * 33))
def test_huge_datagrams_are_judged(datagram: bytes) -> None:
    judge(datagram[:65_535])
