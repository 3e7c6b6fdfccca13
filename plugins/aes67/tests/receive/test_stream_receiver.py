"""One stream: where packets belong in time, and what is counted."""

import msgspec
import pytest

from phasegraph import ClockState, frame_at, time_of_frame
from phasegraph_aes67.receive.leg import CONFIRMED_BY
from phasegraph_aes67.receive.stream_receiver import EARLY_LIMIT_NS, FAR_OFF

BASE = 48 * 1_790_000_000_000
MS = 1_000_000


def packets(*numbers, size=48):
    return [BASE + size * number for number in numbers]


def test_packets_land_at_their_media_time(stage):
    stage.come(packets(0, 1, 2))
    stream = stage.receiver.stream
    assert (stream.first, stream.head) == (BASE, BASE + 144)
    assert stream.playout_delay_frames == 144
    assert stage.right(BASE, 144)
    assert stage.counted() == {"packets_received": 3}
    assert stage.metrics()["lateness_max_ns"] == 1_100_000


@pytest.mark.parametrize("offset", [1, 2**31, 3_969_992_633, 2**32 - 1])
def test_the_offset_of_the_media_clock(make, offset):
    stage = make(mediaclk_offset=offset)
    stage.come(packets(0, 1, 2))
    assert stage.right(BASE, 144)


def test_a_timestamp_means_the_nearest_time(make):
    # The 32 bits wrap between the second and the third packet.
    wrap = 3 * 2**32 * (BASE // (3 * 2**32))
    stage = make()
    stage.come([wrap - 96, wrap - 48, wrap, wrap + 48])
    assert stage.right(wrap - 96, 192)
    assert stage.counted() == {"packets_received": 4}


@pytest.mark.parametrize("first", [-1, 0, 1])
def test_the_sequence_wraps(stage, first):
    # BASE is no multiple of 65536 packets; the numbers are given so that they wrap here.
    for number in range(4):
        frame = BASE + 48 * number
        stage.accept(stage.packet(frame, sequence=65535 + first + number), stage.arrival(frame, MS))
    assert stage.counted() == {"packets_received": 4}


def test_lost(stage):
    stage.come(packets(0, 1, 4, 5))
    assert stage.counted() == {"packets_received": 4, "packets_lost": 2, "frames_concealed": 96}
    out, missing = stage.read(BASE + 96, 96)
    assert missing == 96
    assert not out.any()
    assert stage.right(BASE, 96)
    assert stage.right(BASE + 192, 96)


def test_duplicate(stage):
    stage.come(packets(0, 1, 1, 0, 2))
    assert stage.counted() == {"packets_received": 5, "packets_duplicate": 2}
    assert stage.right(BASE, 144)


def test_reordered(stage):
    stage.come(packets(0, 2, 1, 3))
    assert stage.counted() == {"packets_received": 4, "packets_reordered": 1}
    assert stage.right(BASE, 192)


def test_the_first_to_come_was_the_second(stage):
    stage.come(packets(1, 0, 2))
    assert stage.receiver.stream.first == BASE
    assert stage.counted() == {"packets_received": 3, "packets_reordered": 1}
    assert stage.right(BASE, 144)


def test_a_sender_that_begins_again_among_numbers_from_before_the_first(stage):
    # Not taken for packets that were overtaken by the first one: their timestamps are others.
    for number in range(60):
        frame = BASE + 48 * number
        sequence = 5000 + number if number < 20 else 4000 + number
        stage.accept(stage.packet(frame, sequence=sequence), stage.arrival(frame, MS))
    strays = CONFIRMED_BY - 1
    assert stage.counted() == {
        "packets_received": 60,
        "packets_duplicate": strays,
        "frames_concealed": 48 * strays,
    }
    assert stage.right(BASE + 48 * (20 + strays), 48 * (40 - strays))


@pytest.mark.parametrize(
    ("late_ns", "played"), [(3 * MS, 0), (3 * MS + 1, 1), (3 * MS + 500_000, 25), (4 * MS - 1, 48)]
)
def test_of_a_late_packet_the_rest_is_played(stage, late_ns, played):
    stage.come(packets(0))
    stage.come(packets(1), late_ns=late_ns)
    stage.come(packets(2))
    concealed = {"frames_concealed": played} if played else {}
    late = {"packets_late": 1} if played else {}
    assert stage.counted() == {"packets_received": 3, **late, **concealed}
    assert stage.read(BASE + 48, 48)[1] == played
    if played < 48:
        assert stage.right(BASE + 48 + played, 48 - played)


def test_a_packet_that_is_wholly_late(stage):
    stage.come(packets(0))
    stage.come(packets(1), late_ns=50 * MS)
    stage.come(packets(2))
    assert stage.counted() == {"packets_received": 3, "packets_late": 1, "frames_concealed": 48}
    assert stage.metrics()["lateness_max_ns"] == 50 * MS


@pytest.mark.parametrize(("early_ns", "counted"), [(EARLY_LIMIT_NS - 1, 0), (EARLY_LIMIT_NS, 1), (10**12, 1)])
def test_from_the_future(stage, early_ns, counted):
    stage.come(packets(0), late_ns=-early_ns)
    assert stage.metrics()["packets_early"] == counted
    assert (stage.receiver.stream.first is None) == bool(counted)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda packet: packet[:11], id="cut in the header"),
        pytest.param(lambda packet: packet[:-1], id="no whole frames"),
        pytest.param(lambda packet: b"\x40" + packet[1:], id="version 1"),
        pytest.param(lambda packet: b"", id="empty"),
    ],
)
def test_malformed(stage, spoil):
    stage.come(packets(0))
    stage.accept(spoil(stage.packet(BASE + 48)), stage.arrival(BASE + 48, MS))
    stage.come(packets(2))
    assert stage.counted() == {
        "packets_received": 2,
        "packets_malformed": 1,
        "packets_lost": 1,
        "frames_concealed": 48,
    }


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(lambda packet: packet[:12], id="no payload"),
        pytest.param(lambda packet: b"\xa0" + packet[1:12] + b"\0\0\0\4", id="padding"),
        pytest.param(lambda packet: packet[:1] + b"\x61" + packet[2:16], id="another payload type"),
    ],
)
@pytest.mark.parametrize("payload_type", [98, None])
def test_packets_without_audio_take_a_number_and_nothing_is_lost(make, packet, payload_type):
    # RFC 3550, 5.1: padding; RFC 6263: keepalives; RFC 4733: events of another payload type.
    stage = make(payload_type=payload_type)
    number = 0
    for frame in packets(*range(100)):
        stage.accept(stage.packet(frame, sequence=number, payload_type=98), stage.arrival(frame, MS))
        number += 1
        if frame % 480 == 0:
            empty = packet(stage.packet(frame + 48, sequence=number, payload_type=98))
            stage.accept(empty, stage.arrival(frame, MS))
            number += 1
    assert stage.counted() == {"packets_received": 110, "packets_not_audio": 10}
    assert stage.right(BASE, 4800)


def test_a_sender_may_change_the_payload_type_where_none_is_described(make):
    stage = make(payload_type=None)
    stage.come(packets(*range(10)), payload_type=98)
    stage.come(packets(*range(10, 300)), payload_type=99)
    assert stage.metrics()["packets_not_audio"] == 99
    assert stage.right(BASE + 48 * 110, 48 * 190)


def test_longer_than_a_packet_may_be(stage):
    import numpy as np

    stage.receiver.accept(stage.leg, np.zeros(1500, np.uint8), -1, stage.arrival(BASE, MS))
    assert stage.counted() == {"packets_malformed": 1}


def test_header_extras_are_skipped(stage):
    stage.come(packets(0))
    for number, (first, between) in enumerate([(0x82, bytes(8)), (0x90, b"\xbe\xde\0\1abcd")], start=1):
        frame = BASE + 48 * number
        stage.accept(stage.packet(frame, first=first, between=between), stage.arrival(frame, MS))
    stage.accept(stage.packet(BASE + 144, first=0xA0) + b"\0\0\3", stage.arrival(BASE + 144, MS))
    assert stage.counted() == {"packets_received": 4}
    assert stage.right(BASE, 192)


def test_another_packet_time_than_expected_is_understood(stage):
    for number, frame in enumerate([BASE, BASE + 6, BASE + 12, BASE + 204]):
        frames = 6 if number < 2 else 192
        stage.accept(stage.packet(frame, frames=frames, sequence=number), stage.arrival(frame, 2 * MS))
    assert stage.right(BASE, 396)
    assert stage.counted() == {"packets_received": 4}


def test_another_sender_is_counted_and_not_heard(stage):
    stage.come(packets(0))
    stage.come(packets(1), ssrc=9)
    stage.come(packets(1))
    assert stage.counted() == {"packets_received": 2, "packets_foreign": 1}
    assert stage.right(BASE, 96)


def test_a_source_that_is_excluded_is_not_heard(make):
    # RFC 4570: a=source-filter: excl.
    stage = make(excluded=("10.0.0.9", "10.0.0.10"))
    for number in range(20):
        stage.come(packets(number), source=0x0A000009)
    assert stage.counted() == {"packets_foreign": 20}
    stage.come(packets(20, 21), source=0x0A000001)
    assert stage.counted() == {"packets_foreign": 20, "packets_received": 2}


def test_two_senders_at_once_do_not_take_turns(stage):
    # The second one is never alone, however long it sends.
    for number in range(20 * CONFIRMED_BY):
        stage.come(packets(number))
        stage.come(packets(number), ssrc=9)
    assert stage.events == []
    assert stage.counted() == {"packets_received": 20 * CONFIRMED_BY, "packets_foreign": 20 * CONFIRMED_BY}


def test_it_is_said_when_timestamps_do_not_fit(stage):
    hour = 3600 * 48_000
    stage.come([frame + hour for frame in packets(*range(FAR_OFF - 1))], late_ns=-3600 * 10**9)
    assert stage.events == []
    stage.come([frame + hour for frame in packets(FAR_OFF - 1)], late_ns=-3600 * 10**9)
    ((name, told),) = stage.events
    assert name == "timestamps_outside_window"
    assert (told["lateness_ns"], told["packets"]) == (-3600 * 10**9, FAR_OFF)
    assert "another PTP domain" in told["reason"]
    assert stage.counted() == {"packets_received": FAR_OFF, "packets_early": FAR_OFF}
    stage.come([frame + hour for frame in packets(*range(FAR_OFF, 5 * FAR_OFF))], late_ns=-3600 * 10**9)
    assert len(stage.events) == 1, "once is enough"


def test_another_packet_time_in_the_middle_of_a_stream(stage):
    stage.come(packets(*range(10)))
    at = BASE + 480
    for number in range(40):
        stage.accept(stage.packet(at, frames=6, sequence=BASE // 48 + 10 + number), stage.arrival(at, MS))
        at += 6
    assert stage.right(BASE, 480 + 240)
    assert stage.counted() == {"packets_received": 50}
    assert stage.events == []


class TestRelative:
    """Timestamps that count only themselves."""

    @pytest.fixture
    def relative(self, make):
        return make(relative=True, mediaclk_offset=None)

    def come(self, relative, timestamps, arrival_frame, **how):
        for number, timestamp in enumerate(timestamps):
            packet = relative.packet(timestamp, sequence=number + timestamps[0], **how)
            relative.accept(packet, relative.arrival(arrival_frame + 48 * number))

    def test_the_first_packet_was_taken_just_now(self, relative):
        self.come(relative, [2**32 - 48, 2**32, 2**32 + 48], BASE)
        stream = relative.receiver.stream
        assert (stream.first, stream.head) == (BASE - 48, BASE + 96)
        assert relative.metrics()["lateness_max_ns"] == MS
        assert relative.counted() == {"packets_received": 3}

    def test_another_sender_begins_again(self, relative):
        self.come(relative, [48 * n for n in range(3)], BASE)
        self.come(relative, [123_456 + 48 * n for n in range(CONFIRMED_BY)], BASE + 4800, ssrc=5)
        assert relative.receiver.stream.head == BASE + 4800 + 48 * (CONFIRMED_BY - 1)

    def test_a_sender_that_ran_away_is_followed_again(self, relative):
        self.come(relative, [48 * n for n in range(3)], BASE)
        self.come(relative, [48 * n for n in range(3, 3 + FAR_OFF + 2)], BASE + 48_000)
        assert [name for name, _ in relative.events] == ["timestamps_outside_window"]
        assert relative.metrics()["packets_late"] == FAR_OFF
        assert relative.receiver.stream.head == frame_at(
            relative.clock.now.reference_at(relative.receiver.last_arrival_ns()), 48_000
        )


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_clock_that_is_set_back_makes_no_figure_negative(stage, count):
    # Sender and receiver follow a new grandmaster that is 70 s behind: media time is passed once more.
    long_ago = msgspec.structs.replace(stage.clock.now, reference_ns=stage.clock.now.reference_ns - 70 * 10**9)
    stage.come(packets(*range(3500, 3500 + count)))
    stage.clock.now = long_ago
    arrived = stage.receiver.last_arrival_ns()
    begin = frame_at(long_ago.reference_at(arrived), 48_000) // 48 * 48
    stage.come(range(begin, begin + 48 * count, 48))
    assert stage.right(begin + 48 * (count * 8 // 10), 48 * (count * 2 // 10))
    assert stage.metrics()["frames_concealed"] >= 0
    stage.clock.now = msgspec.structs.replace(long_ago, reference_ns=long_ago.reference_ns + 70 * 10**9)
    stage.come(packets(*range(3500 + count, 3500 + 2 * count)))
    assert stage.metrics()["frames_concealed"] >= 0


@pytest.mark.parametrize("jump_s", [-3600, -1, 1, 56 * 365 * 86_400])
def test_what_lies_in_the_ring_goes_along_with_a_jump_of_the_clock(stage, jump_s):
    stage.come(packets(*range(10)))
    now, jump = stage.clock.now, 48_000 * jump_s
    stage.clock.now = msgspec.structs.replace(now, reference_ns=now.reference_ns + jump_s * 10**9, discontinuities=1)
    stage.receiver.sync_to_clock()
    stream = stage.receiver.stream
    assert (stream.first, stream.head) == (BASE + jump, BASE + jump + 480)
    out, missing = stage.read(BASE + jump, 480)
    assert missing == 0
    assert out.any(axis=1).all()
    assert stage.read(BASE, 480)[1] == 480, "and is nowhere else"
    for number in range(10, 20):
        frame = BASE + 48 * number + jump
        stage.accept(stage.packet(frame, sequence=BASE // 48 + number), stage.arrival(frame, MS))
    assert stage.right(BASE + jump + 480, 480)
    assert stage.counted() == {"packets_received": 20}


def test_without_a_reference_it_runs_free_until_there_is_one(make, make_clock):
    clock = make_clock()
    found = clock.now
    clock.now = msgspec.structs.replace(found, reference_ns=0, state=ClockState.UNLOCKED)
    stage = make(may_run_free=True, clock=clock)

    def come(*numbers):
        for frame in packets(*numbers):
            at = found.local_at(time_of_frame(frame, 48_000) + MS)
            stage.accept(stage.packet(frame), at)

    come(*range(10))
    assert stage.receiver.media_clock.timing == "free-running"
    clock.now = found
    come(*range(10, 20))
    assert stage.receiver.media_clock.timing == "absolute"
    assert stage.events == [("timing_changed", {"timing": "free-running"}), ("timing_changed", {"timing": "absolute"})]
    assert stage.counted() == {"packets_received": 20}
    assert stage.right(BASE, 960), "and what came before is where it belongs"
