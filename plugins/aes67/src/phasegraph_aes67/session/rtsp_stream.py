"""Connections that carry RTSP: what a peer may cost is bounded in octets and in time."""

from __future__ import annotations

import math

import trio

from .rtsp import MalformedRtsp

READ_BYTES = 4096
"""Octets that are read and handled at once; the control plane's other work comes in between."""
OCTETS_PER_S = 64 << 10
"""What is read in the long run, from all peers of one `ReadBudget`; a description has about 600 octets."""
BURST_S = 1.0
"""How much of that may come at once, as time."""
LEAST_COST = 256
"""Octets that one read costs at least."""
SEND_S = 5.0
"""A peer that does not read for this long is disconnected."""


class ReadBudget:
    """Delays reads so that peers cannot keep the control plane busy: its work would be audible."""

    def __init__(self) -> None:
        self._paid_until = -math.inf

    async def spend(self, octets: int) -> None:
        """Account for octets that were read; wait where they were too many."""
        now = trio.current_time()
        self._paid_until = max(self._paid_until, now) + max(octets, LEAST_COST) / OCTETS_PER_S
        await trio.sleep_until(self._paid_until - BURST_S)


class RtspStream:
    """A connection to a peer."""

    def __init__(self, stream: trio.abc.Stream, budget: ReadBudget) -> None:
        self._stream = stream
        self._budget = budget
        self._sending = trio.Lock()

    async def receive_some(self) -> bytes:
        """The next octets; empty where the peer has closed the connection. Raises OSError."""
        try:
            octets = bytes(await self._stream.receive_some(READ_BYTES))
        except trio.BrokenResourceError as error:
            raise OSError("the connection broke") from error
        await self._budget.spend(len(octets))
        return octets

    async def receive_answer(self) -> bytes:
        """The next octets. Raises OSError, or MalformedRtsp where the peer has closed the connection."""
        octets = await self.receive_some()
        if not octets:
            raise MalformedRtsp("it closed the connection without an answer")
        return octets

    async def send_all(self, octets: bytes) -> None:
        """Send, if there is anything to send. Raises OSError, also where the peer does not read."""
        if not octets:
            return
        async with self._sending:
            try:
                with trio.fail_after(SEND_S):
                    await self._stream.send_all(octets)
            except trio.TooSlowError as error:
                raise OSError("the peer does not read") from error
            except trio.BrokenResourceError as error:
                raise OSError("the connection broke") from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


async def connect(address: str, port: int) -> RtspStream:
    """A connection to a device. Raises OSError."""
    return RtspStream(await trio.open_tcp_stream(address, port), ReadBudget())
