"""What goes away comes back: memberships, interfaces, senders that begin again, and the clock."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import trio

from phasegraph import NS_PER_S, frame_at
from phasegraph.testing import REALTIME_EPOCH_NS, Impairment, SimNetwork, run_graph, running_graph, true_now_ns

MS = 1_000_000
FRAMES = 48
GROUP = "239.69.1.1"


def names(run):
    return [event["name"] for event in run.report["events"] if event["node"] == "it"]


def graph_of(graphs, duration):
    """Packets of 4 ms: there are fewer of them."""
    return graphs.head + graphs.sending(duration=duration, packet_time="4ms") + graphs.receiving(end_after="30s")


@pytest.mark.slow
async def test_an_interface_that_goes_and_comes_back(graphs, sent, troubles, autojump_clock):
    network = SimNetwork()
    async with running_graph(graph_of(graphs, "7s"), network=network) as run:
        await trio.sleep(1)
        network.unplug("eth0")
        await trio.sleep(3.2)
        network.plug("eth0")
        await trio.sleep(4)
    assert names(run) == ["stream_silent", "interface_lost", "interface_found", "stream_heard", "source_changed"]
    recorded = run.nodes["recorder"].recording()
    expected = sent(len(recorded))
    silent = np.flatnonzero((recorded != expected).any(axis=1))
    assert not recorded[silent].any()
    begin, length = int(silent[0]), len(silent)
    assert begin % (4 * FRAMES) == length % (4 * FRAMES) == 0
    assert 3.2 * 48_000 <= length <= 4.3 * 48_000, "found within a second"
    it = run.metrics("it")
    assert it["rejoins"] == 1
    assert it["frames_concealed"] == length
    assert it["packets_malformed"] == 0
    assert it["packets_foreign"] <= 5, "the sender's socket is another one"


@pytest.mark.slow
async def test_a_switch_that_forgets_the_membership(graphs, autojump_clock):
    network = SimNetwork()
    async with running_graph(graph_of(graphs, "30s"), network=network) as run:
        await trio.sleep(2)
        for receiver in network.receivers:
            receiver.interface_lost(network.interface("eth0").index)
        network.version += 1
        await trio.sleep(8)
        events = [event.name for event in run.session.services.events if event.node == "it"]
        assert events == ["stream_silent", "stream_heard"]
        assert run.nodes["it"].metrics()["rejoins"] == 1
        received = run.nodes["it"].metrics()["packets_received"]
        await trio.sleep(1)
        assert run.nodes["it"].metrics()["packets_received"] == received + 250


async def test_it_is_tried_less_and_less_often(graphs, autojump_clock):
    run = await run_graph(graphs.head + graphs.receiving(end_after=None), network=SimNetwork(), for_s=45)
    assert names(run) == ["stream_silent"]
    assert run.metrics("it")["rejoins"] == 4, "after 5, 10, 20 and 40 s"


class Hand:
    """A sender whose every packet is made by hand."""

    def __init__(self, network: SimNetwork) -> None:
        self.sender = network.sender(network.interface("eth0"), ttl=1, dscp=0)
        self.buffer = self.sender.buffer(1, 1500, [(GROUP, 5004)])

    def send(self, timestamp: int, sequence: int, *, ssrc: int = 1, payload_type: int = 98, value: int = 1) -> None:
        header = struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        packet = header + value.to_bytes(3, "big") * 2 * FRAMES
        self.buffer.data[0, : len(packet)] = np.frombuffer(packet, np.uint8)
        self.buffer.length[0] = len(packet)
        self.sender.send(self.buffer, 0, 1)


def now() -> int:
    return frame_at(REALTIME_EPOCH_NS + true_now_ns(), 48_000)


@pytest.mark.slow
async def test_a_sender_that_restarts_among_its_old_numbers(graphs, autojump_clock):
    # Same SSRC, and sequence numbers that were seen a second ago: not taken for doubled ones for long.
    network = SimNetwork()
    async with running_graph(graphs.head + graphs.receiving(), network=network) as run:
        await trio.sleep(0.1)
        hand = Hand(network)
        for number in [*range(1500), *range(200, 700)]:
            await trio.sleep(0.001)
            hand.send(now() - FRAMES, number)
        await trio.sleep(0.2)
    it = run.metrics("it")
    assert it["packets_received"] == 2000
    assert it["packets_duplicate"] == 4
    assert it["frames_concealed"] == 4 * FRAMES
    assert it["packets_lost"] == 0


@pytest.mark.parametrize(
    "jump",
    [-10 * 48_000, *(pytest.param(it, marks=pytest.mark.slow) for it in (10 * 48_000, 3600 * 48_000, 2**31 - 5))],
)
async def test_relative_timestamps_that_jump_are_followed_within_five_packets(graphs, autojump_clock, jump):
    network = SimNetwork()
    graph = graphs.head + graphs.receiving(media_clock="relative")
    async with running_graph(graph, network=network) as run:
        await trio.sleep(0.1)
        hand = Hand(network)
        for number in range(1000):
            await trio.sleep(0.001)
            hand.send(number * FRAMES + (jump if number >= 500 else 0), number)
        await trio.sleep(0.2)
    it = run.metrics("it")
    assert it["packets_received"] == 1000
    assert it["packets_early"] + it["packets_late"] == 5
    assert it["frames_concealed"] == 5 * FRAMES
    assert it["packets_lost"] == 0


async def test_intruders_are_counted_and_not_heard(graphs, troubles, autojump_clock):
    # Beside the stream: another payload type, another SSRC, and its own SSRC from another address.
    network = SimNetwork()
    other = SimNetwork(wire=network.wire)
    async with running_graph(graphs.head + graphs.receiving(payload_type=98), network=network) as run:
        await trio.sleep(0.1)
        hand, guest = Hand(network), Hand(other)
        for number in range(300):
            await trio.sleep(0.001)
            hand.send(now() - FRAMES, number)
            hand.send(now() - FRAMES, number, payload_type=11, value=7)
            hand.send(now() - FRAMES, number, ssrc=9, value=7)
            guest.send(now() - FRAMES, number, value=7)
        await trio.sleep(0.2)
    assert troubles(run.metrics("it")) == {"foreign": 600}
    assert run.metrics("it")["packets_not_audio"] == 300
    recorded = run.nodes["recorder"].recording()
    assert recorded.shape == (300 * FRAMES, 2)
    assert (recorded == np.float32(2.0**-23)).all()


async def test_a_numbered_wrap_in_the_middle_of_a_burst_loss(graphs, autojump_clock):
    network = SimNetwork()
    async with running_graph(graphs.head + graphs.receiving(), network=network) as run:
        await trio.sleep(0.1)
        hand = Hand(network)
        for number in range(65_400, 65_700):
            await trio.sleep(0.001)
            if not 65_530 <= number < 65_545:
                hand.send(now() - FRAMES, number)
        await trio.sleep(0.2)
    it = run.metrics("it")
    assert (it["packets_received"], it["packets_lost"], it["gaps_concealed"]) == (285, 15, 1)


class TestWithoutAReference:
    """The clock has no PTP yet."""

    CLOCK = 'schema = 1\n[clocks.house]\nkind = "sim-clock"\n'

    @pytest.fixture
    def unlocked(self, monkeypatch, request):
        """A clock that shows its own uptime until true time 2 s, and then finds the time of day."""
        jump_ns = getattr(request, "param", REALTIME_EPOCH_NS)
        import msgspec

        from phasegraph import ClockState
        from phasegraph.testing import SimClock

        known = SimClock.estimate

        def estimate(clock):
            found = known(clock)
            if true_now_ns() >= 2 * NS_PER_S:
                return found
            if getattr(clock, "_early", None) is None or clock._early[0] is not found:
                early = msgspec.structs.replace(
                    found, reference_ns=found.reference_ns - jump_ns, state=ClockState.UNLOCKED
                )
                clock._early = (found, early)
            return clock._early[1]

        monkeypatch.setattr(SimClock, "estimate", estimate)

    @pytest.mark.slow
    async def test_it_runs_free_and_says_so(self, graphs, unlocked, autojump_clock):
        network = SimNetwork()
        async with running_graph(self.CLOCK + graphs.receiving(), network=network) as run:
            await trio.sleep(0.1)
            hand = Hand(network)
            for number in range(2600):
                await trio.sleep(0.001)
                hand.send(now() - FRAMES, number, value=1 + number)
                if number == 1000:
                    assert run.nodes["it"].metrics()["timing"] == "free-running"
            await trio.sleep(0.2)
        it = run.metrics("it")
        assert [event["timing"] for event in run.events("timing_changed")] == ["free-running", "absolute"]
        assert it["timing"] == "absolute"
        assert it["packets_received"] == 2600
        assert it["packets_late"] == it["packets_early"] == it["packets_lost"] == 0
        recorded = run.nodes["recorder"].recording()
        numbers = np.rint(recorded[:, 0] * 2.0**23).astype(int)
        heard = numbers[numbers > 0]
        assert (np.diff(heard) >= 0).all(), "nothing twice, nothing backwards"
        assert len(np.unique(heard)) >= 2590, "what the change of time costs is a few packets"
        assert len(recorded) < 2700 * FRAMES, "and not the years between"
        (jumped,) = run.events("media_time_jumped")
        assert jumped["jump_s"] == pytest.approx(REALTIME_EPOCH_NS / NS_PER_S, abs=1)
        assert "without the time between" in jumped["reason"]

    @pytest.mark.parametrize("unlocked", [REALTIME_EPOCH_NS, REALTIME_EPOCH_NS - 12 * 3600 * NS_PER_S], indirect=True)
    @pytest.mark.slow
    async def test_a_sender_on_the_same_clock_jumps_with_it(self, graphs, unlocked, autojump_clock):
        # Packets are on their way meanwhile: hours lie between them and the next, and none of their frames is missed.
        graph = self.CLOCK + graphs.sending(duration="4s") + graphs.receiving(end_after="2s")
        network = SimNetwork(impairment=Impairment(delay_ns=2 * MS))
        run = await run_graph(graph, network=network, for_s=6)
        it = run.metrics("it")
        assert it["timing"] == "absolute"
        assert it["frames_concealed"] < 24_000
        assert it["lateness_max_ns"] < 20 * MS
        assert len(run.nodes["recorder"].recording()) < 5 * 48_000

    async def test_absolute_means_absolute(self, graphs, unlocked, autojump_clock):
        network = SimNetwork()
        async with running_graph(self.CLOCK + graphs.receiving(media_clock="absolute"), network=network) as run:
            await trio.sleep(0.1)
            hand = Hand(network)
            for number in range(100):
                await trio.sleep(0.001)
                hand.send(now() - FRAMES, number)
            await trio.sleep(0.2)
        it = run.metrics("it")
        assert it["timing"] == "absolute"
        assert it["packets_late"] + it["packets_early"] == 100

    @pytest.mark.slow
    async def test_another_grandmaster_than_the_streams(self, graphs, sent, autojump_clock, tmp_path):
        # The description names a grandmaster; the clock is another one, hours away. It is played all the same.
        description = (
            "v=0\no=- 1 1 IN IP4 10.0.1.1\ns=x\nc=IN IP4 239.69.1.1/32\nt=0 0\nm=audio 5004 RTP/AVP 98\n"
            "a=rtpmap:98 L24/48000/2\na=ptime:1\na=mediaclk:direct=0\n"
            "a=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-34-56:0\n"
        )
        (tmp_path / "far.sdp").write_text(description)
        network = SimNetwork()
        async with running_graph(self.CLOCK + graphs.receiving(sdp="far.sdp"), network=network, folder=tmp_path) as run:
            await trio.sleep(0.1)
            hand = Hand(network)
            for number in range(500):
                await trio.sleep(0.001)
                hand.send(now() + 3 * 3600 * 48_000, number)
            trouble = run.nodes["it"].metrics()["trouble"]
            await trio.sleep(0.2)
        it = run.metrics("it")
        assert it["timing"] == "free-running"
        assert it["packets_early"] == 50
        assert names(run)[:3] == ["grandmaster_differs", "timestamps_outside_window", "timing_changed"]
        assert trouble == run.events("grandmaster_differs")[0]["reason"], "for as long as they differ"
        assert len(run.nodes["recorder"].recording()) == 450 * FRAMES
