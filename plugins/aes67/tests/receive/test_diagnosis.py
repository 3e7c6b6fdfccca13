"""Why packets that come are not heard, as it is told."""

import msgspec
import pytest

from phasegraph import ClockState, Encoding
from phasegraph_aes67.receive.diagnosis import TimestampProgress
from phasegraph_aes67.receive.health import NumbersWatch, RivalWatch
from phasegraph_aes67.receive.leg import CONFIRMED_BY
from phasegraph_aes67.receive.stream_receiver import FAR_OFF

BASE = 48 * 1_790_000_000_000
MS = 1_000_000


def packets(*numbers):
    return [BASE + 48 * number for number in numbers]


@pytest.mark.parametrize(
    ("described", "sent", "late_ns", "said"),
    [
        pytest.param(0, 0, 7 * MS, "7 ms after their media time, and the link offset is 3 ms", id="link offset"),
        pytest.param(0, 37 * 48_000, MS, "UTC and the other TAI", id="UTC"),
        pytest.param(0, -37 * 48_000, MS, "UTC and the other TAI", id="TAI"),
        pytest.param(
            3_969_992_633, 0, MS, "fit the mediaclk offset 0, and the description says 3969992633", id="offset that was"
        ),
        pytest.param(5, 77_000_000, MS, "another PTP domain", id="another offset"),
        pytest.param(0, 2**31 - 48_000, MS, "another PTP domain", id="at random"),
    ],
)
def test_why_timestamps_do_not_fit(make, described, sent, late_ns, said):
    stage, sender = make(mediaclk_offset=described), make(mediaclk_offset=sent % 2**32)
    for frame in packets(*range(FAR_OFF)):
        stage.accept(sender.packet(frame), stage.arrival(frame, late_ns))
    ((_, told),) = stage.events
    assert said in told["reason"]


def test_a_clock_without_a_reference_is_why(make, make_clock):
    clock = make_clock()
    clock.now = msgspec.structs.replace(clock.now, reference_ns=0, state=ClockState.UNLOCKED)
    stage = make(clock=clock)
    for frame in packets(*range(FAR_OFF)):
        stage.accept(stage.packet(frame), stage.clock.now.local_ns + MS)
    assert [told["reason"] for _, told in stage.events] == ["the clock has no reference yet"]


@pytest.mark.parametrize(
    ("sent", "described", "said"),
    [
        (
            {"channels": 8},
            {"channels": 2},
            "1152 bytes are 192 frames of L24 with 2 channels, but timestamps go on by 48",
        ),
        ({"channels": 2}, {"channels": 8}, "L16 with 3 channels or L24 with 2 channels would fit"),
        ({"encoding": Encoding.L16, "channels": 1}, {"channels": 1}, "96 bytes are 32 frames of L24 with 1 channel"),
    ],
)
def test_packets_of_another_format_are_said_and_not_played(make, sent, described, said):
    stage, sender = make(**described), make(**sent)
    for frame in packets(*range(30)):
        stage.accept(sender.packet(frame), stage.arrival(frame, MS))
    assert [name for name, _ in stage.events] == ["format_differs"]
    assert said in stage.events[0][1]["reason"]
    assert stage.counted()["packets_malformed"] == 30 - CONFIRMED_BY
    assert stage.read(BASE + 48 * 20, 48 * 10)[1] == 480, "silence, not noise"
    stage.come(packets(*range(30, 40)))
    assert stage.right(BASE + 48 * 30, 480), "and heard again once it is what is described"


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        (96_000, "go on at 96 kHz, and 48 kHz is described"),
        (24_000, "go on at 24 kHz, and 48 kHz is described"),
        (0, "the timestamps stand still"),
        (48_000, "another PTP domain"),
    ],
)
def test_a_sender_of_another_rate(make, rate, reason):
    # Packets of 1 ms, whose timestamps were right until they went on at another rate.
    stage = make()
    stage.come(packets(*range(10)))
    frames = rate // 1000 or 48
    for number in range(700):
        frame = BASE + 48 * 10 + 77 * 48_000_000 + rate // 1000 * number
        packet = stage.packet(frame, frames=frames, sequence=BASE // 48 + 10 + number)
        stage.accept(packet, stage.arrival(BASE + 48 * (10 + number), MS + number % 7 * MS))
    assert {name for name, _ in stage.events} == {"timestamps_outside_window"}
    assert len(stage.events) <= 2
    assert reason in stage.events[-1][1]["reason"]


@pytest.mark.parametrize(("sent", "described"), [(48_000, 44_100), (44_100, 48_000), (96_000, 48_000)])
@pytest.mark.slow
def test_another_rate_of_timestamps_that_count_only_themselves(make, sent, described):
    # They are followed again and again, so no packet is outside the window for long.
    stage = make(rate=described, relative=True)
    frames = 192
    for number in range(sent * 5 // frames):
        at_ns = stage.clock.now.local_ns + number * frames * 10**9 // sent
        stage.accept(stage.packet(7 + frames * number, frames=frames, sequence=number), at_ns)
    reason = f"go on at {sent / 1000:g} kHz, and {described / 1000:g} kHz is described: set the rate"
    assert reason in stage.events[-1][1]["reason"]
    assert not any("jumped" in str(told.get("reason")) for _, told in stage.events)
    stage.metrics()
    assert reason in stage.receiver.figures.latest.legs[0].trouble
    began_ns, first = at_ns, number + 1
    for number in range(described * 70 // frames):
        at_ns = began_ns + number * frames * 10**9 // described
        packet = stage.packet(99_000_000 + frames * number, frames=frames, sequence=first + number)
        stage.accept(packet, at_ns)
    stage.metrics()
    assert stage.receiver.figures.latest.legs[0].trouble == "", "it sends what is described by now"


def test_a_first_packet_that_was_held_up_is_no_jump(make):
    stage = make(relative=True)
    for number in range(200):
        late_ms = 300 - number if number < 20 else 1
        stage.accept(stage.packet(BASE + 48 * number), stage.arrival(BASE + 48 * number, late_ms * MS))
    ((_, told),) = stage.events
    assert "packets come earlier than the first one did" in told["reason"]


def test_a_sender_that_stalls_has_no_other_rate(make):
    # Seen where one machine sent 32 streams and had no time for it: late, in bursts, at 24 kHz in the mean.
    stage = make()
    stage.come(packets(*range(10)))
    for number in range(700):
        late_ms = 100 + number + number // 100 % 2 * (200 - 4 * (number % 100) // 2)
        stage.accept(stage.packet(BASE + 48 * (10 + number)), stage.arrival(BASE + 48 * (10 + number), late_ms * MS))
    assert len(stage.events) <= 2
    assert all("set link-offset to more" in fields["reason"] for _, fields in stage.events)


def test_another_rate_is_still_named_after_a_day(make):
    progress = TimestampProgress()
    progress.restart(0, 0)
    for second in range(0, 86_400, 7):
        progress.add(96_000 * second % 2**32, second * 1000 * MS)
        assert second < 14 or "go on at 96 kHz" in progress.why_rate_differs(48_000)


@pytest.mark.parametrize(
    ("host", "remedy"),
    [(8, "give one of them another group, or set source"), (7, "end one of them, or give it another")],
)
def test_two_senders_at_once_are_named_with_a_remedy_that_tells_them_apart(make, host, remedy):
    stage = make()
    events: list[tuple[str, dict[str, object]]] = []
    watch = RivalWatch(lambda name, fields: events.append((name, fields)), {})
    for second in range(4):
        for number in range(50):
            frame = BASE + 48 * (1000 * second + number)
            stage.come([frame], source=7, port=5)
            stage.come([frame], source=host, port=6, ssrc=0x99)
        stage.metrics()
        watch.check_rivals(stage.receiver, 0, second * 1000 * MS)
    ((name, fields),) = events
    assert name == "rival_sender"
    assert watch.trouble == fields["reason"]
    assert "0.0.0.7:5, SSRC 0x00001234, is followed" in watch.trouble
    assert f"0.0.0.{host}:6, SSRC 0x00000099, is ignored: {remedy}" in watch.trouble


@pytest.mark.parametrize("tag", [4, 10, 16])
def test_an_encrypted_stream(make, tag):
    stage = make(channels=3, frames_per_packet=48)
    for number in range(50):
        stage.accept(stage.packet(BASE + 48 * number) + bytes(tag), stage.arrival(BASE + 48 * number, MS))
    stage.metrics()
    rejection = stage.receiver.figures.latest.legs[0].last_rejection
    assert f"{tag} bytes more than expected are what SRTP adds: is the stream encrypted?" in rejection


@pytest.mark.parametrize(
    ("numbers", "stamps", "reason"),
    [
        (lambda n: 2 * n, lambda n: n, "500 packets are missing by number, no audio by timestamp"),
        (lambda n: 0, lambda n: n, "500 of 500 packets repeat a sequence number"),
        (lambda n: n, lambda n: n + n // 76 * 20, "timestamps jumped 7 times while the sequence numbers went on"),
        (lambda n: n, lambda n: n, ""),
        (lambda n: n + n // 50, lambda n: n + n // 50, ""),
    ],
    ids=["by two", "stuck", "audio left out", "all well", "losses"],
)
def test_numbers_that_do_not_belong_together(make, numbers, stamps, reason):
    # Packets of 1 ms that are in time, however their timestamps go on.
    stage = make(link_offset_ns=300 * MS)
    events: list[tuple[str, dict[str, object]]] = []
    watch = NumbersWatch(lambda name, fields: events.append((name, fields)))
    for number in range(550):
        if number in (50, 549):
            stage.metrics()
            watch.check_numbers(stage.receiver, number * MS)
        frame = BASE + 48 * stamps(number)
        packet = stage.packet(frame, sequence=7 + numbers(number))
        stage.accept(packet, stage.arrival(BASE + 48 * stamps(number), MS))
    assert reason.replace("500", "499") in watch.trouble if reason else watch.trouble == ""
    assert [name for name, _ in events] == (["numbers_differ"] if reason else [])
