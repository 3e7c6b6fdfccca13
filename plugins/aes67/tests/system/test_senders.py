"""Senders that come and go, and numbers that wrap."""

import pytest
import trio

from phasegraph.testing import Faults, SimLocalClock, SimNetwork, SimWire, run_graph, running_graph

MS = 1_000_000
SYSTEM = 'schema = 1\n[clocks.house]\nkind = "system"\n'
TAI_NS = 37 * 10**9


def before_both_wrap(ns):
    """A time of day this long before 32-bit timestamps and 16-bit sequence numbers wrap at one frame."""
    frame = 6669 * 3 * 2**32  # 2**32 frames are no whole number of packets, but three times as many are
    assert frame // 48 % 2**16 == 0
    return frame * 10**9 // 48_000 - TAI_NS - ns


@pytest.mark.parametrize("faults", [Faults(), Faults(drop={249}, swap={250}, duplicate={252}), Faults(swap={247, 249})])
async def test_both_numbers_wrap_in_one_run(graphs, gaps_in, troubles, autojump_clock, faults):
    local = SimLocalClock(ppm=12, realtime_ns=before_both_wrap(300 * MS))
    network = SimNetwork(local, faults=faults)
    run = await run_graph(SYSTEM + graphs.sending(duration="500ms") + graphs.receiving(), network=network)
    stream = run.nodes["it"].stream
    assert stream.first // 2**32 != stream.head // 2**32
    recorded = run.nodes["recorder"].recording()
    assert len(recorded) == 24_000
    truth = network.truth
    counted = {"lost": truth.dropped, "duplicate": truth.duplicated, "reordered": truth.swapped}
    expected = {name: count for name, count in counted.items() if count}
    if truth.dropped:
        expected["concealed"] = 48
    assert troubles(run.metrics("it")) == expected
    assert gaps_in(recorded) == ([(249 * 48, 48)] if truth.dropped else [])


class Studio:
    """Hosts on one wire: one that receives, others that send to it."""

    def __init__(self, graphs):
        self.graphs = graphs
        self.wire = SimWire()

    def host(self):
        return SimNetwork(SimLocalClock(), self.wire)

    def receiving(self, **options):
        return running_graph(SYSTEM + self.graphs.receiving(**options), network=self.host())

    async def send(self, id, duration="300ms"):
        return await run_graph(SYSTEM + self.graphs.sending(id=id, duration=duration), network=self.host())


@pytest.fixture
def studio(graphs):
    return Studio(graphs)


def numbers(frames):
    """Lengths of the programs in a recording, with the silence between them."""
    runs = []
    for silent in (~frames.any(axis=1)).tolist():
        if not runs or runs[-1][0] != silent:
            runs.append([silent, 0])
        runs[-1][1] += 1
    return [(("silence" if silent else "sound"), length) for silent, length in runs]


@pytest.mark.slow
async def test_a_source_that_begins_again_as_another_one_is_followed(studio, sent, troubles, autojump_clock):
    async with studio.receiving(end_after="5s") as run:
        await studio.send("first")
        await trio.sleep(0.2)
        second = await studio.send("second")
        await trio.sleep(0.2)
    recorded = run.nodes["recorder"].recording()
    (_, sound), (_, silence), (_, rest) = numbers(recorded)
    # Five packets of the new sender confirm it, of which the fifth is played.
    assert (sound, rest) == (14_400, 14_400 - 4 * 48)
    assert silence > 0.2 * 48_000
    assert recorded[:sound].tobytes() == sent(14_400).tobytes()
    assert recorded[-rest:].tobytes() == sent(rest, first=192).tobytes()
    (event,) = run.events("source_changed")
    assert event["ssrc"] == second.nodes["out" if "out" in second.nodes else "second"]._packetiser.ssrc
    metrics = troubles(run.metrics("it"))
    assert metrics == {"foreign": 4, "concealed": silence}


@pytest.mark.slow
async def test_a_source_that_pauses_goes_on_as_the_same_one(studio, sent, troubles, autojump_clock, monkeypatch):
    monkeypatch.setattr("phasegraph_aes67.sink.random_ssrc", lambda: 77)
    async with studio.receiving(end_after="5s") as run:
        await studio.send("first")
        await trio.sleep(0.1)
        await studio.send("first")
        await trio.sleep(0.2)
    recorded = run.nodes["recorder"].recording()
    (_, sound), (_, silence), (_, rest) = numbers(recorded)
    assert sound == rest == 14_400
    assert recorded[-rest:].tobytes() == sent(rest).tobytes()
    # Numbers follow from media time, so the packets of the pause are missed.
    assert troubles(run.metrics("it")) == {"lost": silence // 48, "concealed": silence}


@pytest.mark.slow
async def test_a_foreign_sender_in_the_same_group_is_not_heard(studio, gaps_in, troubles, autojump_clock):
    async with studio.receiving(end_after="5s") as run, trio.open_nursery() as nursery:
        nursery.start_soon(studio.send, "first", "1s")
        await trio.sleep(0.3)
        foreign = await studio.send("second")
        await trio.sleep(0.8)
    recorded = run.nodes["recorder"].recording()
    assert len(recorded) == 48_000
    assert gaps_in(recorded) == []
    assert troubles(run.metrics("it")) == {"foreign": foreign.metrics("second")["packets_sent"]}
    assert run.events("source_changed") == []


@pytest.mark.slow
async def test_a_foreign_sender_that_stays_takes_over(studio, troubles, autojump_clock):
    async with studio.receiving(end_after="5s") as run, trio.open_nursery() as nursery:
        nursery.start_soon(studio.send, "first", "300ms")
        await trio.sleep(0.1)
        await studio.send("second", "600ms")
        await trio.sleep(0.2)
    (event,) = run.events("source_changed")
    assert (event["sender_before"].partition(":")[0], event["sender"].partition(":")[0]) == ("10.0.1.2", "10.0.1.3")
    assert run.metrics("it")["sender"] == event["sender"]
    assert run.metrics("it")["packets_foreign"] + run.metrics("it")["packets_received"] == 900
    assert troubles(run.metrics("it"))["concealed"] == 99 * 48, "as long a silence as a takeover needs"


async def test_only_the_source_that_is_named_is_heard(studio, gaps_in, troubles, autojump_clock):
    # The second host's interface eth0 has the address 10.0.1.2.
    async with studio.receiving(end_after="5s", source="10.0.1.2") as run, trio.open_nursery() as nursery:
        nursery.start_soon(studio.send, "wanted", "400ms")
        await trio.sleep(0.1)
        await studio.send("unwanted")
        await trio.sleep(0.2)
    assert gaps_in(run.nodes["recorder"].recording()) == []
    assert troubles(run.metrics("it")) == {}


async def test_end_after_waits_for_the_first_packet(studio, autojump_clock):
    async with studio.receiving(end_after="50ms") as run:
        await trio.sleep(2)
        assert run.nodes["it"].stream.end is None
        await studio.send("first")
        await trio.sleep(0.2)
        assert run.nodes["it"].stream.end is not None
    assert run.report["nodes"]["it"]["state"] == "ended"
