"""Which sender is followed: it keeps its stream while it sends, and a restart is followed soon after its silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegraph_aes67.receive.demultiplexer import Demultiplexer
from phasegraph_aes67.receive.leg import CONFIRMED_BY, MOST_RIVALS, SILENCE_NS, SILENCE_PACKETS

CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
BASE = 48 * 1_790_000_000_000
MS = 1_000_000
SILENT = SILENCE_NS // MS
"""Packets of 1 ms in the shortest silence after which another sender is followed."""
HOME, AWAY = 0x0A4D0001, 0x0A4D0002


def packets(*numbers: int) -> list[int]:
    return [BASE + 48 * number for number in numbers]


def changes(stage: Any) -> list[tuple[int, int]]:
    return [(fields["before"], fields["ssrc"]) for name, fields in stage.events if name == "source_changed"]


@pytest.mark.parametrize(
    ("origin", "link_offset_ms", "silence"),
    [
        pytest.param({"source": HOME, "ssrc": 7}, 3, SILENT, id="a restart on the same host"),
        pytest.param(
            {"source": HOME, "port": 9, "ssrc": 7}, 300, SILENT, id="and the link offset does not matter to it"
        ),
        pytest.param({"source": AWAY, "ssrc": 7}, 3, SILENT, id="another host"),
        pytest.param({"source": AWAY, "ssrc": 7}, 300, 300, id="another host waits for what is still to be played"),
        pytest.param({"source": AWAY}, 300, SILENT, id="the same SSRC from another host"),
        pytest.param({"source": HOME, "port": 9}, 3, SILENCE_PACKETS, id="the same stream from another port"),
    ],
)
def test_another_sender_takes_over_after_a_silence(make, origin, link_offset_ms, silence):
    stage = make(link_offset_ns=link_offset_ms * MS)
    stage.come(packets(*range(10)), source=HOME)
    stage.come(packets(*range(10, 10 + silence - 1)), **origin)
    assert stage.events == []
    stage.come(packets(*range(9 + silence, 450)), **origin)
    ((name, event),) = stage.events
    assert name == "source_changed"
    assert (event["before"], event["ssrc"]) == (0x1234, origin.get("ssrc", 0x1234))
    assert (event["sender_before"], event["sender"].partition(":")[0]) == (
        "10.77.0.1:0", "10.77.0.1" if origin["source"] == HOME else "10.77.0.2"
    )  # fmt: skip
    begin = 9 + silence
    assert stage.right(BASE + 48 * begin, 48 * (450 - begin))
    assert stage.read(BASE + 48 * 10, 48 * (begin - 10))[1] == 48 * (begin - 10), "silence until then"


@pytest.mark.parametrize("packet_ms", [1, 40])
def test_five_packet_times_are_a_silence_where_they_are_longer(make, packet_ms):
    size = 8 * packet_ms
    stage = make(rate=8000, frames_per_packet=size, channels=1, link_offset_ns=100 * MS)
    frames = [BASE // size * size + size * number for number in range(1000 // packet_ms)]
    stage.come(frames[:5], late_ns=packet_ms * MS, source=HOME)
    stage.come(frames[5:], late_ns=packet_ms * MS, source=HOME, ssrc=7)
    waited_ms = packet_ms * stage.metrics()["packets_foreign"] + packet_ms
    assert waited_ms == max(100, 5 * packet_ms)


def test_several_rivals_do_not_take_over_together(make):
    stage = make()
    stage.come(packets(*range(10)), source=HOME)
    for number in range(200, 200 + CONFIRMED_BY - 1):
        for host in range(20):
            stage.come(packets(number), source=AWAY + host, ssrc=host)
    assert stage.events == []
    stage.come(packets(200 + CONFIRMED_BY), source=AWAY + 11, ssrc=11)
    assert changes(stage) == [(0x1234, 11)]


def test_a_restart_beside_another_sender_is_followed(make):
    # Another host sends to the group all the time: that neither keeps the restarted sender out nor takes its place.
    stage = make()
    for number in range(300):
        if number < 50:
            stage.come(packets(number), source=HOME)
        for _ in range(2):
            stage.come(packets(number), source=AWAY, ssrc=99)
        if number >= 50:
            stage.come(packets(number), source=HOME, ssrc=7)
    assert changes(stage) == [(0x1234, 7)]
    assert stage.right(BASE + 48 * (49 + SILENT), 48 * (251 - SILENT))


def test_a_stray_packet_after_a_silence_takes_nothing(make):
    stage = make()
    stage.come(packets(*range(10)), source=HOME)
    for number in range(CONFIRMED_BY - 1):
        stage.come(packets(500 + number), source=AWAY, ssrc=7)
    stage.come(packets(*range(600, 700)), source=HOME)
    assert stage.events == []
    assert stage.right(BASE + 48 * 600, 4800)


def test_a_frame_that_is_there_is_not_replaced_by_another_sender(make):
    stage = make(link_offset_ns=90 * MS)
    stage.come(packets(*range(40, 90)), late_ns=-80 * MS, source=HOME)  # far ahead of its media time
    for frame in packets(*range(50, 200)):
        stage.accept(stage.packet(frame, ssrc=7)[:12] + bytes(288), stage.arrival(frame, 60 * MS), source=HOME, port=9)
    assert changes(stage) == [(0x1234, 7)]
    assert stage.right(BASE + 48 * 40, 48 * 50), "what the first sender sent is played to its end"
    assert stage.read(BASE + 48 * 190, 48)[1] == 0


@pytest.mark.parametrize("rivals", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_a_sender_among_thousands_is_followed_when_the_owner_is_gone(make, rivals):
    # A sender that changes address, port and SSRC with every packet neither takes the stream nor hides the restart.
    stage = make()
    random = np.random.default_rng(1)
    stage.come(packets(*range(10)), source=HOME)
    for number in range(10, 10 + SILENT + 40):
        for _ in range(rivals):
            junk: dict[str, Any] = {
                "source": int(random.integers(1 << 32)), "port": int(random.integers(1 << 16)),
                "ssrc": int(random.integers(1 << 32)),
            }  # fmt: skip
            stage.come(packets(number), **junk)
            assert len(stage.leg.rival_senders) <= MOST_RIVALS
        stage.come(packets(number), source=AWAY, ssrc=7)
    assert changes(stage) == [(0x1234, 7)]
    assert stage.right(BASE + 48 * (10 + SILENT), 48 * 40)


def test_a_jump_of_the_numbers_needs_two_packets_in_a_row(make):
    # RFC 3550, A.1. One packet of the same name with other numbers and other sound changes nothing.
    stage = make()
    for number in range(200):
        stage.come(packets(number))
        if number % 10 == 0:
            wrong = stage.packet(BASE + 48 * number, sequence=BASE // 48 + 20_000 + 2 * number)
            stage.accept(wrong[:12] + bytes(288), stage.arrival(BASE + 48 * number, MS))
    assert stage.right(BASE, 48 * 200)
    assert stage.metrics()["packets_unconfirmed"] == 20
    assert stage.metrics()["packets_lost"] == 0


def test_packets_after_an_outage_need_no_second_one(make):
    stage = make()
    stage.come(packets(0, 1, 2, *range(10_000, 10_010)))
    assert stage.right(BASE + 48 * 10_000, 480)
    assert "packets_unconfirmed" not in stage.counted()


def test_events_of_senders_that_take_turns_are_bounded(make):
    stage = make()
    for turn in range(100):
        begin = 150 * turn
        stage.come(packets(*range(begin, begin + 10)), source=HOME + turn, ssrc=turn)
    assert 5 <= len(stage.events) <= 5 + 2


class Wanted:
    """The sender that is to be heard."""

    def __init__(self, stage: Any, restarts: bool) -> None:
        self.stage = stage
        self.restarts = restarts

    def packet(self, number: int, count: int) -> tuple[bytes, int, int]:
        """The packet, and the sender's address and port."""
        second = self.restarts and number >= count // 2
        packet = self.stage.packet(BASE + 48 * number, ssrc=7 if second else 0x1234, sequence=number + 3000 * second)
        return packet, HOME, 5 if second else 4


ATTACKS = st.sampled_from(["bursts", "one to one", "changing SSRC", "changing everything", "junk", "same SSRC"])


@settings(CALM, max_examples=24)
@given(
    attack=ATTACKS,
    per_packet=st.sampled_from([1, 3, 30]),
    restarts=st.booleans(),
    lead_ms=st.sampled_from([0, 2, 50]),
    most=st.sampled_from([1, 40, 2000]),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_no_frame_of_an_attack_is_heard(
    make: Any, batch_of: Any, attack: str, per_packet: int, restarts: bool, lead_ms: int, most: int, seed: int
) -> None:
    """A foreign host beside the wanted sender, whose timestamps fit and may be ahead; no ``source`` is set."""
    stage, singly, count = make(link_offset_ns=20 * MS), make(link_offset_ns=20 * MS), 400
    random = np.random.default_rng(seed)
    wanted = Wanted(stage, restarts)
    arriving: list[tuple[Any, ...]] = []
    for number in range(count):
        at = stage.arrival(BASE + 48 * number, 2 * MS)
        packet, host, port = wanted.packet(number, count)
        arriving.append((packet, at, "239.1.1.1", host, 0, port))
        burst = {"bursts": 40 * per_packet * (number % 40 == 0)}.get(attack, per_packet)
        for n in range(burst):
            ssrc = int(random.integers(1 << 32)) if attack.startswith("changing") else 0x666
            source, port = AWAY, 4
            if attack == "changing everything":
                source, port = (int(part) for part in random.integers(1 << 16, size=2))
            if attack == "same SSRC":
                ssrc = 0x1234
            frame = BASE + 48 * (number + lead_ms + n)
            header = stage.packet(frame, ssrc=ssrc, sequence=number * burst + n)[:12]
            body = bytes([0x7F, 0xFF, 0xFF]) * 96
            junk = random.bytes(int(random.integers(1, 400))) if attack == "junk" else header + body
            arriving.append((junk, at + 1 + n * 900, "239.1.1.1", source, 0, port))
    arriving.sort(key=lambda one: one[1])
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(stage.routes)
    for begin in range(0, len(arriving), most):
        lot = arriving[begin : begin + most]
        batch = batch_of(lot)
        demultiplexer.distribute(batch)
        for row, (_, arrival_ns, _, host, _, port) in enumerate(lot):
            singly.receiver.accept(singly.leg, batch.data[row], int(batch.length[row]), arrival_ns, host, port)
        if most > 1 or begin % 40 == 0:
            assert stage.metrics() == singly.metrics()
    assert stage.metrics() == singly.metrics()
    out, missing = stage.read(BASE, 48 * count)
    index = np.arange(BASE, BASE + 48 * count)[:, None] * 7 + np.arange(2)
    there = stage.receiver.stream.ring.valid(BASE, 48 * count)
    ours = (out == stage.samples(index)).all(axis=1)
    assert not (there & ~ours).any(), "a wrong frame"
    assert missing == (48 * (SILENT - 1) if restarts else 0), "and a restart is followed as soon as without"
