"""The engine calls what is due, when it is due, whichever time it lives in."""

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import trio

from phasegraph import NodeError, SystemLocalClock
from phasegraph._run import engine as engine_module
from phasegraph._run.engine import ENGINE_THREAD, Engine
from phasegraph.testing import SimLocalClock

MS = 1_000_000


def unexpected(error: Exception) -> None:
    raise AssertionError("no step of this test fails") from error


def _may_have_priority() -> bool:
    # Asked of a thread of its own, whose priority ends with it.
    answers = []

    def ask() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        except OSError:
            answers.append(False)
        else:
            answers.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers == [True]


async def run_for(engine: Engine, seconds: float) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def run_until(engine: Engine, condition: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            while not condition():
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()


class TestVirtual:
    @pytest.mark.parametrize("ppm", [0, 90, -90])
    async def test_a_step_is_called_when_it_asked_to_be(self, autojump_clock, ppm):
        local = SimLocalClock(ppm=ppm)
        engine = Engine(local)
        asked, called = [local.now_ns()], []

        def step(now: int) -> int:
            called.append(now)
            asked.append(now + 125_000)
            return asked[-1]

        engine.attach(step, unexpected)
        await run_for(engine, 0.1)
        assert len(called) in (800, 801)
        late = [now - due for now, due in zip(called, asked, strict=False)]
        assert min(late) >= 0
        assert max(late) <= 20  # the difference of local and true nanoseconds

    async def test_steps_of_one_moment_keep_the_order_of_attaching(self, autojump_clock):
        engine = Engine(SimLocalClock())
        order = []

        def make(name: str, every: int):
            def step(now: int) -> int:
                order.append((now, name))
                return now + every

            return step

        for name, every in (("a", 2 * MS), ("b", MS), ("c", 3 * MS)):
            engine.attach(make(name, every), unexpected)
        await run_for(engine, 0.0065)
        begin = order[0][0]
        assert [(round((now - begin) / MS), name) for now, name in order] == [
            (0, "a"), (0, "b"), (0, "c"), (1, "b"), (2, "a"), (2, "b"), (3, "b"), (3, "c"), (4, "a"), (4, "b"),
            (5, "b"), (6, "a"), (6, "b"), (6, "c"),
        ]  # fmt: skip

    async def test_what_is_attached_or_hastened_while_all_sleep_is_called_at_once(self, autojump_clock):
        engine, called = Engine(SimLocalClock()), []

        def step(now: int) -> int:
            called.append(now)
            return now + 3600 * 1000 * MS

        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            await trio.sleep(1)
            attachment = engine.attach(step, unexpected)
            attached_ns = engine._local.now_ns()
            await trio.sleep(1)
            assert called == [attached_ns]
            attachment.call_now()
            await trio.sleep(1)
            assert called == [attached_ns, attached_ns + 1000 * MS]
            nursery.cancel_scope.cancel()

    async def test_a_step_that_fails_is_left_out_and_the_others_go_on(self, autojump_clock):
        engine = Engine(SimLocalClock())
        failures: list[Exception] = []
        calls = {"good": 0, "bad": 0}

        def good(now: int) -> int:
            calls["good"] += 1
            return now + MS

        def bad(now: int) -> int:
            calls["bad"] += 1
            if calls["bad"] == 3:
                raise ZeroDivisionError("nought")
            return now + MS

        detach = engine.attach(bad, failures.append).detach
        engine.attach(good, unexpected)
        await run_for(engine, 0.0105)
        assert calls == {"good": 11, "bad": 3}
        assert [str(error) for error in failures] == ["nought"]
        detach()  # again is harmless

    async def test_a_step_may_attach_and_detach_others(self, autojump_clock):
        engine = Engine(SimLocalClock())
        calls = []

        def second(now: int) -> int:
            calls.append("second")
            return now + MS

        def first(now: int) -> int:
            calls.append("first")
            if len(calls) == 1:
                detach.append(engine.attach(second, unexpected).detach)
            else:
                detach.pop()()
                return now + 1000 * MS
            return now + 3 * MS + MS // 2

        detach: list = []
        engine.attach(first, unexpected)
        await run_for(engine, 0.01)
        assert calls == ["first", "second", "second", "second", "second", "first"]

    async def test_a_step_may_detach_itself(self, autojump_clock):
        engine, called = Engine(SimLocalClock()), []

        def step(now: int) -> int:
            called.append(now)
            detach()
            return now + MS

        detach = engine.attach(step, unexpected).detach
        await run_for(engine, 0.01)
        assert len(called) == 1

    async def test_a_step_that_does_not_say_when_is_a_failure_of_its_node(self, autojump_clock):
        engine, failures, called = Engine(SimLocalClock()), [], []

        def forgets(now: int) -> None:
            return None

        def good(now: int) -> np.int64:
            called.append(now)
            return np.int64(now + MS)

        engine.attach(good, unexpected)
        engine.attach(forgets, failures.append)
        await run_for(engine, 0.0105)
        assert [type(error) for error in failures] == [TypeError]
        assert len(called) == 11

    async def test_what_was_detached_is_forgotten_however_far_its_next_turn(self, autojump_clock):
        engine = Engine(SimLocalClock())
        steps = []

        def attach_one() -> weakref.ref:
            class Step:
                def __call__(self, now: int) -> int:
                    return now + (1 << 60)

            step = Step()
            steps.append(engine.attach(step, unexpected).detach)
            return weakref.ref(step)

        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            left = attach_one()
            await trio.sleep(1)
            steps.pop()()
            await trio.sleep(1)
            assert left() is None
            nursery.cancel_scope.cancel()


class TestReal:
    async def test_a_step_is_called_at_once_where_that_is_asked_for(self):
        engine, called = Engine(SystemLocalClock()), []

        def step(now):
            called.append(now)
            return now + (1 << 60)

        attachment = engine.attach(step, unexpected)
        await run_until(engine, lambda: called)
        attachment.call_now()
        await run_until(engine, lambda: len(called) > 1)
        assert len(called) == 2

    async def test_a_step_that_is_always_due_does_not_starve_the_others(self):
        engine, greedy, patient = Engine(SystemLocalClock()), [], []

        def always(now):
            greedy.append(now)
            return 0  # a socket that is never empty

        def sometimes(now):
            patient.append(now)
            return now + MS

        detach = [engine.attach(step, unexpected).detach for step in (always, sometimes)]
        await run_until(engine, lambda: len(patient) > 20)
        for each in detach:
            each()
        assert len(greedy) > 20

    @pytest.mark.slow
    async def test_a_step_that_never_returns_fails_its_node_and_the_others_go_on(self, monkeypatch):
        engine, release, called, failures = Engine(SystemLocalClock()), threading.Event(), [], []

        def stuck(now):
            release.wait()
            raise OSError("too late")

        def good(now):
            called.append(now)
            return now + MS

        detach = engine.attach(stuck, failures.append).detach
        engine.attach(good, unexpected)
        try:
            await run_until(engine, lambda: len(called) > 20)
            monkeypatch.setattr(engine_module, "DETACH_S", 60.0)
            began = time.monotonic()
            detach()
            assert time.monotonic() - began < 30.0, "a thread that was left is not waited for"
        finally:
            release.set()
        assert [str(failure) for failure in failures] == ["a step of it did not return within 5 s"]

    @pytest.mark.slow
    async def test_a_slow_step_is_not_a_stuck_one(self):
        engine, called = Engine(SystemLocalClock()), []

        def slow(now):
            called.append(now)
            time.sleep(0.6)
            return now

        engine.attach(slow, unexpected)
        await run_until(engine, lambda: len(called) > 5)

    async def test_a_call_between_steps_is_made_by_its_thread_while_no_step_runs(self):
        engine, running, threads = Engine(SystemLocalClock()), [], []

        def step(now):
            running.append(True)
            time.sleep(0.002)
            running.pop()
            return now + MS

        def call():
            threads.append(threading.current_thread().name)
            return len(running)

        def refuse():
            raise ValueError("not now")

        engine.attach(step, unexpected)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(engine.run)
                assert [await engine.call_between_steps(call) for _ in range(20)] == [0] * 20
                with pytest.raises(ValueError, match="not now"):
                    await engine.call_between_steps(refuse)
                nursery.cancel_scope.cancel()
        assert set(threads) == {ENGINE_THREAD}

    async def test_a_call_between_steps_is_not_waited_for_without_end(self, monkeypatch):
        monkeypatch.setattr("phasegraph._run.engine.CALL_S", 0.1)
        engine, called = Engine(SystemLocalClock()), []  # it does not run
        with trio.fail_after(20), pytest.raises(NodeError, match="held up"):
            await engine.call_between_steps(lambda: called.append(True))
        engine.run_due_steps(0)
        assert called == []

    async def test_a_fault_of_the_engine_itself_is_raised(self, monkeypatch):
        engine = Engine(SystemLocalClock())
        monkeypatch.setattr(engine, "run_due_steps", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            await engine.run()

    async def test_a_step_that_never_returns_keeps_neither_detach_nor_the_end(self, monkeypatch):
        engine, begun, release = Engine(SystemLocalClock()), threading.Event(), threading.Event()
        monkeypatch.setattr(engine_module, "DETACH_S", 0.05)
        monkeypatch.setattr(engine_module, "STOP_S", 0.05)

        def stuck(now):
            begun.set()
            release.wait()
            return now + MS

        detach = engine.attach(stuck, unexpected).detach
        try:
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    await nursery.start(engine.run)
                    while not begun.is_set():
                        await trio.sleep(0.005)
                    detach()
                    nursery.cancel_scope.cancel()
        finally:
            release.set()

    async def test_steps_run_in_a_thread_of_their_own(self):
        engine, seen = Engine(SystemLocalClock()), []

        def step(now: int) -> int:
            seen.append((threading.current_thread().name, now))
            return now + MS

        detach = engine.attach(step, unexpected).detach
        await run_until(engine, lambda: len(seen) > 20)
        assert {name for name, _ in seen} == {"phasegraph-engine"}
        assert "phasegraph-engine" not in [thread.name for thread in threading.enumerate()]
        detach()

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have other ways")
    async def test_its_thread_has_real_time_priority_where_that_is_permitted(self):
        before, policies = os.sched_getscheduler(0), set()

        def step(now: int) -> int:
            policies.add(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
            return now + MS

        engine = Engine(SystemLocalClock())
        engine.attach(step, unexpected)
        await run_until(engine, lambda: bool(policies))
        assert policies == {os.SCHED_FIFO if _may_have_priority() else before}
        assert os.sched_getscheduler(0) == before

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have other ways")
    async def test_the_control_plane_has_real_time_priority_behind_it(self, monkeypatch):
        monkeypatch.setattr(engine_module, "CHECK_S", 0.01)
        policy, nice, ended = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), threading.Event()
        engine = Engine(SystemLocalClock())
        several = len(os.sched_getaffinity(0)) > 1
        try:
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    await nursery.start(engine.run)
                    await trio.sleep(0.01)
                    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == (
                        os.SCHED_RR if several and _may_have_priority() else policy
                    )
                    thread = threading.Thread(target=ended.wait)
                    thread.start()
                    assert os.sched_getscheduler(thread.native_id) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER
                    lifted = os.getpriority(os.PRIO_PROCESS, 0)  # as far as that is permitted
                    while os.getpriority(os.PRIO_PROCESS, thread.native_id) != lifted:
                        await trio.sleep(0.01)
                    nursery.cancel_scope.cancel()
        finally:
            ended.set()
        assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == (policy, nice)

    async def test_a_rest_is_waited_for(self):
        engine, busy = Engine(SystemLocalClock()), []

        def step(now: int) -> int:
            busy.append(True)
            time.sleep(0.002)
            busy.pop()
            return now + 10 * MS

        engine.attach(step, unexpected)
        found = []
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(engine.run)
                while found.count(True) < 20:
                    await trio.sleep(0.001)
                    rest_ns = engine.wait_for_rest(MS, 0.1)
                    found.append(MS <= rest_ns <= 10 * MS and not busy)
                assert engine.wait_for_rest(20 * MS, 0.02) == 0, "no rest is that long"
                nursery.cancel_scope.cancel()
        assert found.count(True) > found.count(False)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have other ways")
    async def test_it_gives_its_priority_up_when_it_is_asked_to(self):
        policies = []

        def step(now: int) -> int:
            policies.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
            if len(policies) == 5:
                engine.give_up_priority()
            return now + MS

        engine = Engine(SystemLocalClock())
        engine.attach(step, unexpected)
        await run_until(engine, lambda: len(policies) > 6)
        assert policies[-1] == os.SCHED_OTHER
        assert policies[0] == (os.SCHED_FIFO if _may_have_priority() else os.SCHED_OTHER)

    async def test_a_detached_step_is_not_running_any_more(self):
        engine = Engine(SystemLocalClock())
        inside = threading.Event()
        ended = []

        def slow(now: int) -> int:
            inside.set()
            time.sleep(0.05)
            ended.append(now)
            return now + MS

        detach = engine.attach(slow, unexpected).detach
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            while not inside.is_set():
                await trio.sleep(0.001)
            detach()
            count = len(ended)
            assert count >= 1
            await trio.sleep(0.1)
            assert len(ended) == count
            nursery.cancel_scope.cancel()

    async def test_attaching_and_detaching_wait_for_no_others_steps(self, monkeypatch):
        engine, begun, release = Engine(SystemLocalClock()), threading.Event(), threading.Event()
        monkeypatch.setattr(engine_module, "DETACH_S", 60.0)

        def busy(now: int) -> int:
            begun.set()
            release.wait()
            return now + MS

        engine.attach(busy, unexpected)
        giving_up = threading.Timer(30.0, release.set)
        giving_up.start()
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            while not begun.is_set():
                await trio.sleep(0.001)
            for _ in range(50):
                engine.attach(lambda now: now + 1000 * MS, unexpected).detach()
            assert not release.is_set(), "the other step had to return first"
            giving_up.cancel()
            release.set()
            nursery.cancel_scope.cancel()

    async def test_a_failure_is_told(self):
        engine, failures = Engine(SystemLocalClock()), []

        def step(now: int) -> int:
            raise OSError("gone")

        engine.attach(step, failures.append)
        await run_until(engine, lambda: bool(failures))
        assert [str(error) for error in failures] == ["gone"]

    async def test_runs_again_after_it_was_stopped(self):
        engine, count = Engine(SystemLocalClock()), []

        def step(now: int) -> int:
            count.append(now)
            return now + MS

        engine.attach(step, unexpected)
        await run_until(engine, lambda: len(count) > 3)
        first = len(count)
        await run_until(engine, lambda: len(count) > first)
