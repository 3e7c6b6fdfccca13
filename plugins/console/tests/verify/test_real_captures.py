"""EBU LIST's verdicts: on its captures, where PHASEGRAPH_VECTORS names their folder, and of figures it published."""

import os
from pathlib import Path

import numpy as np
import pytest

from phasegraph_console.verify.capture_reader import read_capture
from phasegraph_console.verify.verify_capture import verify_capture

from .capture_files import pcap, rtp_packets

FOLDER = Path(os.environ.get("PHASEGRAPH_VECTORS", "")) / "pcap"


def verified(name):
    if not (FOLDER / name).is_file():
        pytest.skip(f"PHASEGRAPH_VECTORS has no pcap/{name}")
    return verify_capture(name, read_capture((FOLDER / name).read_bytes()), compare_audio=True)


def figures(subject):
    return {f"{one.standard}: {one.name}": (str(one.verdict), one.measured) for one in subject.checks}


def test_the_figures_that_list_published_of_a_capture():
    # emb_L24_48k_16ch_pt125us: L24, 48 kHz, 16 channels, 0.125 ms; delta 62 to 104 us; TS-DF 42 us, narrow, compliant.
    delays = np.full(8000, 70_000)
    delays[::100], delays[50::100] = 62_000, 104_000
    packets = rtp_packets(8000, frames=6, channels=16, delay_ns=delays, payload_type=97, ssrc=0)
    (subject,) = verify_capture("x", read_capture(pcap(packets))).subjects
    assert "L24 48 kHz 16 ch, 6 frames a packet" in subject.description
    found = figures(subject)
    assert found["EBU Tech 3337: TS-DF"] == ("PASS", "green: max 42.0 us of 5 windows")
    verdict, measured = found["EBU LIST: delta"]
    assert (verdict, measured.split(":")[0]) == ("PASS", "narrow")
    assert "min 62.0 us" in measured
    assert "max 104.0 us" in measured
    assert found["JT-NM Tested 5.3: delta, by the capture's stamps"][0] == "PASS"


def test_a_stream_of_1_ms():
    (subject,) = verified("ebu-list_l16_48000_2ch_1ms.pcap").subjects
    assert subject.verdict == "PASS"
    assert "payload type 98" in subject.description
    assert "L16 48 kHz 2 ch, 48 frames a packet, 10062 packets" in subject.description
    found = figures(subject)
    assert found["AES67: DSCP"] == ("PASS", "34")
    assert found["ST 2110-10: lost packets"] == ("PASS", "0 of 10062")
    assert found["AES67: packet interval"] == ("PASS", "min 970.7 us, mean 999.98 us, max 1032.5 us")
    assert found["EBU Tech 3337: TS-DF"][1].startswith("green")
    # Its stamps are not of the sender's clock: what can be judged is the spread.
    assert found["JT-NM Tested 5.3: delta"][0] == "-"


def test_two_legs_with_losses_in_both():
    a, b, both, sound = verified("ebu-list_ST2022-7-Audio_dropped_in_both.pcap").subjects
    assert figures(a)["ST 2110-10: lost packets"] == ("FAIL", "11 of 200")
    assert figures(b)["ST 2110-10: lost packets"] == ("FAIL", "5 of 190")
    for leg in (a, b):
        assert figures(leg)["EBU LIST: delta"][1].startswith("narrow")
        assert figures(leg)["EBU Tech 3337: TS-DF"][1].startswith("green")
    assert figures(both)["ST 2022-7: lost by both"] == ("FAIL", "5")
    assert figures(sound)["EBU LIST A2A: delay by timestamps"][1].startswith("0 samples")


def test_ptp_of_a_real_network():
    (subject,) = verified("ebu-list_ptpv2.pcap").subjects
    assert subject.name == "PTP domain 0"
    assert subject.verdict == "PASS"
    assert figures(subject)["IEEE 1588: grandmaster"] == ("PASS", "FF-FF-00-09-BA-F8-21-00")
    assert figures(subject)["PTP profiles: fits"] == ("PASS", "IEEE 1588 default, AES67 media")
