import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_console.verify.capture_reader import CaptureUnreadable, read_capture
from phasegraph_console.verify.verify_capture import verify_capture

from .capture_files import EPOCH_NS, datagram, ethernet, pcap, pcapng, rtp_packets

PACKETS = [(EPOCH_NS + 123_456_789 + 1000 * number, datagram(bytes([number] * 30))) for number in range(3)]
FORMS = {
    "pcap": pcap(PACKETS),
    "pcap, big-endian": pcap(PACKETS, order=">"),
    "pcap, us": pcap(PACKETS, ns=False),
    "pcap, VLAN": pcap(PACKETS, wrap=lambda packet: ethernet(packet, vlan=True)),
    "pcap, raw": pcap(PACKETS, link=101, wrap=bytes),
    "pcap, cooked": pcap(PACKETS, link=113, wrap=lambda packet: bytes(14) + b"\x08\x00" + packet),
    "pcapng": pcapng(PACKETS),
    "pcapng, big-endian": pcapng(PACKETS, order=">"),
    "pcapng, us": pcapng(PACKETS, resolution=6),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form):
    capture = read_capture(FORMS[form])
    assert [one.payload for one in capture.datagrams] == [bytes([number] * 30) for number in range(3)]
    exact = "us" not in form
    assert capture.ns_stamps is exact
    for one, (stamp, _) in zip(capture.datagrams, PACKETS, strict=True):
        assert one.stamp_ns == (stamp if exact else stamp // 1000 * 1000)
        assert (one.source, one.destination, one.destination_port) == ("10.0.0.1", "239.1.2.3", 5004)
        assert (one.dscp, one.ttl, one.length) == (34, 15, 30)


def test_fragments_and_other_protocols_are_left_out():
    whole = datagram(bytes(20))
    fragment = whole[:6] + b"\x20\x00" + whole[8:]
    tcp = whole[:9] + b"\x06" + whole[10:]
    arp = bytes(12) + b"\x08\x06" + bytes(30)
    content = pcap([(1, ethernet(fragment)), (2, ethernet(tcp)), (3, arp), (4, ethernet(whole))], wrap=bytes)
    capture = read_capture(content)
    assert (capture.packets, capture.fragments, len(capture.datagrams)) == (4, 1, 1)


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_a_file_that_is_cut_gives_what_is_whole(form):
    content = FORMS[form]
    for cut in range(1, 40):
        capture = read_capture(content[:-cut])
        assert len(capture.datagrams) == 2
        assert capture.notes


@pytest.mark.parametrize("content", [b"", b"abc", b"schema = 1\n", b"\xd4\xc3\xb2\xa1"])
def test_what_is_no_capture_is_refused(content):
    with pytest.raises(CaptureUnreadable):
        read_capture(content)


@given(st.sampled_from(sorted(FORMS)), st.data())
def test_whatever_is_in_a_file_it_is_read_to_an_end(form, data):
    content = bytearray(FORMS[form])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CaptureUnreadable):
        read_capture(bytes(content))


@given(st.lists(st.binary(min_size=12, max_size=60), min_size=20, max_size=40))
def test_whatever_is_in_datagrams_they_are_judged(payloads):
    packets = [(EPOCH_NS + number, datagram(b"\x80" + payload)) for number, payload in enumerate(payloads)]
    heads = [
        (EPOCH_NS + number, datagram(b"\x80\x60" + bytes(10) + payload)) for number, payload in enumerate(payloads)
    ]
    verify_capture("x", read_capture(pcap(packets + heads)), compare_audio=True)


def test_stamps_that_do_not_move_are_judged():
    packets = [(EPOCH_NS, packet) for _, packet in rtp_packets(50)]
    verify_capture("x", read_capture(pcap(packets)), compare_audio=True)


def test_stamps_in_powers_of_two():
    content = pcapng([(0, PACKETS[0][1])]).replace(b"\x09\x00\x01\x00\x09", b"\x09\x00\x01\x00\x94")
    at = content.index(b"\x06\x00\x00\x00", 60) + 12
    content = content[:at] + (0).to_bytes(4, "little") + (3 << 19).to_bytes(4, "little") + content[at + 8 :]
    assert read_capture(content).datagrams[0].stamp_ns == 1_500_000_000
