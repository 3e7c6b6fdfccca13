"""Activations on their way to a run, in virtual time: one change for all, at the media time, and what fails."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
import trio

from phasegraph import NS_PER_S
from phasegraph.control import AppliedChange, AppliedFrame, ChangePlan, ChangeRefused, ChangeTime, ControlError
from phasegraph_nmos.activation_runner import AT_ONCE, ActivationRunner
from phasegraph_nmos.connection.connections import Connections
from phasegraph_nmos.connection.endpoint import ConnectionEndpoint
from phasegraph_nmos.connection.transport_params import PatchRefused
from phasegraph_nmos.model.resource_identity import format_tai
from phasegraph_nmos.model.run_view import RunView

from .nmos_site import GRAPH, IDENTITY, INTERFACES, TAI_NS, hall, parse_session, sdp

LINK_OFFSET_NS = {"stage": 5_000_000, "spare": 3_000_000}


class VirtualTai:
    """TAI and local time, from trio's virtual clock."""

    def __init__(self) -> None:
        self._began_s = trio.current_time()

    def now_ns(self) -> int:
        return TAI_NS + round((trio.current_time() - self._began_s) * NS_PER_S)

    def local_ns_at(self, tai_ns: int) -> int:
        return tai_ns - TAI_NS + 7


class ModelRun:
    """A run that does what it is asked for."""

    def __init__(self, graph: dict[str, Any] | None = None) -> None:
        self.graph = copy.deepcopy(graph or GRAPH)
        self.view: RunView | None = hall()
        self.changing = trio.Lock()
        self.asked: list[tuple[dict[str, Any], Any, bool]] = []
        self.failure = ""
        self.problems: list[str] = []
        self.only_in_time = False
        """Whether it fails at instants alone, and not at once."""
        self.applied: dict[str, AppliedFrame] = {}
        self.delay_s = 0.01
        self.readings = 0
        """How often its graph was read."""
        self.nursery: trio.Nursery
        self.commit_s = 0.0
        """How long after its time a change is in the graph: a busy run needs some time to get it ready."""
        self._one_at_a_time = trio.Lock()
        self._refreshed = trio.Event()

    async def apply(
        self, changes: Any, at: Any = "now", *, wait: bool = True, ahead_s: float | None = None
    ) -> AppliedChange:
        self.asked.append((dict(changes), at, wait))
        await trio.sleep(self.delay_s)
        if self.failure and (at != AT_ONCE or not self.only_in_time):
            raise ChangeRefused(self.failure, ChangePlan(changes=[], problems=self.problems))
        if self.commit_s and not wait:
            await self.nursery.start(self._commit_later, changes)
        else:
            async with self._one_at_a_time:
                self._commit(changes)
        return AppliedChange(plan=ChangePlan(changes=[], problems=[]), applied=self.applied)

    async def _commit_later(self, changes: Any, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with self._one_at_a_time:
            task_status.started()
            await trio.sleep(self.commit_s)
            self._commit(changes)
        await self.refresh()  # the link does that after each change

    def _commit(self, changes: Any) -> None:
        for path, value in changes.items():
            if value is None and path.split(".")[1] not in self.graph["sources"]:
                raise ControlError(f"{path}: there is no source")
        for path, value in changes.items():
            role, id, *option = path.split(".")
            tables = self.graph[f"{role}s"]
            if option:
                tables[id] = {**tables[id], option[0]: value}
            elif value is None:
                tables.pop(id, None)
            else:
                tables[id] = value

    async def refresh(self) -> None:
        graph = copy.deepcopy(self.graph)
        await trio.sleep(0.001)
        self.view = hall(graph)
        self.readings += 1
        self._refreshed.set()
        self._refreshed = trio.Event()

    async def wait_refreshed(self) -> None:
        await self._refreshed.wait()


class World:
    """A node with one run."""

    def __init__(self) -> None:
        self.clock = VirtualTai()
        self.run: ModelRun | None = ModelRun()
        self.connections = Connections(IDENTITY, parse_session)
        self.connections.follow([hall()], INTERFACES)
        self.activated: list[set[str]] = []
        self.runner = ActivationRunner(
            self.connections,
            lambda name: self.run,
            lambda: INTERFACES,
            self.clock,
            self._on_activated,
            structlog.get_logger(),
        )
        self.receivers = {each.view.id: each for each in self.connections.endpoints["receiver"].values()}

    async def _on_activated(self, ids: Collection[str]) -> None:
        self.activated.append(set(ids))
        assert self.run is not None
        assert self.run.view is not None
        self.connections.follow([self.run.view], INTERFACES)

    def patch(self, receiver: str, group: str, **activation: str) -> tuple[ConnectionEndpoint, Any]:
        endpoint = self.receivers[receiver]
        body = {
            "master_enable": True,
            "transport_file": {"data": sdp(groups=(group,)), "type": "application/sdp"},
            "activation": activation or {"mode": "activate_immediate"},
        }
        activation_ = endpoint.patch(body, self.clock.now_ns())
        assert activation_ is not None
        return endpoint, activation_


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    world = World()
    async with trio.open_nursery() as nursery:
        assert world.run is not None
        world.run.nursery = nursery
        nursery.start_soon(world.runner.run)
        yield world
        nursery.cancel_scope.cancel()


async def test_several_receivers_are_one_change(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        due = [world.patch("stage", "239.5.5.5"), world.patch("spare", "239.6.6.6")]
        done = await world.runner.activate(due)
        assert all(isinstance(at, int) for at in done.values())
        assert world.run is not None
        ((changes, at, wait),) = world.run.asked
        assert (at, wait) == (ChangeTime(of_media=True), True)
        assert changes["sink.rec.input"] == ["stage-nmos", {"source": "spare-nmos", "channels": [2, 1]}]
        assert world.activated == [{endpoint.id for endpoint, _ in due}]
        assert world.receivers["spare"].active.legs[0]["multicast_ip"] == "239.6.6.6"


async def test_the_turns_alternate_and_the_stream_stays_active(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        for number in range(6):
            done = await world.runner.activate([world.patch("stage", f"239.5.5.{number}")])
            assert all(isinstance(at, int) for at in done.values())
            assert ("stage-nmos" in world.run.graph["sources"]) == (number % 2 == 0)
            assert world.receivers["stage"].active.legs[0]["multicast_ip"] == f"239.5.5.{number}"


async def test_a_scheduled_activation_is_given_to_the_run_in_time_and_at_its_media_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_world() as world:
        due_ns = world.clock.now_ns() + 30 * NS_PER_S
        endpoint, _ = world.patch(
            "stage", "239.5.5.5", mode="activate_scheduled_absolute", requested_time=format_tai(due_ns)
        )
        world.runner.schedule()
        await trio.sleep(27.9)
        assert world.run is not None
        assert world.run.asked == []
        await trio.sleep(0.5)
        ((changes, at, wait),) = world.run.asked
        assert "source.stage-nmos" in changes
        assert (at, wait) == (ChangeTime(clock="house", time_ns=due_ns, of_media=True), False)
        assert endpoint.active.legs[0]["multicast_ip"] == "239.1.1.1", "not before its time"
        await trio.sleep(1.61)
        assert endpoint.active_body()["activation"]["activation_time"] == format_tai(due_ns)
        assert endpoint.pending is None


async def test_receivers_with_different_link_offsets_are_one_change(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert len({each.view.link_offset_ns for each in world.receivers.values()}) == 2
        due_ns = world.clock.now_ns() + 5 * NS_PER_S
        later = {"mode": "activate_scheduled_absolute", "requested_time": format_tai(due_ns)}
        world.patch("stage", "239.5.5.5", **later)
        world.patch("spare", "239.6.6.6", **later)
        world.runner.schedule()
        await trio.sleep(6)
        assert world.run is not None
        ((changes, at, _),) = world.run.asked
        assert at == ChangeTime(clock="house", time_ns=due_ns, of_media=True)
        assert {"source.stage-nmos", "source.spare-nmos"} <= set(changes)
        for receiver in world.receivers.values():
            assert receiver.active_body()["activation"]["activation_time"] == format_tai(due_ns)


async def test_a_clock_that_does_not_count_tai_is_asked_by_local_time(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        graph = copy.deepcopy(GRAPH)
        graph["clocks"] = {}
        assert world.run is not None
        world.run.view = hall(graph)
        world.connections.follow([world.run.view], INTERFACES)
        due_ns = world.clock.now_ns() + NS_PER_S
        world.patch("spare", "239.5.5.5", mode="activate_scheduled_absolute", requested_time=format_tai(due_ns))
        world.runner.schedule()
        await trio.sleep(0.5)
        assert world.run.asked[0][1] == ChangeTime(local_ns=due_ns - TAI_NS + 7, of_media=True)


async def test_a_time_that_has_passed_is_now(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        world.patch("spare", "239.5.5.5", mode="activate_scheduled_absolute", requested_time="5:0")
        world.runner.schedule()
        await trio.sleep(0.5)
        assert world.run is not None
        assert world.run.asked[0][1] == AT_ONCE
        assert world.receivers["spare"].active.master_enable


async def test_a_run_that_is_ready_too_late_switches_as_soon_as_it_can(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.failure, world.run.only_in_time, world.run.delay_s = "that time was 0.4 s ago", True, 0.6
        world.patch("spare", "239.5.5.5", mode="activate_scheduled_relative", requested_time="0:200000000")
        world.runner.schedule()
        await trio.sleep(2)
        assert [at == AT_ONCE for _, at, _ in world.run.asked] == [False, True]
        assert world.receivers["spare"].active.legs[0]["multicast_ip"] == "239.5.5.5"


@pytest.mark.parametrize(("frame", "told"), [(0, False), (48_000 * 1_700_000_000, True)])
async def test_a_sink_that_has_read_nothing_tells_no_activation_time(
    autojump_clock: trio.testing.MockClock, frame: int, told: bool
) -> None:
    async with a_world() as world:
        assert world.run is not None
        at_ns = frame * NS_PER_S // 48_000
        world.run.applied = {"rec": AppliedFrame(frame=frame, time_ns=at_ns, clock="house")}
        (at,) = (await world.runner.activate([world.patch("stage", "239.5.5.5")])).values()
        assert isinstance(at, int)
        assert at == at_ns - LINK_OFFSET_NS["stage"] if told else at >= TAI_NS


async def test_one_that_is_cancelled_never_reaches_the_run(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        endpoint, _ = world.patch("stage", "239.5.5.5", mode="activate_scheduled_relative", requested_time="5:0")
        world.runner.schedule()
        await trio.sleep(1)
        endpoint.patch({"activation": {"mode": None}}, world.clock.now_ns())
        await trio.sleep(20)
        assert world.run is not None
        assert world.run.asked == []


async def test_what_fails_changes_nothing_and_locks_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.failure = "no such interface"
        done = await world.runner.activate([world.patch("stage", "239.5.5.5")])
        assert [*map(str, done.values())] == ["the run did not carry it out: no such interface"]
        endpoint, _ = world.patch("stage", "239.5.5.5", mode="activate_scheduled_relative", requested_time="2:0")
        world.runner.schedule()
        await trio.sleep(5)
        assert endpoint.pending is None
        assert endpoint.active.legs[0]["multicast_ip"] == "239.1.1.1"
        world.run = None
        done = await world.runner.activate([world.patch("stage", "239.5.5.5")])
        assert [*map(str, done.values())] == ["the run did not carry it out: the run hall has gone"]
        assert world.activated == []


async def test_what_the_run_refuses_is_for_the_controller_to_change(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.failure, world.run.problems = "sources.stage: both legs are the same", ["both legs are the same"]
        (refused,) = (await world.runner.activate([world.patch("stage", "239.5.5.5")])).values()
        assert isinstance(refused, PatchRefused)
        assert refused.status == 400
        world.run.failure, world.run.problems = "cannot join 239.5.5.6: Invalid argument", []
        (refused,) = (await world.runner.activate([world.patch("stage", "239.5.5.6")])).values()
        assert isinstance(refused, PatchRefused)
        assert refused.status == 400
        world.run = None
        (refused,) = (await world.runner.activate([world.patch("stage", "239.5.5.7")])).values()
        assert isinstance(refused, PatchRefused)
        assert refused.status == 503


async def test_a_client_that_leaves_in_the_middle_locks_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.delay_s = 10
        due = world.patch("stage", "239.5.5.5")
        with trio.move_on_after(1):
            await world.runner.activate([due])
        assert world.receivers["stage"].pending is None


async def test_a_run_that_does_not_answer_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.delay_s = 1e6
        done = await world.runner.activate([world.patch("stage", "239.5.5.5")])
        assert "longer than 30 s" in str([*map(str, done.values())])


async def test_a_change_waits_for_the_scheduled_one_before_it(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.patch("stage", "239.5.5.5", mode="activate_scheduled_relative", requested_time="0:500000000")
        world.runner.schedule()
        await trio.sleep(0.1)
        await world.runner.activate([world.patch("spare", "239.6.6.6")])
        assert trio.current_time() >= 0.5
        assert world.run.graph["sinks"]["rec"]["input"] == ["stage-nmos", {"source": "spare-nmos", "channels": [2, 1]}]


@pytest.mark.parametrize("commit_s", [1.5, 14.0, 25.0])
async def test_a_change_that_a_busy_run_gets_ready_late_does_not_refuse_the_next_one(
    autojump_clock: trio.testing.MockClock, commit_s: float
) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.commit_s = commit_s
        world.patch("stage", "239.5.5.5", mode="activate_scheduled_relative", requested_time="0:500000000")
        world.runner.schedule()
        await trio.sleep(13)
        done = await world.runner.activate([world.patch(each, "239.6.6.6") for each in ("stage", "spare")])
        assert all(isinstance(at, int) for at in done.values()), done
        assert set(world.run.graph["sources"]) == {"stage", "spare-nmos", "tone"}
        for receiver in world.receivers.values():
            assert receiver.active.legs[0]["multicast_ip"] == "239.6.6.6"
            assert receiver.view.node in world.run.graph["sources"]


async def test_another_hand_changes_the_graph_at_the_same_time(autojump_clock: trio.testing.MockClock) -> None:
    async with a_world() as world:
        assert world.run is not None
        tables = world.run.graph["sources"]
        tables["stage-nmos"] = tables.pop("stage")
        world.run.graph["sinks"]["rec"]["input"] = ["stage-nmos", "spare"]
        (at,) = (await world.runner.activate([world.patch("stage", "239.6.6.6")])).values()
        assert isinstance(at, int), at
        assert tables["stage"]["group"] == "239.6.6.6"
        assert len(world.run.asked) == 2


async def test_a_scheduled_change_is_waited_for_without_reading_the_graph_all_the_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_world() as world:
        assert world.run is not None
        world.run.commit_s = 2.6
        world.patch("stage", "239.5.5.5", mode="activate_scheduled_relative", requested_time="0:500000000")
        world.runner.schedule()
        await trio.sleep(5)
        assert "stage-nmos" in world.run.graph["sources"]
        assert world.run.readings <= 3


@pytest.mark.parametrize("salvos", [50, pytest.param(500, marks=pytest.mark.slow)])
async def test_salvos_of_many_activations(autojump_clock: trio.testing.MockClock, salvos: int) -> None:
    async with a_world() as world:
        assert world.run is not None
        for number in range(salvos):
            at = format_tai(world.clock.now_ns() + (number % 7) * 300_000_000)
            for receiver in ("stage", "spare"):
                world.patch(
                    receiver,
                    f"239.5.{number % 200}.{number % 250}",
                    mode="activate_scheduled_absolute",
                    requested_time=at,
                )
            world.runner.schedule()
            await trio.sleep(15)
            for receiver in world.receivers.values():
                assert receiver.pending is None
                assert receiver.active.legs[0]["multicast_ip"] == f"239.5.{number % 200}.{number % 250}"
        assert len(world.run.graph["sources"]) == 3
