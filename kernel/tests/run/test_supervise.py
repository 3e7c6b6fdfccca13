"""Supervision: who starts and stops when, and what a failure does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from phasegraph import (
    NS_PER_S,
    ClockConfig,
    ClockEstimate,
    ClockKind,
    ClockRef,
    NodeError,
    SinkConfig,
    SinkKind,
    SourceConfig,
    SourceKind,
    Stream,
    StreamFormat,
    hookimpl,
)
from phasegraph._plugins.loader import Registry
from phasegraph._run.session import Session
from phasegraph._run.supervise import DRAIN_S, RESTART_PAUSES_S, START_TIMEOUT_S
from phasegraph.testing import make_session

Behaviour = Callable[..., Any]
GRAPH = """
schema = 1
[clocks.clock]
kind = "probe"
[sources.source]
kind = "probe"
[sinks.sink]
kind = "probe"
input = "source"
"""


class Stage:
    """Nodes that log what happens to them; tests say what else they do."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.times: dict[tuple[str, str], float] = {}
        self.behaviour: dict[str, Behaviour] = {}
        self.registry = Registry()
        self.registry.add("probe", "0", self)
        assert self.registry.plugins[0].status == "ok", self.registry.plugins

    def note(self, id: str, what: str) -> None:
        self.log.append((id, what))
        self.times[id, what] = trio.current_time()

    def of(self, what: str) -> list[str]:
        return [id for id, said in self.log if said == what]

    def session(self, overrides: tuple[str, ...] = (), graph: str = GRAPH) -> Session:
        return make_session(graph, registry=self.registry, overrides=overrides)

    def make(self, build, input=None):
        return Probe(self, build.id, input)

    @hookimpl
    def register_clocks(self):
        class Config(ClockConfig, frozen=True, kw_only=True):
            pass

        return [ClockKind(kind="probe", summary="A probe.", config=Config, factory=lambda c, b: self.make(b))]

    @hookimpl
    def register_sources(self):
        class Config(SourceConfig, frozen=True, kw_only=True):
            clock: ClockRef | None = None

        return [SourceKind(kind="probe", summary="A probe.", config=Config, factory=lambda c, b: self.make(b))]

    @hookimpl
    def register_sinks(self):
        class Config(SinkConfig, frozen=True, kw_only=True):
            pass

        return [
            SinkKind(
                kind="probe",
                summary="A probe.",
                config=Config,
                factory=lambda c, b, i: self.make(b, i),
                domain="none",
            )
        ]


class Probe:
    def __init__(self, stage: Stage, id: str, input) -> None:
        self._stage, self._id, self._input = stage, id, input
        self.stream = Stream(StreamFormat(48000, 1), window_ns=NS_PER_S, clock=self)

    def estimate(self) -> ClockEstimate:
        return ClockEstimate(local_ns=0, reference_ns=0)

    def metrics(self) -> dict[str, int]:
        return {}

    async def run(self, ctx, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        stage, id = self._stage, self._id
        stage.note(id, "start")
        try:
            behaviour = stage.behaviour.get(id)
            if behaviour is not None:
                await behaviour(ctx, task_status)
            task_status.started()
            stage.note(id, "ready")
            while self._input is None or self._input.read_due(ctx.local.now_ns(), 1000) is not None:
                await trio.sleep(0.1)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)  # closing takes a moment
                stage.note(id, "end")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def seconds(count: float) -> int:
    return round(count * NS_PER_S)


async def test_starts_clocks_first_and_each_when_the_last_is_ready(stage, autojump_clock):
    async def slow(ctx, task_status) -> None:
        await trio.sleep(0.5)

    stage.behaviour = {"clock": slow, "source": slow}
    report = await stage.session().run(for_ns=seconds(1))
    assert stage.log[:6] == [
        ("clock", "start"), ("clock", "ready"), ("source", "start"), ("source", "ready"), ("sink", "start"),
        ("sink", "ready"),
    ]  # fmt: skip
    assert report["ended"] == "time"


@pytest.mark.parametrize("turn", range(5))  # trio shuffles what is runnable together
async def test_stops_in_reverse_and_each_when_the_last_has_ended(stage, autojump_clock, turn):
    session = stage.session()
    report = await session.run(for_ns=seconds(1))
    assert stage.of("end") == ["sink", "source", "clock"]
    assert {id: node["state"] for id, node in report["nodes"].items()}["sink"] == "ended"


@pytest.mark.parametrize("turn", range(5))
async def test_stops_in_reverse_when_the_run_is_cancelled(stage, autojump_clock, turn):
    with trio.move_on_after(1):
        await stage.session().run()
    assert sorted(stage.of("end")) == ["clock", "sink", "source"]


async def test_what_nodes_share_is_closed_however_the_run_ends(stage, autojump_clock):
    class Shared:
        closed = False

        def close(self) -> None:
            self.closed = True

    made = []

    def make(ctx) -> Shared:
        made.append(Shared())
        return made[-1]

    async def share(ctx, task_status) -> None:
        assert ctx.shared(make) is ctx.shared(make)

    stage.behaviour = {"source": share}
    await stage.session().run(for_ns=seconds(1))
    with trio.move_on_after(1):
        await stage.session().run()
    assert [shared.closed for shared in made] == [True, True]


class TestFailure:
    @staticmethod
    def failing(after_s: float, error: Exception, times: int = 10**9, *, ready: bool = True) -> Behaviour:
        calls = []

        async def behaviour(ctx, task_status) -> None:
            if len(calls) < times:
                calls.append(trio.current_time())
                if ready:
                    task_status.started()
                await trio.sleep(after_s)
                raise error

        behaviour.calls = calls  # type: ignore[attr-defined]
        return behaviour

    @pytest.mark.parametrize("id", ["clock", "source", "sink"])
    async def test_stop_ends_the_run_and_says_why(self, stage, autojump_clock, id):
        stage.behaviour = {id: self.failing(1, NodeError("no such thing", "plug it in"))}
        report = await stage.session().run(for_ns=seconds(100))
        assert report["ended"] == "failed"
        assert report["nodes"][id]["state"] == "failed"
        assert report["nodes"][id]["failure"] == "no such thing (plug it in)"
        assert [event["node"] for event in report["events"] if event["name"] == "failed"] == [id]
        assert trio.current_time() < 1 + DRAIN_S + 1

    @pytest.mark.parametrize(("error", "told"), [(NodeError("not today"), False), (ValueError("odd"), True)])
    async def test_only_unforeseen_errors_come_with_a_traceback(self, stage, autojump_clock, capsys, error, told):
        stage.behaviour = {"clock": self.failing(1, ExceptionGroup("of a nursery", [error]))}
        await stage.session().run(for_ns=seconds(100))
        assert ("Traceback" in capsys.readouterr().err) is told

    @pytest.mark.parametrize("id", ["clock", "source", "sink"])
    async def test_a_node_that_fails_before_it_is_ready(self, stage, autojump_clock, id):
        stage.behaviour = {id: self.failing(0, NodeError("not today"), ready=False)}
        report = await stage.session().run(for_ns=seconds(100))
        assert report["ended"] == "failed"
        assert report["nodes"][id]["failure"] == "not today"
        later = {"clock": ["source", "sink"], "source": ["sink"], "sink": []}[id]
        assert not set(stage.of("start")) & set(later)

    async def test_isolate_goes_on_without_it(self, stage, autojump_clock):
        stage.behaviour = {"clock": self.failing(1, ValueError("odd"))}
        report = await stage.session(("clocks.clock.on-failure=isolate",)).run(for_ns=seconds(10))
        assert report["ended"] == "time"
        assert report["nodes"]["clock"]["failure"] == "ValueError: odd"
        assert report["nodes"]["source"]["state"] == "running"

    async def test_isolating_the_only_source_ends_its_stream_and_so_the_run(self, stage, autojump_clock):
        stage.behaviour = {"source": self.failing(1, ValueError("odd"))}
        report = await stage.session(("sources.source.on-failure=isolate",)).run(for_ns=seconds(10))
        assert report["ended"] == "completed"
        assert report["nodes"]["sink"]["state"] == "ended"
        assert trio.current_time() < 2

    @pytest.mark.slow
    async def test_restart_waits_longer_and_longer(self, stage, autojump_clock):
        failing = self.failing(0.1, OSError(5, "Input/output error"))
        stage.behaviour = {"source": failing}
        report = await stage.session(("sources.source.on-failure=restart",)).run(for_ns=seconds(120))
        pauses = [b - a - 0.1 - 0.01 for a, b in zip(failing.calls, failing.calls[1:], strict=False)]
        assert pauses[:6] == pytest.approx(RESTART_PAUSES_S, abs=0.001)
        assert pauses[6] == pytest.approx(RESTART_PAUSES_S[-1], abs=0.001)
        assert report["ended"] == "time"
        restarts = [event for event in report["events"] if event["name"] == "restarting"]
        assert restarts[0]["reason"] == "Input/output error"
        assert restarts[0]["pause_s"] == 0.5

    @pytest.mark.slow
    async def test_restart_begins_with_short_pauses_after_a_good_while(self, stage, autojump_clock):
        failing = self.failing(61, NodeError("worn out"))
        stage.behaviour = {"source": failing}
        await stage.session(("sources.source.on-failure=restart",)).run(for_ns=seconds(200))
        pauses = [b - a - 61 - 0.01 for a, b in zip(failing.calls, failing.calls[1:], strict=False)]
        assert pauses == pytest.approx([0.5, 0.5, 0.5], abs=0.001)

    async def test_a_node_that_is_restarted_runs_on(self, stage, autojump_clock):
        stage.behaviour = {"sink": self.failing(1, NodeError("hiccup"), times=2)}
        report = await stage.session(("sinks.sink.on-failure=restart",)).run(for_ns=seconds(10))
        assert report["ended"] == "time"
        assert stage.of("start").count("sink") == 3
        assert "failure" not in report["nodes"]["sink"]

    @pytest.mark.slow
    async def test_a_node_that_waits_to_restart_does_not_hold_up_the_end(self, stage, autojump_clock):
        stage.behaviour = {"sink": self.failing(0, NodeError("never well"))}
        session = stage.session(("sinks.sink.on-failure=restart",))
        await session.run(for_ns=seconds(100))
        assert trio.current_time() < 101

    async def test_a_failing_step_is_its_nodes_failure(self, stage, autojump_clock):
        async def attach(ctx, task_status) -> None:
            def step(now: int) -> int:
                if trio.current_time() > 1:
                    raise ArithmeticError("too much")
                return now + 1_000_000

            ctx.attach(step)

        stage.behaviour = {"source": attach}
        report = await stage.session().run(for_ns=seconds(10))
        assert report["nodes"]["source"]["failure"] == "ArithmeticError: too much"
        assert trio.current_time() < 3

    @pytest.mark.parametrize("rule", ["stop", "isolate", "restart"])
    async def test_a_failing_step_of_a_shared_object_is_the_failure_of_its_users(self, stage, autojump_clock, rule):
        made = []

        class Shared:
            def __init__(self, ctx):
                self.closed = False
                made.append(self)
                ctx.attach(self.step)

            def step(self, now):
                if len(made) == 1 and now > seconds(1):
                    raise OverflowError("Python int too large to convert to C long")
                return now + seconds(0.1)

            def close(self):
                self.closed = True

        async def use(ctx, task_status):
            ctx.shared(Shared)

        stage.behaviour["source"] = use
        graph = GRAPH + '[sources.other]\nkind = "probe"\n[sinks.other-sink]\nkind = "probe"\ninput = "other"\n'
        session = stage.session((f'sources.source.on-failure="{rule}"',), graph)
        report = await session.run(for_ns=seconds(5))
        states = {id: node["state"] for id, node in report["nodes"].items()}
        assert report["ended"] == ("failed" if rule == "stop" else "time")
        assert states["other"] != "failed", "a node that does not use the object goes on"
        assert states["source"] == ("running" if rule == "restart" else "failed")
        assert len(made) == (2 if rule == "restart" else 1), "who starts again gets a new one"
        assert all(shared.closed for shared in made)

    async def test_a_node_that_fails_while_it_is_cancelled(self, stage, autojump_clock):
        async def clumsy(ctx, task_status) -> None:
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                try:
                    await trio.sleep_forever()
                finally:
                    raise NodeError("could not close the file")

        stage.behaviour = {"source": clumsy}
        report = await stage.session().run(for_ns=seconds(1))
        assert report["nodes"]["source"]["state"] == "failed"
        assert report["nodes"]["source"]["failure"] == "could not close the file"
        assert stage.of("end")[-1] == "clock"

    async def test_a_node_that_is_never_ready(self, stage, autojump_clock):
        async def hangs(ctx, task_status) -> None:
            await trio.sleep_forever()

        stage.behaviour = {"source": hangs}
        report = await stage.session().run(for_ns=seconds(1000))
        assert report["ended"] == "failed"
        assert "not ready after 30 s" in report["nodes"]["source"]["failure"]
        assert trio.current_time() < START_TIMEOUT_S + 1
        assert "sink" not in stage.of("start")

    async def test_a_node_that_is_never_ready_may_be_done_without(self, stage, autojump_clock):
        async def hangs(ctx, task_status) -> None:
            await trio.sleep_forever()

        stage.behaviour = {"clock": hangs}
        report = await stage.session(("clocks.clock.on-failure=isolate",)).run(for_ns=seconds(10))
        assert report["ended"] == "time"
        assert report["nodes"]["clock"]["state"] == "failed"
        assert report["nodes"]["sink"]["state"] in ("ended", "running")


class TestDrain:
    async def test_a_sink_may_finish_what_it_has(self, stage, autojump_clock):
        async def slow_to_end(ctx, task_status) -> None:
            task_status.started()
            await session.supervisor._stopping.wait()
            await trio.sleep(3)
            stage.note("sink", "wrote the rest")

        stage.behaviour = {"sink": slow_to_end}
        session = stage.session()
        report = await session.run(for_ns=seconds(1))
        assert report["nodes"]["sink"]["state"] == "ended"
        assert stage.times["sink", "wrote the rest"] == pytest.approx(4)
        assert stage.times["source", "end"] > 4

    async def test_but_not_for_ever(self, stage, autojump_clock):
        async def stuck(ctx, task_status) -> None:
            task_status.started()
            await trio.sleep_forever()

        stage.behaviour = {"sink": stuck}
        await stage.session().run(for_ns=seconds(1))
        assert stage.times["sink", "end"] == pytest.approx(1 + DRAIN_S, abs=0.1)

    async def test_a_second_signal_ends_it_at_once(self, stage, autojump_clock):
        async def stuck(ctx, task_status) -> None:
            task_status.started()
            await trio.sleep_forever()

        stage.behaviour = {"sink": stuck}
        session = stage.session()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            await trio.sleep(1)
            session.supervisor.stop("signal")
            await trio.sleep(1)
            assert "sink" not in stage.of("end")
            session.supervisor.stop("signal")
        assert stage.times["sink", "end"] == pytest.approx(2, abs=0.1)
        assert session.supervisor.ended == "signal"

    async def test_a_stop_while_nodes_start_starts_no_more(self, stage, autojump_clock):
        async def slow(ctx, task_status) -> None:
            await trio.sleep(5)

        stage.behaviour = {"clock": slow}
        session = stage.session()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            await trio.sleep(1)
            session.supervisor.stop("signal")
        assert stage.of("start") == ["clock"]
        assert trio.current_time() < 5 + DRAIN_S


async def test_an_observer_that_fails_does_no_harm(stage, autojump_clock):
    class Observer:
        seen: list[str] = []  # noqa: RUF012

        @hookimpl
        def on_event(self, event) -> None:
            self.seen.append(event.name)
            raise RuntimeError("observer")

    async def tells(ctx, task_status) -> None:
        ctx.event("hello", answer=42)

    stage.registry.add("observer", "0", Observer())
    stage.behaviour = {"source": tells}
    report = await stage.session().run(for_ns=seconds(1))
    assert report["ended"] == "time"
    assert "hello" in Observer.seen
    assert report["events"][0]["answer"] == 42
