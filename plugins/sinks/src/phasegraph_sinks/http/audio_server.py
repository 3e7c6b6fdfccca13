"""Serves one stream to its listeners: one task a connection, with bounds on everything that a client may cost."""

from __future__ import annotations

from functools import partial

import h11
import trio

from phasegraph import Frames, NodeContext, NodeError, StreamFormat, frames_in

from .audio_encoders import AudioType
from .audio_requests import HttpAnswer, answer_request, refusal
from .listener_queue import ListenerQueue

MOST_CONNECTIONS = 64
"""Connections at a time, those that have asked for nothing yet included."""
REQUEST_S = 5.0
"""For a request to arrive."""
WRONG_PASSWORD_S = 1.0
"""A wrong password is answered after this time: with the bound of connections, 64 guesses a second at most."""
PATIENCE_S = 10.0
"""A listener that accepts nothing for this time is disconnected."""
QUEUE_NS = 2_000_000_000
"""What waits for a listener."""
_REQUEST_BYTES = 16_384


class AudioServer:
    """The listeners of one stream. Control plane only."""

    def __init__(
        self,
        ctx: NodeContext,
        format: StreamFormat,
        *,
        most_listeners: int,
        hosts: frozenset[str],
        password: str = "",
    ) -> None:
        """``hosts``: names of this server; ``password``: of listeners, empty where they need none."""
        self._ctx = ctx
        self._password = password
        self._format = format
        self._most_listeners = most_listeners
        self._hosts = hosts
        self._connections = 0
        self.queues: tuple[ListenerQueue, ...] = ()
        """Of the listeners now; replaced as a whole, since the data plane looks whether there are any."""
        self.listeners_since_start = 0
        self.requests_refused = 0
        self._frames_dropped = 0

    @property
    def frames_dropped(self) -> int:
        """Frames that listeners missed because they, or their connection, did not follow."""
        return self._frames_dropped + sum(queue.frames_dropped for queue in self.queues)

    def distribute(self, block: Frames) -> None:
        """Give a block to every listener."""
        for queue in self.queues:
            queue.append(block)

    def end(self) -> None:
        """The stream has ended: listeners get what waits, and then the end."""
        for queue in self.queues:
            queue.end()

    async def serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        """One connection, from its request to its end."""
        self._connections += 1
        try:
            async with stream:
                connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_REQUEST_BYTES)
                await self._handle_request(stream, connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a listener that leaves is no error
        finally:
            self._connections -= 1

    async def _handle_request(self, stream: trio.abc.HalfCloseableStream, connection: h11.Connection) -> None:
        request = None
        if self._connections > MOST_CONNECTIONS:
            answer = refusal(503, "too many connections", ("retry-after", "5"))
        else:
            answer = refusal(408, "the request did not arrive in time")
            with trio.move_on_after(REQUEST_S):
                try:
                    request = await _read_request(stream, connection)
                except h11.RemoteProtocolError as error:
                    answer = refusal(error.error_status_hint, "this is no HTTP request")
                else:
                    if request is None:
                        return
                    answer = answer_request(request, self._ctx.id, self._hosts, self._password)
            if answer.status == 401 and request is not None and dict(request.headers).get(b"authorization"):
                await trio.sleep(WRONG_PASSWORD_S)
        if answer.audio is not None and request is not None:
            answer = await self._stream_audio(stream, connection, request, answer, answer.audio)
        if answer.audio is None:
            self.requests_refused += answer.status != 200
            head = request is not None and request.method == b"HEAD"
            await _send(stream, connection, _response(answer), *([] if head else [h11.Data(data=answer.body)]))
            await _send(stream, connection, h11.EndOfMessage())

    async def _stream_audio(
        self,
        stream: trio.abc.HalfCloseableStream,
        connection: h11.Connection,
        request: h11.Request,
        answer: HttpAnswer,
        audio: AudioType,
    ) -> HttpAnswer:
        # Returns the answer that is still to be given, where this one cannot be.
        if request.method == b"HEAD":
            return HttpAnswer(answer.status, answer.headers)
        if len(self.queues) >= self._most_listeners:
            return refusal(503, f"there are {self._most_listeners} listeners already", ("retry-after", "5"))
        try:
            encoder = audio.make(self._format)
        except NodeError as error:
            return refusal(406, error.message)
        queue = ListenerQueue(frames_in(QUEUE_NS, self._format.rate))
        self.queues = (*self.queues, queue)
        self.listeners_since_start += 1
        try:
            await _send(stream, connection, _response(answer))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait_for_leave, stream, nursery.cancel_scope)
                while (block := await queue.next_block()) is not None:
                    await _send_data(stream, connection, await self._ctx.in_thread(partial(encoder.encode, block)))
                await _send_data(stream, connection, await self._ctx.in_thread(encoder.finish))
                await _send(stream, connection, h11.EndOfMessage())
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._frames_dropped += queue.frames_dropped
            self.queues = tuple(other for other in self.queues if other is not queue)
        return answer


async def _read_request(stream: trio.abc.ReceiveStream, connection: h11.Connection) -> h11.Request | None:
    # None where the client has left before it asked.
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(bytes(await stream.receive_some(_REQUEST_BYTES)))


async def _wait_for_leave(stream: trio.abc.ReceiveStream, streaming: trio.CancelScope) -> None:
    # A listener that has closed its side is gone; anything else that it sends is not read as a request.
    try:
        while await stream.receive_some(_REQUEST_BYTES):
            pass
    except trio.BrokenResourceError:
        pass
    streaming.cancel()


async def _send_data(stream: trio.abc.SendStream, connection: h11.Connection, data: bytes) -> None:
    if data:
        await _send(stream, connection, h11.Data(data=data))


async def _send(stream: trio.abc.SendStream, connection: h11.Connection, *events: h11.Event) -> None:
    data = b"".join(connection.send(event) or b"" for event in events)
    with trio.move_on_after(PATIENCE_S) as patience:
        await stream.send_all(data)
    if patience.cancelled_caught:
        await trio.aclose_forcefully(stream)
        raise trio.BrokenResourceError("the listener does not read")


def _response(answer: HttpAnswer) -> h11.Response:
    return h11.Response(status_code=answer.status, headers=list(answer.headers))
