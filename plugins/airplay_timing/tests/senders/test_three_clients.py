"""One process serves shairport-sync, OwnTone and Music Assistant, while peers come and go: each reads one clock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from phasegraph.testing import SimNetwork, true_now_ns
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader
from phasegraph_airplay_timing.server_options import NqptpServerOptions

from ..simulated_receivers import SimAppleReceiver, SimReceiver, SimSonos, SimTelevision
from .test_sender_server import Sender

S, MS = 10**9, 10**6
OLDEST_NS = 120 * MS
"""Age of a record or sample: it is renewed ten times a second."""


@pytest.fixture
async def server(wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[NqptpServer]:
    options = NqptpServerOptions(
        interface="eth0",
        directory=str(tmp_path),
        names=("/nqptp", "/nqptp-kitchen"),
        serve_airptp=True,
        serve_cliairplay=True,
    )
    made = NqptpServer(options, wired, wired.local, lambda name, **fields: None)
    await nursery.start(made.run)
    return made


class Reading:
    """What the three kinds of client of one computer find in their memories."""

    def __init__(self, network: SimNetwork, directory: Path) -> None:
        self.network = network
        self.sender = Sender(network, directory)
        self.memories = {name: MemoryReader(name, str(directory)) for name in ("/nqptp", "/nqptp-kitchen")}

    async def command(self, text: str) -> None:
        self.sender.socket.send(f"{text}\0".encode(), ("127.0.0.1", 9000))
        await trio.sleep(0.1)

    def check_senders(self) -> int:
        """OwnTone's, Music Assistant's and a local receiver's clock are one; returns its identity."""
        now, clock = self.network.local.now_ns(), self.sender.status()[2]
        assert now // S - self.sender.status()[3] <= 15
        _, identity, realtime_ns, offset_ns, _, flags, _ = self.sender.sample()
        record = self.memories["/nqptp"].read_record()
        assert record is not None
        assert (identity, record.clock, flags) == (clock, clock, 3)
        for local_ns, to_timeline_ns in ((realtime_ns, offset_ns), (record.local_ns, record.offset_ns)):
            assert 0 <= now - local_ns <= OLDEST_NS
            assert to_timeline_ns == 0, "the timeline is local time here, as OwnTone takes it"
        return clock

    def kitchen_error_ns(self, device: Any) -> int | None:
        """Error of the time of the phone that the kitchen follows; None while there is none."""
        record = self.memories["/nqptp-kitchen"].read_record()
        assert record is not None
        if not record.clock:
            return None
        assert f"{record.clock:016X}" == device.leader.name.replace("-", "")
        now = self.network.local.now_ns()
        return int(record.offset_ns + now - device.leader.time_ns(true_now_ns()))


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [1, 2, 30])
async def test_three_kinds_of_client_read_one_clock_while_peers_come_and_go(
    server: NqptpServer,
    device: Any,
    wired: SimNetwork,
    nursery: trio.Nursery,
    tmp_path: Path,
    autojump_clock: object,
    minutes: int,
) -> None:
    chance, it = Random(7), Reading(wired, tmp_path)
    kinds: list[type[SimReceiver]] = [SimReceiver, SimSonos, SimAppleReceiver, SimTelevision]
    receivers = [kind(wired.wire, nursery) for kind in kinds]
    named: dict[int, str] = {}
    await it.command("/nqptp T 127.0.0.1")
    await it.command("/nqptp B")
    await it.command(f"/nqptp-kitchen T {device.address}")
    await it.command("/nqptp-kitchen B")
    await trio.sleep(2)
    clock, known, worst_ns, locked = it.check_senders(), 0, 0, 0
    group = server.groups[device.address,].participant.tracker
    for step in range(minutes * 12):
        number = chance.randrange(len(receivers))
        address = receivers[number].address
        if number not in named:
            named[number] = chance.choice(["stream", "airptp"])
            await (it.sender.add(number, address) if named[number] == "airptp" else _ask(it.sender, f"R {address}"))
        else:
            by = named.pop(number)
            await (it.sender.remove(number) if by == "airptp" else _ask(it.sender, f"U {address}"))
        if step % 6 == 5:
            device.leader.present = not device.leader.present
        await trio.sleep(5 - 0.1)
        assert it.check_senders() == clock
        assert server.metrics()["receivers"] == len(named)
        for other, receiver in enumerate(receivers):
            if other in named and not isinstance(receiver, SimTelevision):
                assert receiver.sync_times
                assert receiver.network.local.now_ns() - receiver.sync_times[-1] < S // 4
                locked += receiver.locked
        error_ns = it.kitchen_error_ns(device)
        if error_ns is not None:
            known += 1
            worst_ns = max(worst_ns, abs(error_ns))
            assert abs(error_ns) <= group.estimate.bound_ns + 30_000  # a record is up to 0.1 s old, at 30 ppm
    assert known > minutes * 12 * 2 // 3
    assert worst_ns < MS
    assert locked > minutes * 6


async def _ask(sender: Sender, text: str) -> None:
    with contextlib.suppress(trio.TooSlowError), trio.fail_after(1):
        assert (await sender.ask(text)).startswith("OK ")
    await trio.sleep(0.1)
