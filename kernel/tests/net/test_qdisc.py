"""What rtnetlink says of queues: recorded octets, hostile ones, and the machine's own."""

from __future__ import annotations

import errno
import struct
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.net.batched.qdisc import Qdisc, parse_qdiscs, read_qdiscs, why_not_scheduled

ROOT = 0xFFFFFFFF
# What Linux 6.18 answered, by its two attributes of interest and the others as they came: statistics, options.
NOQUEUE = (
    "94000000 2400 0200 01000000 d6060000"  # nlmsghdr: 148 octets, RTM_NEWQDISC, NLM_F_MULTI
    "00000000 01000000 00000000 ffffffff 02000000"  # tcmsg: interface 1, handle 0, parent root
    "0c00 0100 6e6f717565756500"  # TCA_KIND "noqueue"
    "05000c0000000000 3000070014000100000000000000000000000000000000001800030000000000000000000000000000000000"
    "00000000 2c000300" + 40 * "00"
)
PFIFO_FAST = (
    "b0000000 2400 0200 01000000 d6060000"
    "00000000 04000000 00000000 ffffffff 02000000"
    "0f00 0100 706669666f5f6661737400 00"  # TCA_KIND "pfifo_fast" and an octet to fill up
    "18000200030000000102020201020000010101010101010105000c00000000003000070014000100de9c1100000000009d280000"
    "000000001800030000000000000000000000000000000000000000002c000300de9c1100000000009d28" + 30 * "00"
)
DONE = "14000000 0300 0200 01000000 d6060000 00000000"


def octets(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts).replace(" ", ""))


def test_a_recorded_answer() -> None:
    assert parse_qdiscs(octets(NOQUEUE, PFIFO_FAST)) == (
        [Qdisc(1, 0, ROOT, "noqueue"), Qdisc(4, 0, ROOT, "pfifo_fast")],
        False,
    )
    assert parse_qdiscs(octets(DONE)) == ([], True)
    assert parse_qdiscs(octets(PFIFO_FAST, DONE)) == ([Qdisc(4, 0, ROOT, "pfifo_fast")], True)


def test_an_error_is_the_systems() -> None:
    refused = struct.pack("=IHHIIi16x", 36, 2, 0, 1, 0, -errno.EPERM)
    with pytest.raises(PermissionError):
        parse_qdiscs(refused)


@given(
    st.binary(max_size=80)
    | st.binary(max_size=60).map(lambda body: struct.pack("=IHHII", 16 + len(body), 36, 2, 1, 0) + body)
)
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    with suppress(OSError):
        for qdisc in parse_qdiscs(data)[0]:
            assert isinstance(qdisc.kind, str)


MQ = [Qdisc(3, 0x80010000, ROOT, "mq"), Qdisc(3, 0, 0x80010001, "fq"), Qdisc(3, 0, 0x80010002, "fq")]


@pytest.mark.parametrize(
    ("qdiscs", "others"),
    [
        pytest.param([Qdisc(3, 0x10000, ROOT, "fq")], "", id="fq"),
        pytest.param([Qdisc(3, 0, ROOT, "fq"), Qdisc(3, 0xFFFF0000, 0xFFFFFFF1, "clsact")], "", id="and a filter"),
        pytest.param(MQ, "", id="one for each queue of the hardware"),
        pytest.param([*MQ, Qdisc(3, 0, 0x80010003, "fq_codel")], "fq_codel", id="one of which is another"),
        pytest.param([Qdisc(3, 0, ROOT, "mq"), Qdisc(3, 0, 1, "fq"), Qdisc(3, 0, 2, "fq")], "", id="mq of the system"),
        pytest.param(MQ[:1], "none", id="mq without any"),
        pytest.param([Qdisc(3, 0, ROOT, "pfifo_fast")], "pfifo_fast", id="another"),
        pytest.param([Qdisc(3, 0x10000, ROOT, "htb"), Qdisc(3, 0, 0x10001, "fq")], "htb", id="below another"),
        pytest.param([Qdisc(4, 0, ROOT, "fq"), Qdisc(3, 0, ROOT, "noqueue")], "noqueue", id="of another interface"),
        pytest.param([Qdisc(4, 0, ROOT, "fq")], "none", id="none"),
    ],
)
def test_who_holds_packets(qdiscs: list[Qdisc], others: str) -> None:
    reason = why_not_scheduled(qdiscs, 3, "eth3")
    if others:
        assert reason == f"the queue of eth3 is {others}, not fq: tc qdisc replace dev eth3 root fq"
    else:
        assert reason == ""


@pytest.mark.skipif(sys.platform != "linux", reason="rtnetlink is Linux's")
def test_the_loopback_interface_has_one_at_the_root() -> None:
    assert [qdisc.kind for qdisc in read_qdiscs() if (qdisc.interface, qdisc.parent) == (1, ROOT)] != []
