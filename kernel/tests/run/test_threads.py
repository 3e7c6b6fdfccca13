"""Blocking calls of nodes: one that never returns is left behind, and what returns too late is released."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from phasegraph import NodeError
from phasegraph._run.threads import MOST_ABANDONED, WorkerThreads


async def wait_for(event: threading.Event) -> None:
    while not event.is_set():
        await trio.sleep(0.001)


async def test_a_call_gives_its_result_and_its_error() -> None:
    threads = WorkerThreads()
    assert await threads.run("card", lambda: 7, abandon=True, too_late=None) == 7

    def fail() -> None:
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        await threads.run("card", fail, abandon=False, too_late=None)


async def test_a_call_that_may_be_abandoned_is_left_when_it_is_cancelled() -> None:
    threads = WorkerThreads()
    release, released = threading.Event(), threading.Event()
    late: list[str] = []

    def work() -> str:
        release.wait()
        return "stream"

    def too_late(result: str) -> None:
        late.append(result)
        released.set()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: threads.run("card", work, abandon=True, too_late=too_late))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert late == []
    release.set()
    await wait_for(released)
    assert late == ["stream"]


async def test_other_calls_are_waited_for_until_the_run_is_ended_at_once() -> None:
    threads = WorkerThreads()
    begun, release = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        release.wait()
        done.append("written")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: threads.run("file", work, abandon=False, too_late=None))
        await wait_for(begun)
        nursery.cancel_scope.cancel()
        release.set()
    assert done == ["written"]

    release.clear()
    begun.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: threads.run("file", work, abandon=False, too_late=None))
        await wait_for(begun)
        nursery.cancel_scope.cancel()
        threads.abandon_all()
    assert done == ["written"], "the call has not returned, and nothing waited for it"
    release.set()


async def test_a_node_does_not_collect_calls_that_never_return() -> None:
    threads = WorkerThreads()
    release = threading.Event()
    for _ in range(MOST_ABANDONED):
        with trio.move_on_after(0):
            await threads.run("other", release.wait, abandon=True, too_late=None)
    for _ in range(MOST_ABANDONED):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: threads.run("card", release.wait, abandon=True, too_late=None))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    with pytest.raises(NodeError, match="8 earlier calls of this node have not returned"):
        await threads.run("card", release.wait, abandon=True, too_late=None)
    assert await threads.run("other", lambda: 1, abandon=True, too_late=None) == 1
    release.set()
    with trio.fail_after(60):
        while True:
            await trio.sleep(0.001)
            try:
                assert await threads.run("card", lambda: 2, abandon=True, too_late=None) == 2
                break
            except NodeError:
                continue
