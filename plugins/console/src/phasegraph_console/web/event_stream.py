"""Server-sent events: status, events and ends of runs, to one reader (WHATWG HTML, 9.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .followed_run import TimedEvent, json_bytes
from .run_directory import RunDirectory

COMMENT_S = 5.0
"""A comment is sent after this time without anything else, so that both ends notice a dead connection."""
MOST_STREAMS = 100


class RunEventData(msgspec.Struct, frozen=True, kw_only=True):
    """The data of ``event: event``."""

    run: str
    event: TimedEvent
    lost: int
    """Events before this one that this reader was too slow for."""


async def send_changes(
    directory: RunDirectory, only: str | None, send_lines: Callable[[bytes], Awaitable[None]]
) -> None:
    """``overview`` of each run, at first and when it changes, ``event`` for each event, ``gone`` for a forgotten run.

    ``only``: of this run alone. Goes on until cancelled.
    """
    with directory.feed() as feed:
        await send_lines(b"retry: 1000\n\n")
        for name in list(directory.runs):
            if only in (None, name):
                await send_lines(_overview(directory, name))
        await send_lines(_lines("ready", b"{}"))
        while True:
            changes = []
            with trio.move_on_after(COMMENT_S):
                changes = await feed.next_changes()
            if not changes:
                await send_lines(b": nothing new\n\n")
            lost, feed.events_lost = feed.events_lost, 0
            for change in changes:
                if only not in (None, change.run):
                    continue
                if change.event is None:
                    await send_lines(_overview(directory, change.run))
                else:
                    data = RunEventData(run=change.run, event=change.event, lost=lost)
                    await send_lines(_lines("event", json_bytes(data)))
                    lost = 0


class EventStreamResponse(Response):
    """Sends `send_changes` until the client leaves."""

    def __init__(self, directory: RunDirectory, only: str | None) -> None:
        super().__init__(media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._directory = directory
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def send_lines(lines: bytes) -> None:
            await send({"type": "http.response.body", "body": lines, "more_body": True})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_changes, self._directory, self._only, send_lines)
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()


def _overview(directory: RunDirectory, name: str) -> bytes:
    run = directory.runs.get(name)
    if run is None:
        return _lines("gone", json_bytes({"run": name}))
    return _lines("overview", json_bytes(run.overview(trio.current_time())))


def _lines(event: str, data: bytes) -> bytes:
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
