import pytest

from phasegraph.ieee1588 import Announce, DelayReq, DelayResp, Flag, FollowUp, PortIdentity, Sync, encode
from phasegraph_console.verify.capture_reader import read_capture
from phasegraph_console.verify.verify_capture import verify_capture

from .capture_files import EPOCH_NS, datagram, pcap

MASTER, FOLLOWER = PortIdentity(0x1122_33FF_FE44_5566, 1), PortIdentity(0xAABB_CCFF_FEDD_EEFF, 1)
S = 10**9


def announce(number, grandmaster=MASTER.clock, log=1, domain=0):
    quality = {"clock_class": 6, "clock_accuracy": 0x21, "clock_variance": 0, "priority1": 128, "priority2": 128}
    place = {"source": MASTER, "sequence": number, "domain": domain, "log_interval": log}
    return Announce(**place, **quality, grandmaster=grandmaster, utc_offset_s=37, steps_removed=0, time_source=0x20)


def network(
    *, sync_log=-3, sync_s=0.125, announce_s=2.0, announce_log=1, follow=True, answer=True, seconds=20, domain=0
):
    messages = []
    for number in range(round(seconds / sync_s)):
        at = EPOCH_NS + round(number * sync_s * S)
        sync = Sync(source=MASTER, sequence=number, domain=domain, log_interval=sync_log, flags=Flag.TWO_STEP)
        messages.append((at, sync, 319))
        if follow or number % 10:
            after = FollowUp(source=MASTER, sequence=number, domain=domain, log_interval=sync_log, precise_origin_ns=at)
            messages.append((at + 100_000, after, 320))
    for number in range(round(seconds / announce_s)):
        at = EPOCH_NS + round(number * announce_s * S) + 1000
        messages.append((at, announce(number, log=announce_log, domain=domain), 320))
    for number in range(round(seconds)):
        at = EPOCH_NS + number * S + 5000
        messages.append((at, DelayReq(source=FOLLOWER, sequence=number, domain=domain), 319))
        if answer:
            reply = DelayResp(source=MASTER, sequence=number, domain=domain, receive_ns=at, requesting=FOLLOWER)
            messages.append((at + 50_000, reply, 320))
    return sorted(((at, datagram(encode(one), port=port)) for at, one, port in messages), key=lambda pair: pair[0])


def checks_of(packets, index=0):
    subject = verify_capture("x", read_capture(pcap(packets))).subjects[index]
    return {f"{one.standard}: {one.name}": one for one in subject.checks}


def test_a_network_of_aes67_fits():
    checks = checks_of(network(announce_s=4.0, announce_log=2))
    assert {str(one.verdict) for one in checks.values()} <= {"PASS", "-"}
    assert checks["PTP profiles: fits"].measured == "AES67 media"
    assert checks["IEEE 1588: grandmaster"].measured == "11-22-33-FF-FE-44-55-66"


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        ({"sync_s": 0.2}, "IEEE 1588: Sync interval held"),
        ({"announce_s": 3.0}, "IEEE 1588: Announce interval held"),
        ({"follow": False}, "IEEE 1588: Follow_Up"),
        ({"answer": False}, "IEEE 1588: Delay_Resp"),
        ({"sync_s": 4.0, "sync_log": 2, "seconds": 60}, "PTP profiles: fits"),
        ({"announce_s": 0.125, "announce_log": -3, "sync_s": 1.0, "sync_log": 0}, "PTP profiles: fits"),
    ],
)
def test_what_fails(options, failed):
    checks = checks_of(network(**options))
    assert [name for name, one in checks.items() if one.verdict == "FAIL"] == [failed]


@pytest.mark.parametrize(
    ("sync_log", "announce_log", "profiles"),
    [(-3, -2, "ST 2059-2"), (-3, 0, "AES67 media, AES-R16, ST 2059-2"), (0, 1, "IEEE 1588 default, AES67 media")],
)
def test_profiles(sync_log, announce_log, profiles):
    options = {
        "sync_log": sync_log,
        "sync_s": 2.0**sync_log,
        "announce_log": announce_log,
        "announce_s": 2.0**announce_log,
    }
    assert checks_of(network(**options))["PTP profiles: fits"].measured == profiles


def test_another_grandmaster_in_the_domain_fails():
    packets = network(seconds=10)
    for number in range(5):
        other = encode(announce(number, grandmaster=0x99))
        packets.append((EPOCH_NS + 10 * S + number * 2 * S, datagram(other, port=320)))
    checks = checks_of(packets)
    assert checks["IEEE 1588: grandmaster"].verdict == "FAIL"
    assert checks["IEEE 1588: changes of grandmaster"].measured == "1"


def test_domains_are_judged_apart():
    packets = sorted(network() + network(domain=127), key=lambda pair: pair[0])
    verification = verify_capture("x", read_capture(pcap(packets)))
    assert [subject.name for subject in verification.subjects] == ["PTP domain 0", "PTP domain 127"]
