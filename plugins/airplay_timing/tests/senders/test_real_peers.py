"""What the field's receivers and senders do, and that each gets what it needs."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from phasegraph.ieee1588 import DelayResp, PortIdentity, encode
from phasegraph.testing import SimNetwork
from phasegraph_airplay_timing.nqptp.nqptp_server import NqptpServer
from phasegraph_airplay_timing.senders import cliairplay
from phasegraph_airplay_timing.server_options import NqptpServerOptions
from phasegraph_airplay_timing.wire import compose

from ..simulated_receivers import (
    SimAppleReceiver,
    SimMusicAssistant,
    SimReceiver,
    SimSonos,
    SimStandaloneHomePod,
    SimTelevision,
)
from .test_sender_server import Sender

S, MS = 10**9, 10**6


class Events(list[str]):
    """Names of what the server reported."""

    def __call__(self, name: str, **fields: Any) -> None:
        self.append(name)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def server(
    wired: SimNetwork, nursery: trio.Nursery, tmp_path: Path, events: Events
) -> AsyncIterator[NqptpServer]:
    options = NqptpServerOptions(interface="eth0", directory=str(tmp_path), serve_airptp=True, serve_cliairplay=True)
    made = NqptpServer(options, wired, wired.local, events)
    await nursery.start(made.run)
    return made


@pytest.fixture
def sender(wired: SimNetwork, tmp_path: Path) -> Sender:
    return Sender(wired, tmp_path)


async def test_sync_comes_at_8_hz_as_soon_as_a_receiver_is_named(
    server: NqptpServer, sender: Sender, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object
) -> None:
    receiver = SimReceiver(wired.wire, nursery)
    await trio.sleep(5)
    named_ns = receiver.network.local.now_ns()
    await sender.ask(f"R {receiver.address}")
    await trio.sleep(10)
    assert receiver.sync_times[0] - named_ns < 130 * MS
    assert all(abs(after - before - 125 * MS) < 5 * MS for before, after in pairwise(receiver.sync_times))
    assert receiver.locked


@pytest.mark.slow
async def test_a_sonos_ceases_to_announce_itself_and_follows(
    server: NqptpServer,
    sender: Sender,
    wired: SimNetwork,
    nursery: trio.Nursery,
    events: Events,
    autojump_clock: object,
) -> None:
    sonos = SimSonos(wired.wire, nursery)
    sonos.server = wired.interface("eth0").address
    await trio.sleep(1)
    await sender.ask(f"R {sonos.address}")
    await trio.sleep(4)
    assert sonos.locked
    await trio.sleep(30)
    data = compose.dataset_of(sonos.announced[-1])
    assert (data.priority1, data.clock_class, data.accuracy, data.variance) == (128, 6, 0x21, 0x436A)
    assert len(sonos.answers) == len(sonos.sync_times), "each question is answered"
    assert max(after - before for before, after in pairwise(sonos.sync_times)) < 200 * MS
    assert "yielding" not in events


@pytest.mark.slow
async def test_an_apple_receiver_negotiates_what_it_gets(
    server: NqptpServer, sender: Sender, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object
) -> None:
    receiver = SimAppleReceiver(wired.wire, nursery)
    await sender.ask(f"R {receiver.address}")
    await trio.sleep(150)
    assert receiver.locked
    assert receiver.unasked <= 9, "what came before the first grant"
    assert len(receiver.granted_until) == 3
    assert len(receiver.sync_times) > 8 * 145


@pytest.mark.slow
async def test_a_television_that_never_answers_holds_nothing_up(
    server: NqptpServer, sender: Sender, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object
) -> None:
    television, receiver = SimTelevision(wired.wire, nursery), SimReceiver(wired.wire, nursery)
    await sender.ask(f"R {television.address} {receiver.address}")
    await trio.sleep(30)
    assert receiver.locked
    metrics = server.metrics()
    assert (metrics["receivers"], metrics["receivers_ready"], metrics["receivers_silent"]) == (2, 1, 1)
    assert len(television.sync_times) > 8 * 29, "it may listen"


async def test_several_receivers_on_one_address_are_answered_each(
    server: NqptpServer, sender: Sender, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object
) -> None:
    first = SimReceiver(wired.wire, nursery)
    await sender.ask(f"R {first.address}")
    await sender.ask(f"R {first.address}")  # by another stream
    second = PortIdentity(0x5CAA_FD44_5566_0008, 0x8005)
    answered: list[DelayResp] = []
    receive = first.receive

    def both(message: Any, local_ns: int) -> None:
        if isinstance(message, DelayResp) and message.requesting == second:
            answered.append(message)
        receive(message, local_ns)

    first.receive = both  # type: ignore[method-assign]
    for number in range(40):
        first.event.send(encode(compose.delay_req(second, number)), (first.server or "10.0.0.9", 319))
        await trio.sleep(0.125)
    assert first.locked
    assert len(answered) >= 38
    assert {each.requesting for each in first.answers} == {first.port}
    assert 8 * 4 <= len(first.sync_times) <= 8 * 6, "one Sync for both"
    await sender.ask(f"U {first.address}")
    count = len(first.sync_times)
    await trio.sleep(2)
    assert len(first.sync_times) > count + 10, "the other stream still plays"


@pytest.mark.slow
async def test_a_homepod_of_os_27_leads_and_music_assistant_gets_its_time(
    server: NqptpServer,
    sender: Sender,
    wired: SimNetwork,
    nursery: trio.Nursery,
    events: Events,
    autojump_clock: object,
) -> None:
    homepod = SimStandaloneHomePod(wired.wire, nursery)
    homepod.server = wired.interface("eth0").address
    await sender.ask(f"R {homepod.address}")
    await trio.sleep(50)
    assert "yielding" in events
    assert homepod.leads
    assert homepod.questions > 100
    identity, flags = sender.sample()[1], sender.sample()[5]
    assert (identity, flags) == (homepod.port.clock, 2)
    assert f"gm={homepod.port.clock:016x} role=follower" in await sender.ask("?")
    for _ in range(50):
        await trio.sleep(0.1)
        _, _, realtime_ns, offset_ns, started_ns, _, _ = sender.sample()
        now = wired.local.now_ns()
        assert abs(now + offset_ns - homepod.time_ns()) < 100_000 or abs(now - realtime_ns) > S // 4
        assert 0 < started_ns < realtime_ns + offset_ns
    assert server.metrics()["receiver_leads"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("by", ["airptp", "stream"])
async def test_with_a_second_receiver_the_server_leads_again(
    server: NqptpServer, sender: Sender, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object, by: str
) -> None:
    homepod, other = SimStandaloneHomePod(wired.wire, nursery), SimReceiver(wired.wire, nursery)
    homepod.server = wired.interface("eth0").address
    await sender.ask(f"R {homepod.address}")
    await trio.sleep(50)
    assert server.metrics()["receiver_leads"] == 1
    if by == "stream":
        await sender.ask(f"R {other.address}")
    else:
        await sender.add(1, other.address)
    await trio.sleep(4)
    assert other.locked
    assert server.metrics()["receiver_leads"] == 0
    assert sender.sample()[5] == 3
    assert sender.sample()[1] == sender.status()[2]


@pytest.mark.slow
async def test_a_receiver_that_only_announces_itself_once_is_led_without_a_pause(
    server: NqptpServer,
    sender: Sender,
    wired: SimNetwork,
    nursery: trio.Nursery,
    events: Events,
    autojump_clock: object,
) -> None:
    receiver = SimReceiver(wired.wire, nursery)
    receiver.server = wired.interface("eth0").address
    data = compose.AnnouncedDataset(priority1=248, grandmaster=receiver.port.clock)
    receiver.send(compose.announce(receiver.port, 1, data))
    await sender.ask(f"R {receiver.address}")
    await trio.sleep(30)
    assert "yielding" not in events
    assert max(after - before for before, after in pairwise(receiver.sync_times)) < 200 * MS


@pytest.mark.slow
async def test_music_assistant_plays_to_a_receiver_of_this_computer(
    server: NqptpServer, sender: Sender, wired: SimNetwork, nursery: trio.Nursery, autojump_clock: object
) -> None:
    # It waits for a streak of questions, which nqptp never asks.
    assistant = SimMusicAssistant(wired.wire, nursery, wired.interface("eth0").address)
    await trio.sleep(1)
    sender.socket.send(f"/nqptp T {assistant.address}\0".encode(), ("127.0.0.1", 9000))
    begun_ns = assistant.network.local.now_ns()
    while not assistant.plays:
        await trio.sleep(0.05)
    assert assistant.network.local.now_ns() - begun_ns < 5 * S
    for _ in range(300):
        await trio.sleep(0.1)
        assert assistant.plays, "the streak goes on, whether the receiver plays or not"


def test_the_flags_of_a_sample() -> None:
    for leads, locked, flags in ((True, True, 3), (False, True, 2), (False, False, 0)):
        sample = cliairplay.CliairplaySample(
            updates=1, clock=2, realtime_ns=3, offset_ns=4, started_ns=5, leads=leads, locked=locked
        )
        assert struct.unpack("@QQQqQII", sample.encode())[5] == flags
