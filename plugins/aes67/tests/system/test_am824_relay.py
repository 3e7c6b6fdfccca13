"""AM824 from a source to a sink on the same clock: every octet passes, whatever it means."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import trio

from phasegraph.testing import SimLocalClock, SimNetwork, SimWire, running_graph

PORT, SIZE = 5004, 48
MS = 0.001
PARITY = np.uint32(0x0FFFFFFF & ~(1 << 28))
"""What parity is over: audio, validity, user data, channel status and the parity bit itself."""


def subframes(count: int, channels: int = 2, *, audio: bool = True, phase: int = 100) -> np.ndarray:
    """Words of a device: blocks that begin anywhere, any user data, validity and parity, any samples."""
    random = np.random.default_rng(count + audio)
    words = random.integers(0, 1 << 24, (count, channels), np.uint32)
    words |= random.integers(0, 16, (count, channels), np.uint32) << np.uint32(24)
    words[:, ::2] |= np.uint32(1 << 28)
    place = (np.arange(count) + phase) % 192
    words[place == 0, ::2] |= np.uint32(1 << 29)
    status = np.uint32(1 << 26)
    words[place == 1] = words[place == 1] & ~status | (np.uint32(0) if audio else status)
    return words


class Relay:
    """A device that sends to a graph, and one that hears what the graph sends on."""

    def __init__(self, graphs, **sink):
        wire = SimWire()
        self.device, self.listener, self.host = (SimNetwork(SimLocalClock(), wire) for _ in range(3))
        self.sender = self.device.sender(self.device.interface("eth0"), ttl=1, dscp=0)
        self.receiver = self.listener.receiver(PORT)
        self.receiver.join("239.69.1.2", self.listener.interface("eth0"))
        channels = sink.pop("of", 2)
        stream = {"kind": "aes67", "interface": "eth0", "encoding": "AM824"}
        self.graph = (
            'schema = 1\n[clocks.house]\nkind = "system"\n'
            + graphs.table(
                "sources.it", group="239.69.1.1", media_clock="relative", link_offset="5ms", channels=channels, **stream
            )
            + graphs.table("sinks.out", group="239.69.1.2", **{"input": "it", **stream, **sink})
        )

    def send(self, number: int, words: np.ndarray) -> None:
        payload = words.astype(">u4").tobytes()
        packet = struct.pack("!BBHII", 0x80, 98, number, number * SIZE, 7) + payload
        buffer = self.sender.buffer(1, len(packet), [("239.69.1.1", PORT)])
        buffer.data[0], buffer.length[0] = np.frombuffer(packet, np.uint8), len(packet)
        self.sender.send(buffer, 0, 1)

    def heard(self) -> bytes:
        octets = []
        while (batch := self.receiver.receive()).count:
            octets += [batch.data[row, 12 : batch.length[row]].tobytes() for row in range(batch.count)]
        return b"".join(octets)

    async def run(self, words: np.ndarray, lost: tuple[int, ...] = ()):
        """Sends words in packets, and returns what came out, and the run."""
        async with running_graph(self.graph, network=self.host) as run:
            await trio.sleep(100 * MS)
            for number, packet in enumerate(words.reshape(-1, SIZE, words.shape[1])):
                if number not in lost:
                    self.send(number, packet)
                await trio.sleep(MS)
            await trio.sleep(100 * MS)
        return self.heard(), run


def words_of(octets: bytes, channels: int = 2) -> np.ndarray:
    return np.frombuffer(octets, ">u4").astype(np.uint32).reshape(-1, channels)


def even(words: np.ndarray) -> bool:
    octets = (words & PARITY).astype(">u4").view(np.uint8).reshape(*words.shape, 4)
    return not (np.unpackbits(octets, axis=-1).sum(axis=-1) % 2).any()


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.slow
async def test_every_octet_passes(graphs, autojump_clock, audio):
    sent = subframes(SIZE * 400, audio=audio)
    relay = Relay(graphs)
    heard, run = await relay.run(sent)
    assert sent.astype(">u4").tobytes() in heard
    assert run.metrics("out")["am824_labels"] == "as received"
    assert [event["name"] for event in run.report["events"] if "audio" in event["name"]] == ["not_audio"] * (not audio)


@pytest.mark.slow
async def test_pairs_pass_in_any_order(graphs, autojump_clock):
    sent = subframes(SIZE * 200, 6, audio=False)
    relay = Relay(graphs, of=6)
    relay.graph = relay.graph.replace('input = "it"', 'input = [{source = "it", channels = [5, 6, 1, 2, 1, 2]}]')
    heard, _ = await relay.run(sent)
    assert sent[:, [4, 5, 0, 1, 0, 1]].astype(">u4").tobytes() in heard


async def test_a_pair_that_is_parted_is_audio_with_labels_of_its_own(graphs, autojump_clock):
    sent = subframes(SIZE * 200)
    relay = Relay(graphs)
    relay.graph = relay.graph.replace('input = "it"', 'input = [{source = "it", channels = [2, 1]}]')
    heard, run = await relay.run(sent)
    words = words_of(heard)
    assert (sent[:, ::-1] & 0xFFFFFF).astype(np.uint32).tobytes() in (words & 0xFFFFFF).tobytes(), "the audio passes"
    assert (words[:, 0] >> 28 & 1).all()
    assert not (words[:, 1] >> 28 & 1).any()
    assert even(words)
    assert run.metrics("out")["am824_labels"] == "own"


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.slow
async def test_a_gap_has_labels_that_go_on(graphs, autojump_clock, audio):
    sent = subframes(SIZE * 200, audio=audio)
    lost = tuple(range(100, 106))
    heard, run = await Relay(graphs).run(sent, lost)
    assert run.metrics("it")["packets_lost"] == 6
    words = words_of(heard)
    begin = heard.find(sent[: SIZE * 100].astype(">u4").tobytes()) // 8
    assert begin > 0, "before the gap everything passes"
    gap = words[begin + SIZE * 100 : begin + SIZE * 106]
    place = (np.arange(SIZE * 100, SIZE * 106) + 100) % 192
    np.testing.assert_array_equal(gap[:, 0] >> 28, 1 + 2 * (place == 0), "frames and blocks begin where they would")
    assert not (gap[:, 1] >> 28).any()
    assert even(gap)
    status = sent[SIZE * 100 - 192 : SIZE * 100] >> 26 & 1
    np.testing.assert_array_equal(gap[:192] >> 26 & 1, status, "channel status as in the block before")
    assert ((gap >> 24 & 1) == (not audio)).all(), "what is no audio is not to be heard"
    assert bool((gap & 0xFFFFFF).any()) is audio, "audio is concealed"
    after = words[begin + SIZE * 106 :]
    rest = sent[SIZE * 106 :]
    joined = slice(0, 1) if not audio else slice(SIZE * 10, None)
    assert rest[joined].tobytes() in after.tobytes()
    if audio:
        np.testing.assert_array_equal(after[: len(rest)] & 0xF7000000, rest & 0xF7000000, "labels of what arrived")
    else:
        assert after[: len(rest)].tobytes() == rest.tobytes()
