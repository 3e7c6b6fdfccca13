"""Requirements for every network transport: bit-exact samples, and tolerance of all that networks do to packets."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import numpy as np
import pytest
import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from ..._core.clock import NS_PER_S
from ..._core.samples import Encoding, Frames, silence
from ...net import Interface
from ...simulation.impairments import Every, Faults, Impairment
from ...simulation.local_clock import REALTIME_EPOCH_NS, SimLocalClock
from ...simulation.network import SimNetwork, SimWire
from ...simulation.signals import counter_frames
from ..graph_runs import GraphRun, run_graph, running_graph, shared_registry
from .suite_base import Suite

_SOUNDS_S = 1.0


class TransportSuite(Suite):
    """Checks of a transport: its sender and its receiver, over a simulated network.

    A subclass gives two fixtures: the bodies of the tables of a sink (``sender``) and of a source (``receiver``) that
    hear each other, through interfaces of any name, on the only clock.
    """

    rate: ClassVar[int] = 48000
    channels: ClassVar[int] = 2
    encoding: ClassVar[Encoding] = Encoding.L24
    packet_frames: ClassVar[int] = 48

    @pytest.fixture
    def sender(self) -> str:
        """The body of the sink's table, without ``input``."""
        raise AssertionError("the suite needs a fixture 'sender'")

    @pytest.fixture
    def receiver(self) -> str:
        """The body of the source's table."""
        raise AssertionError("the suite needs a fixture 'receiver'")

    @pytest.fixture
    def sending(self, sender: str) -> str:
        """The half of a graph that sends a second of the counter."""
        return (
            f'[sources.program]\nkind = "sim-sequence"\nrate = "{self.rate}Hz"\nchannels = {self.channels}\n'
            f'encoding = "{self.encoding}"\nduration = "{_SOUNDS_S:g}s"\n[sinks.out]\ninput = "program"\n{sender}\n'
        )

    @pytest.fixture
    def receiving(self, receiver: str) -> str:
        """The half that receives and records it."""
        return f'[sources.it]\n{receiver}\n[sinks.recorder]\nkind = "sim-recorder"\ninput = "it"\n'

    @pytest.fixture
    def both(self, sending: str, receiving: str) -> str:
        """Sender and receiver in one graph."""
        return sending + receiving

    async def _run(self, halves: str, network: SimNetwork, folder: Path, **options: Any) -> GraphRun:
        run = await run_graph(head() + halves, network=network, folder=folder, for_s=_SOUNDS_S + 1, **options)
        assert run.report["ended"] == "time", run.report["nodes"]
        return run

    def _wrong(self, run: GraphRun) -> tuple[int, int]:
        # Recorded frames of the program, and how many of them differ from the sent ones.
        frames: Frames = run.nodes["recorder"].recording()
        begin, program = self._locate(frames)
        whole = min(len(program), len(frames) - begin)
        wrong = (frames[begin : begin + whole] != program[:whole]).any(axis=1)
        return whole, int(np.count_nonzero(wrong))

    def _locate(self, frames: Frames) -> tuple[int, Frames]:
        # Where the program begins in a recording, and the rest of the program from there.
        program = silence(round(_SOUNDS_S * self.rate), self.channels)
        counter = counter_frames(0, len(program), self.channels)
        self.encoding.decode(self.encoding.encode(counter), program)
        sounding = np.flatnonzero(frames.any(axis=1))
        assert len(sounding), "nothing was received"
        first = int(sounding[0])
        probe = frames[first : first + 16]
        for at in np.flatnonzero((program[: len(program) - 16] == probe[0]).all(axis=1)):
            if (program[at : at + len(probe)] == probe).all():
                return first, program[at:]
        raise AssertionError("the received frames differ from the sent ones")

    @pytest.mark.trio
    async def test_is_bit_exact(self, both: str, tmp_path: Path, autojump_clock: MockClock) -> None:
        """Every frame arrives as it was sent."""
        run = await self._run(both, SimNetwork(), tmp_path)
        assert self._wrong(run) == (_SOUNDS_S * self.rate, 0)
        metrics = run.metrics("it")
        assert metrics["packets_received"] == -(-_SOUNDS_S * self.rate // self.packet_frames)
        for name in ("lost", "duplicate", "reordered", "late", "malformed"):
            assert metrics[f"packets_{name}"] == 0

    @pytest.mark.trio
    async def test_loss_is_a_gap_and_counted(self, both: str, tmp_path: Path, autojump_clock: MockClock) -> None:
        """Lost packets change no other frame."""
        network = SimNetwork(faults=Faults(drop=Every(50, 7)))
        run = await self._run(both, network, tmp_path)
        assert network.truth.dropped > 0
        assert run.metrics("it")["packets_lost"] == network.truth.dropped
        whole, wrong = self._wrong(run)
        assert whole == _SOUNDS_S * self.rate
        # A concealed frame may by chance equal the lost one.
        assert 0 < wrong <= network.truth.dropped * self.packet_frames

    @pytest.mark.trio
    async def test_duplicates_are_harmless_and_counted(
        self, both: str, tmp_path: Path, autojump_clock: MockClock
    ) -> None:
        """A duplicate packet changes nothing."""
        network = SimNetwork(faults=Faults(duplicate=Every(50, 7)))
        run = await self._run(both, network, tmp_path)
        assert run.metrics("it")["packets_duplicate"] == network.truth.duplicated > 0
        assert self._wrong(run) == (_SOUNDS_S * self.rate, 0)

    @pytest.mark.trio
    async def test_reordering_is_harmless_and_counted(
        self, both: str, tmp_path: Path, autojump_clock: MockClock
    ) -> None:
        """A packet that its successor overtakes is written to its place."""
        network = SimNetwork(faults=Faults(swap=Every(50, 7)))
        run = await self._run(both, network, tmp_path)
        assert run.metrics("it")["packets_reordered"] == network.truth.swapped > 0
        assert run.metrics("it")["packets_lost"] == 0
        assert self._wrong(run) == (_SOUNDS_S * self.rate, 0)

    @pytest.mark.trio
    @pytest.mark.parametrize("wrap", ["timestamp", "sequence"])
    async def test_numbers_wrap(self, both: str, tmp_path: Path, autojump_clock: MockClock, wrap: str) -> None:
        """Half a second after the start media time passes a multiple of 2**32 frames, or of 2**16 packets."""
        period = 1 << 32 if wrap == "timestamp" else self.packet_frames << 16
        frame = (REALTIME_EPOCH_NS * self.rate // NS_PER_S // period + 1) * period
        epoch = frame * NS_PER_S // self.rate - NS_PER_S // 2
        run = await run_graph(head(epoch) + both, network=SimNetwork(), folder=tmp_path, for_s=_SOUNDS_S + 1)
        assert self._wrong(run) == (_SOUNDS_S * self.rate, 0)
        assert run.metrics("it")["packets_lost"] == 0

    @pytest.mark.trio
    async def test_a_late_joiner_receives_the_rest(
        self, sending: str, receiving: str, tmp_path: Path, autojump_clock: MockClock
    ) -> None:
        """A receiver on another host, with another local clock, that starts in the middle is bit-exact from there."""
        wire = SimWire(impairment=Impairment(delay_ns=300_000, jitter_ns=200_000))
        near, far = SimNetwork(SimLocalClock(ppm=-15), wire), SimNetwork(SimLocalClock(ppm=40, epoch_ns=1), wire)
        async with running_graph(head() + sending, network=near, folder=tmp_path):
            await trio.sleep(_SOUNDS_S / 2)
            run = await self._run(receiving, far, tmp_path)
        received, wrong = self._wrong(run)
        assert wrong == 0
        assert 0.3 * _SOUNDS_S * self.rate < received < 0.6 * _SOUNDS_S * self.rate
        assert run.metrics("it")["packets_lost"] == 0

    def test_hostile_packets_are_counted_and_dropped(self, both: str, tmp_path: Path) -> None:
        """No packet on the stream's address and port ends the run; too short ones count as malformed or foreign."""
        registry = shared_registry()

        @hypothesis.settings(max_examples=15, deadline=None, database=None)
        @hypothesis.given(st.lists(st.binary(max_size=200), min_size=1, max_size=20))
        def check(packets: list[bytes]) -> None:
            main = partial(self._run_with_packets, packets, both, registry=registry, folder=tmp_path)
            trio.run(main, clock=MockClock(autojump_threshold=0))

        check()

    async def _run_with_packets(self, packets: list[bytes], halves: str, **options: Any) -> None:
        network = SimNetwork()
        async with running_graph(head() + halves, network=network, **options) as run:
            await trio.sleep(_SOUNDS_S / 4)
            for interface in list(network.interfaces.values()):
                await _send_everywhere(packets, network, interface)
            await trio.sleep(_SOUNDS_S / 2)
        assert run.report["nodes"]["it"]["state"] == "running", run.report["nodes"]["it"]
        metrics = run.metrics("it")
        short = sum(len(packet) < 4 for packet in packets)
        assert metrics["packets_malformed"] + metrics.get("packets_foreign", 0) >= short


async def _send_everywhere(packets: list[bytes], network: SimNetwork, interface: Interface) -> None:
    flows = list(network.wire.flows)
    sender = network.sender(interface, ttl=1, dscp=0)
    buffer = sender.buffer(len(flows), 1500, flows)
    for packet in packets:
        buffer.data[:, : len(packet)] = np.frombuffer(packet, np.uint8)
        buffer.length[:] = len(packet)
        sender.send(buffer, 0, len(flows))
        await trio.sleep(0.000_1)


def head(epoch_ns: int = REALTIME_EPOCH_NS) -> str:
    """The beginning of a graph, with the clock ``house``."""
    return f'schema = 1\n[clocks.house]\nkind = "sim-clock"\nepoch = "{epoch_ns}ns"\n'
