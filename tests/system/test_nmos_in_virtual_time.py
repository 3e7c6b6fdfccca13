"""A node and its run in virtual time: 1 000 failovers of registries, and requests in bulk, with real streams.

The parts are those of ``kernel nmos`` and ``kernel run``; between them is a call instead of a socket. What is sent
counts its frames: each recorded frame shows which programme it is of, and whether it follows the one before it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import structlog
import trio
from numpy.typing import NDArray

from phasegraph import NS_PER_S, session_parser
from phasegraph._control.run_monitor import RunMonitor
from phasegraph._core.graph_change import EditRefused, GraphEdit
from phasegraph.control import AppliedChange, ChangePlan, ChangeRefused
from phasegraph.testing import GraphRun, SimNetwork, counted, running_graph
from phasegraph_nmos.activation_runner import ActivationRunner
from phasegraph_nmos.connection.connections import Connections
from phasegraph_nmos.connection.endpoint import ConnectionEndpoint
from phasegraph_nmos.connection.transport_params import PatchRefused
from phasegraph_nmos.model.resource_identity import format_tai
from phasegraph_nmos.model.resource_store import ResourceStore
from phasegraph_nmos.model.resources import HostInterface, NodeIdentity, make_resources
from phasegraph_nmos.model.run_view import RunView, view_of_run
from phasegraph_nmos.registration.registration_client import (
    TIMEOUT_S,
    RegistrationApi,
    RegistrationClient,
    RegistryRequest,
)

RATE = 8000
HEARTBEAT_S = 0.1
"""Every second one fails, and leads to another registry."""
GROUPS = ("239.69.1.1", "239.69.1.2")
IDENTITY = NodeIdentity(
    seed=uuid.UUID(int=14), label="hall", description="", hostname="hall", host="10.0.0.1", port=3212
)
INTERFACES = [HostInterface(name="eth0", address="10.0.1.1", mac="00-1d-c1-12-34-56")]


def graph(*offsets_ms: int) -> str:
    """Two programmes, each a channel of one counter, and a receiver with a recorder for each link offset."""
    text = (
        f'schema = 1\n[clocks.house]\nkind = "sim-clock"\n[sources.program]\nkind = "sim-sequence"\nrate = "{RATE}Hz"\n'
    )
    for number, group in enumerate(GROUPS, 1):
        text += f'[sinks.out{number}]\nkind = "aes67"\ninterface = "eth0"\ngroup = "{group}"\npacket-time = "4ms"\n'
        text += f'input = [{{source = "program", channels = [{number}]}}]\n'
    for number, offset_ms in enumerate(offsets_ms):
        text += f'[sources.r{number}]\nkind = "aes67"\ninterface = "eth0"\ngroup = "{GROUPS[0]}"\nrate = "{RATE}Hz"\n'
        text += f'channels = 1\npacket-time = "4ms"\nconceal = false\nlink-offset = "{offset_ms}ms"\n'
        text += f'[sinks.rec{number}]\nkind = "sim-recorder"\ninput = "r{number}"\n'
    return text


def description(programme: int) -> str:
    """The session description of programme 0 or 1."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\ns=programme\r\nt=0 0\r\nm=audio 5004 RTP/AVP 98\r\n"
        f"c=IN IP4 {GROUPS[programme]}/32\r\na=rtpmap:98 L24/{RATE}/1\r\na=ptime:4\r\na=mediaclk:direct=0\r\n"
    )


class ClockOfRun:
    """TAI, which the clock of the run counts."""

    def __init__(self, run: GraphRun) -> None:
        self._run = run

    def now_ns(self) -> int:
        reference_ns: int = self._run.nodes["house"].estimate().reference_at(self._run.local.now_ns())
        return reference_ns

    def local_ns_at(self, tai_ns: int) -> int:
        local_ns: int = self._run.nodes["house"].estimate().local_at(tai_ns)
        return local_ns


class RunInProcess:
    """A run in this process, in place of `RunLink`."""

    def __init__(self, run: GraphRun, nursery: trio.Nursery) -> None:
        self.changing = trio.Lock()
        self._changes = run.session.changes
        self._monitor = RunMonitor(run.session, "hall")
        self._nursery = nursery
        self._refreshed = trio.Event()
        self.view: RunView | None = None
        run.session.add_listener(lambda event: event.name == "graph_changed" and nursery.start_soon(self.refresh))

    async def apply(
        self, changes: Any, at: Any = "now", *, wait: bool = True, ahead_s: float | None = None
    ) -> AppliedChange:
        answers: list[AppliedChange | EditRefused] = []
        answered = trio.Event()

        def answer(done: AppliedChange | EditRefused) -> None:
            answers.append(done)
            answered.set()

        async def change() -> None:
            planned = (lambda done: None) if wait else answer
            try:
                edit = GraphEdit(set=dict(changes))
                answer(await self._changes.apply(edit, at=at, silent_after_s=0.3, planned=planned))
            except EditRefused as refused:
                answer(refused)

        self._nursery.start_soon(change)
        await answered.wait()
        if isinstance(answers[0], EditRefused):
            raise ChangeRefused(str(answers[0]), answers[0].plan)
        return answers[0]

    async def plan(self, changes: Any) -> ChangePlan:
        return await self._changes.plan(GraphEdit(set=dict(changes)))

    async def refresh(self) -> None:
        await trio.lowlevel.checkpoint()
        self.view = view_of_run("hall", self._changes.tables(), self._monitor.status(), session_parser())
        self._refreshed.set()
        self._refreshed = trio.Event()

    async def wait_refreshed(self) -> None:
        await self._refreshed.wait()


class NodeInProcess:
    """The connection API, the resources and the registration of a node."""

    def __init__(self, run: GraphRun, nursery: trio.Nursery) -> None:
        self.clock = ClockOfRun(run)
        self.link = RunInProcess(run, nursery)
        self.connections = Connections(IDENTITY, session_parser())
        self.store = ResourceStore()
        self.client = RegistrationClient(IDENTITY.id)
        self.runner = ActivationRunner(
            self.connections,
            lambda name: self.link,
            lambda: INTERFACES,
            self.clock,
            self._follow,
            structlog.get_logger(),
        )

    async def start(self) -> None:
        await self.link.refresh()
        await self._follow(())

    async def _follow(self, activated: Collection[str]) -> None:
        assert self.link.view is not None
        self.connections.follow([self.link.view], INTERFACES)
        made = make_resources(IDENTITY, [self.link.view], INTERFACES, self.connections.subscriptions(), [])
        self.store.replace_resources(made, self.clock.now_ns(), activated)
        self.client.set_resources(self.store.resources)

    @property
    def receivers(self) -> list[ConnectionEndpoint]:
        return list(self.connections.endpoints["receiver"].values())

    async def switch(self, programme: int, after_s: float | None = None) -> None:
        """Connect all receivers to a programme in one request, and wait until it has happened."""
        activation = {"mode": "activate_immediate"}
        if after_s is not None:
            due_ns = self.clock.now_ns() + round(after_s * NS_PER_S)
            activation = {"mode": "activate_scheduled_absolute", "requested_time": format_tai(due_ns)}
        file = {"data": description(programme), "type": "application/sdp"}
        params = {"master_enable": True, "transport_file": file, "activation": activation}
        body = [{"id": receiver.id, "params": params} for receiver in self.receivers]
        results, due = self.connections.patch_bulk("receiver", body, self.clock.now_ns())
        assert {each.code for each in results} == {200 if after_s is None else 202}, results
        if after_s is None:
            done = await self.runner.activate(due)
            assert not [each for each in done.values() if isinstance(each, PatchRefused)], done
        else:
            self.runner.schedule()
            await trio.sleep(after_s + 1.0)
        for receiver in self.receivers:
            assert receiver.pending is None
            assert receiver.active.legs[0]["multicast_ip"] == GROUPS[programme]


@asynccontextmanager
async def node_of(text: str) -> AsyncIterator[tuple[GraphRun, NodeInProcess]]:
    """A run with a node, until the block ends."""
    async with running_graph(text, network=SimNetwork()) as run, trio.open_nursery() as nursery:
        node = NodeInProcess(run, nursery)
        await node.start()
        nursery.start_soon(node.runner.run)
        await trio.sleep(1.0)
        yield run, node
        nursery.cancel_scope.cancel()


def programmes(frames: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each recorded frame its index in its programme, and the programme. Fails for any other frame."""
    first, second = (
        counted(np.repeat(frames, 2, axis=1), channel) - np.arange(len(frames), dtype=np.int64) for channel in (0, 1)
    )
    offset = first[0] % (1 << 24)  # the recording begins with the first programme
    is_first, is_second = (each % (1 << 24) == offset for each in (first, second))
    wrong = np.flatnonzero(~(is_first ^ is_second))
    assert not len(wrong), f"{len(wrong)} frames are of neither programme, or out of place: {wrong[:5]}"
    return offset + np.arange(len(frames), dtype=np.int64), np.where(is_second, 1, 0)


def switches(frames: NDArray[np.float32]) -> list[int]:
    """The indices, in the programmes, of the frames at which the other programme begins."""
    numbers, programme = programmes(frames)
    return [int(number) for number in numbers[1:][np.diff(programme) != 0]]


async def test_a_bulk_request_changes_all_receivers_at_one_frame_whatever_their_link_offsets(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with node_of(graph(20, 5, 40, 20)) as (run, node):
        for turn in range(1, 7):
            await node.switch(turn % 2, None if turn % 3 else 2.5 + turn / 7)
            await trio.sleep(0.5)
    found = [switches(run.nodes[f"rec{number}"].recording()) for number in range(4)]
    assert len(found[0]) == 6
    assert found[1:] == found[:-1], "each at one frame"


class FickleRegistry:
    """A registration API that takes everything, and fails at every second heartbeat."""

    def __init__(self, number: int) -> None:
        self.url = f"http://r{number}:8010/x-nmos/registration/v1.3"
        self.heartbeats = 0
        self.registrations = 0

    def answer(self, request: RegistryRequest) -> int:
        if request.key[0] != "health":
            self.registrations += 1
            return 201
        self.heartbeats += 1
        return 200 if self.heartbeats % 2 else 503


async def register(node: NodeInProcess, registries: list[FickleRegistry]) -> None:
    """Carry the requests of a node to the registries."""
    apis = [RegistrationApi(url=each.url, priority=number) for number, each in enumerate(registries)]
    node.client.heartbeat_s = HEARTBEAT_S
    node.client.set_registries(apis, round(trio.current_time() * NS_PER_S))
    while True:
        now_ns = round(trio.current_time() * NS_PER_S)
        request = node.client.next_request(now_ns)
        if request is None:
            wake_ns = node.client.wake_ns()
            await trio.sleep(TIMEOUT_S if wake_ns is None else max(0.001, (wake_ns - now_ns) / 1e9))
            continue
        await trio.sleep(0.003)
        status = next(each for each in registries if request.url.startswith(each.url)).answer(request)
        node.client.on_answer(status, round(trio.current_time() * NS_PER_S))


@pytest.mark.parametrize("failovers", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_failovers_leave_every_frame_as_it_was_sent(
    autojump_clock: trio.testing.MockClock, failovers: int
) -> None:
    registries = [FickleRegistry(number) for number in range(2)]
    turns = 0
    async with node_of(graph(20)) as (run, node), trio.open_nursery() as nursery:
        nursery.start_soon(register, node, registries)
        while node.client.failovers < failovers:
            turns += 1
            await node.switch(turns % 2, None if turns % 2 else 2.2)
            await trio.sleep(failovers * HEARTBEAT_S / 20)
        nursery.cancel_scope.cancel()
    recording = run.nodes["rec0"].recording()
    assert len(switches(recording)) == turns
    assert len(recording) > failovers * HEARTBEAT_S * RATE
    assert min(each.heartbeats for each in registries) > failovers // 2
    assert sum(each.registrations for each in registries) > turns, "each switch is registered too"
