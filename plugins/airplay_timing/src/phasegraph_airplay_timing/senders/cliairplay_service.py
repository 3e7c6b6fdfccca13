"""Serves cliairplay's streams: their commands, and the samples of the clock in shared memory."""

from __future__ import annotations

import contextlib
from collections import Counter

from phasegraph.net import Arrival, StampedSocket

from ..mapped_file import MappedFile
from ..participant import EmitEvent
from . import cliairplay
from .receiver_registry import ReceiverRegistry


class CliairplayService:
    """The memory is cleared and removed by `close`: its clients look for it again."""

    def __init__(self, directory: str, receivers: ReceiverRegistry, emit_event: EmitEvent) -> None:
        """Raises NodeError where the memory is not available."""
        self.refused: Counter[str] = Counter()
        """Commands that are not understood, by reason."""
        self._receivers = receivers
        self._emit_event = emit_event
        self._updates = 0
        self._file = MappedFile(cliairplay.NAME, directory, cliairplay.SIZE, reopened=True)
        self._file.memory[:] = cliairplay.encode_header().ljust(cliairplay.SIZE, b"\0")

    def handle_command(self, socket: StampedSocket, item: Arrival, clock: int, *, leads: bool = True) -> bool:
        """Apply and answer a datagram of the control port; returns whether it names or removes receivers.

        ``clock`` is the identity of the grandmaster, and ``leads`` says whether that is the server.
        """
        try:
            request = cliairplay.parse_control(item.data)
        except ValueError as error:
            self.refused["control"] += 1
            if self.refused["control"] == 1:
                self._emit_event("refused", reason=str(error))
            return False
        self._receivers.apply_control(request)
        with contextlib.suppress(OSError):  # a client that is gone needs no answer
            socket.send(cliairplay.acknowledgement(len(self._receivers.addresses), clock, leads=leads), item.source)
        return bool(request.addresses)

    def publish(
        self,
        *,
        clock: int,
        realtime_ns: int,
        timeline_ns: int,
        started_ns: int,
        leads: bool = True,
        locked: bool = True,
    ) -> None:
        """Write a sample: the timeline's time at an instant of CLOCK_REALTIME, and when the timeline began."""
        self._updates += 1
        sample = cliairplay.CliairplaySample(
            updates=self._updates,
            clock=clock,
            realtime_ns=realtime_ns,
            offset_ns=timeline_ns - realtime_ns,
            started_ns=started_ns,
            leads=leads,
            locked=locked,
        )
        self._file.write_twice(sample.encode(), cliairplay.MAIN, cliairplay.SECONDARY)

    def metrics(self) -> dict[str, int]:
        """How many commands were refused, by the reason."""
        return {f"sender_refused_{reason}": count for reason, count in self.refused.items()}

    def close(self) -> None:
        """Clear and remove the memory: a client that has it mapped sees that no server is left."""
        self._file.write_twice(
            bytes(cliairplay.MAIN.stop - cliairplay.MAIN.start), cliairplay.MAIN, cliairplay.SECONDARY
        )
        self._file.close(remove=True)
