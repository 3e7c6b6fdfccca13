from pathlib import Path

import numpy as np
import pytest

from phasegraph_console.verify.capture_reader import read_capture
from phasegraph_console.verify.rtp_streams import find_streams
from phasegraph_console.verify.stream_checks import tsdf_us
from phasegraph_console.verify.verdicts import CheckVerdict
from phasegraph_console.verify.verify_capture import verify_capture

from .capture_files import EPOCH_NS, pcap, pcapng, rtp_packets

VECTORS = Path(__file__).parent / "vectors"


def check(packets, name, standard=None, **options):
    verification = verify_capture("x", read_capture(pcap(packets)), **options)
    found = [one for one in verification.subjects[0].checks if one.name.startswith(name)]
    return next(one for one in found if standard in (None, one.standard))


MS = 1_000_000


@pytest.mark.parametrize(
    ("frames", "delay_us", "grade", "passed"),
    [
        (48, [1000, 2999], "narrow", True),
        (48, [1000, 3001], "wide", True),
        (48, [1000, 19_999], "wide", True),
        (48, [1000, 20_001], "not compliant", False),
        (48, [2501, 2501], "narrow", True),
        (48, [2600, 3100], "not compliant", False),  # the mean
        (48, [-1, 2000], "not compliant", False),
        (6, [130, 374], "narrow", True),
        (6, [130, 376], "wide", True),
        (6, [376, 376], "not compliant", False),
        (6, [130, 2501], "not compliant", False),
    ],
)
def test_limits_of_ebu_list(frames, delay_us, grade, passed):
    delays = np.full(2000, delay_us[0] * 1000)
    delays[:: 20 if grade != "not compliant" else 2] = delay_us[1] * 1000
    found = check(rtp_packets(frames=frames, delay_ns=delays), "delta", "EBU LIST")
    assert found.measured.startswith(grade)
    assert (found.verdict is CheckVerdict.PASS) is passed


@pytest.mark.parametrize(
    ("frames", "delay_us", "verdict"),
    [(6, 999, "PASS"), (6, 1001, "FAIL"), (6, -1, "FAIL"), (48, 999, "PASS"), (48, 1100, "-"), (48, -1, "FAIL")],
)
def test_limits_of_jt_nm(frames, delay_us, verdict):
    assert check(rtp_packets(frames=frames, delay_ns=delay_us * 1000), "delta", "JT-NM Tested 5.3").verdict == verdict


@pytest.mark.parametrize(
    ("jitter_us", "colour"), [(0, "green"), (124, "green"), (126, "orange"), (2124, "orange"), (2126, "red")]
)
def test_limits_of_tsdf(jitter_us, colour):
    delays = np.full(4000, 200_000)
    delays[1000::100] += jitter_us * 1000
    found = check(rtp_packets(4000, frames=6, delay_ns=delays), "TS-DF")
    assert found.measured.startswith(colour)
    assert (found.verdict is CheckVerdict.FAIL) is (colour == "red")


def test_tsdf_is_within_windows_of_200_ms():
    # A slow drift is no jitter within a window: EBU Tech 3337.
    delays = np.linspace(0, 10 * MS, 4000).astype(int) + MS
    (stream,) = find_streams(read_capture(pcap(rtp_packets(4000, delay_ns=delays))).datagrams)
    factors = tsdf_us(stream)
    assert len(factors) in (20, 21)
    assert factors.max() == pytest.approx(200 * 10_000 / 4000, rel=0.05)


@pytest.mark.parametrize(
    ("options", "name", "verdict", "word"),
    [
        ({"lost": (5, 6, 100)}, "lost packets", "FAIL", "3 of 2000"),
        ({"sequence": 65_000}, "lost packets", "PASS", "0 of 2000"),
        ({"payload_type": 10}, "payload type", "FAIL", "10"),
        ({"channels": 9}, "conformance level", "FAIL", "9 channels"),
        ({"channels": 8}, "conformance level", "PASS", "level A"),
        ({"channels": 64, "frames": 6}, "conformance level", "PASS", "level C"),
        ({"channels": 4, "rate": 96_000, "frames": 96, "first_frame": EPOCH_NS // 10**9 * 96_000}, "conformance level",
         "PASS", "level AX"),
        ({"frames": 47}, "packet time", "FAIL", "979.2"),
        ({"frames": 12}, "packet time", "PASS", "250"),
        ({"channels": 11}, "payload size", "FAIL", "1584"),
        ({"sample_bytes": 2}, "payload", "PASS", "L16, 2 channels"),
        ({}, "DSCP", "PASS", "34"),
        ({}, "timestamps", "PASS", "0 jumps"),
    ],
)  # fmt: skip
def test_other_checks(options, name, verdict, word):
    found = check(rtp_packets(**options), name)
    assert (found.verdict, word in found.measured) == (verdict, True), found


def test_packets_out_of_order_and_twice_are_not_lost():
    packets = rtp_packets(100)
    packets[10], packets[11] = (packets[10][0], packets[11][1]), (packets[11][0], packets[10][1])
    packets.insert(50, packets[49])
    assert check(packets, "lost").measured == "0 of 101"
    assert check(packets, "reordered").measured == "1, 1"


def test_timestamps_that_jump_are_counted():
    packets = rtp_packets(100) + rtp_packets(100, sequence=100, first_frame=EPOCH_NS // 10**9 * 48_000 + 5000)
    assert check(packets, "timestamps").measured == "1 jumps"


def test_a_media_clock_with_an_offset_is_judged_by_its_spread():
    packets = rtp_packets(first_frame=EPOCH_NS // 10**9 * 48_000 + 10**9)
    moved = [(stamp - 10**9 * 10**9 // 48_000, packet) for stamp, packet in packets]
    assert check(moved, "delta", "JT-NM Tested 5.3").verdict is CheckVerdict.NOTE
    assert check(moved, "spread of delta").measured.startswith("narrow: min 0.0 us, mean 0.0 us")


def test_the_comments_of_the_flight_recorder_relate_stamps_to_the_clock():
    ahead = 37 * 10**9 + 12_345
    packets = [(stamp - ahead, packet) for stamp, packet in rtp_packets(delay_ns=150_000, frames=6)]
    comment = f"clock house: locked, timescale ptp, reference = stamp + {ahead} ns, rate +0.000 ppb, sigma 5 ns"
    verification = verify_capture("x", read_capture(pcapng(packets, comments=[(5, comment)])))
    delta = next(one for one in verification.subjects[0].checks if one.standard == "JT-NM Tested 5.3")
    assert delta.name == "delta, by clock house of the run"
    assert "mean 150.0 us" in delta.measured


def test_two_legs_are_judged_together():
    a = rtp_packets(1000, lost=(5, 6, 700), destination="239.1.2.3")
    b = rtp_packets(1000, lost=(6, 900), destination="239.2.2.3", delay_ns=1_105_000)
    subject = verify_capture("x", read_capture(pcap(sorted(a + b)))).subjects[2]
    assert subject.name == "239.1.2.3:5004 and 239.2.2.3:5004"
    assert {one.name: (str(one.verdict), one.measured) for one in subject.checks} == {
        "lost by both": ("FAIL", "1"),
        "numbers": ("PASS", "0 apart"),
        "path difference": ("PASS", "5.0 to 5.0 us"),
    }


@pytest.mark.parametrize("delay", [0, 1, 48, 1234, -777])
def test_the_delay_between_two_streams_to_the_sample(delay):
    random = np.random.default_rng(3)
    sound = random.uniform(-0.5, 0.5, 60_000)
    begin = 5000
    one = rtp_packets(1000, sound=sound[begin:], destination="239.1.1.1")
    other = rtp_packets(1000, sound=sound[begin - delay :], destination="239.1.1.2", ssrc=8)
    verification = verify_capture("x", read_capture(pcap(sorted(one + other))), compare_audio=True)
    checks = {one.name: one for one in verification.subjects[-1].checks}
    assert checks["same sound"].verdict is CheckVerdict.PASS
    assert checks["delay by timestamps"].measured.startswith(f"{delay} samples")


def test_two_sounds_have_no_delay():
    random = np.random.default_rng(3)
    one, other = (
        rtp_packets(500, sound=random.uniform(-0.5, 0.5, 24_000), destination=f"239.1.1.{number}", ssrc=number)
        for number in (1, 2)
    )
    subject = verify_capture("x", read_capture(pcap(sorted(one + other))), compare_audio=True).subjects[-1]
    assert [check.verdict for check in subject.checks] == [CheckVerdict.FAIL]
