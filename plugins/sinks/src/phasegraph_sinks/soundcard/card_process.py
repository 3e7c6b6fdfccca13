"""A card in a process of its own: a sound server that dies or hangs cannot reach the run.

The parent makes the shared memory, starts ``python -m phasegraph_sinks.soundcard.card_process`` and writes one line of
JSON; the child opens the card and answers with one line. From then on they share memory only (`card_memory`). The
parent closes the child's standard input to end it, and kills it where it does not end. Every wait has a limit.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import BinaryIO, TypeVar

import msgspec

from phasegraph import NodeError, SystemLocalClock, child_process_options

from .card_memory import CaptureRing, PlayRing, memory_bytes
from .cards import CardRequest, OpenedCard

SUPPORTED = sys.platform != "win32"
"""Whether a process can share the memory here; elsewhere cards are opened in this process."""
START_S = 20.0
"""Longest time for a card to open: some drivers take seconds, a busy machine takes more."""
CLOSE_S = 2.0
"""Longest time for a card to close, once its frames have sounded."""
PLAY_OUT_S = 5.0
"""Longest time for the last frames to sound."""
_TICK_S = 0.1
_PRIORITY = 40
_MOST_ANSWER = 1 << 16
R = TypeVar("R", bound=PlayRing | CaptureRing)


class _Order(msgspec.Struct, frozen=True):
    # What the parent asks of the child.
    request: CardRequest
    memory: int
    """Descriptor of the shared memory."""
    capacity: int


class _Answer(msgspec.Struct, frozen=True):
    # What the child says once, before anything else.
    opened: OpenedCard | None = None
    error: str = ""
    hint: str = ""
    option: str = ""


class CardProcess:
    """A card that is open in a child process. Methods other than `is_active` block, for a limited time."""

    def __init__(self, request: CardRequest, ring_type: type[R], capacity: int) -> None:
        """Starts the child and waits until the card is open. Raises NodeError where it does not open."""
        size = memory_bytes(request.channels, capacity)
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self._notes = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
            self.ring: R = ring_type(request.channels, capacity, self._memory)
            self._child = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._notes,
                pass_fds=(file.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal is for the parent
                **child_process_options(),
            )
            order = _Order(request, file.fileno(), capacity)
            try:
                self.opened = self._opened(msgspec.json.encode(order))
            except BaseException:
                self.kill()
                raise

    def is_active(self) -> bool:
        """Whether the child has the card open."""
        return self._child.poll() is None

    @property
    def lost_reason(self) -> str:
        """Why the child ended, in the words of the driver or the system; empty while it runs."""
        code = self._child.poll()
        if code is None:
            return ""
        last = self._last_note()
        if code < 0:
            return f"the card's process was ended by signal {-code}" + (f": {last}" if last else "")
        return last or "the card stopped"

    def time_ns(self) -> int:
        """0: the child measures the driver's own time (`CardMemory.clock_offset_ns`)."""
        return 0

    def close(self, *, played_out: bool) -> None:
        """End the child; ``played_out`` lets the last frames sound."""
        try:
            assert self._child.stdin is not None
            with contextlib.suppress(OSError):
                self._child.stdin.write(b"play out\n" if played_out else b"close\n")
                self._child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(PLAY_OUT_S + CLOSE_S if played_out else CLOSE_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the child at once."""
        self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        for pipe in (self._child.stdin, self._child.stdout, self._notes):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _opened(self, order: bytes) -> OpenedCard:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.write(order + b"\n")
            self._child.stdin.flush()
        line = self._answer_line()
        if not line.endswith(b"\n"):
            words = self.lost_reason or f"it has not opened within {START_S:g} s"
            raise NodeError(f"the card cannot be opened: {words}", "see `kernel devices`", option="device")
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.opened is None:
            raise NodeError(answer.error, answer.hint, option=answer.option)
        return answer.opened

    def _answer_line(self) -> bytes:
        assert self._child.stdout is not None
        line, descriptor = b"", self._child.stdout.fileno()
        deadline = time.monotonic() + START_S
        while not line.endswith(b"\n") and len(line) < _MOST_ANSWER:
            ready = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]
            part = os.read(descriptor, 4096) if ready else b""
            if not part:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(0.5 if ready else 0.0)
                break
            line += part
        return line

    def _last_note(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._notes.seek(0)
            lines = self._notes.read(_MOST_ANSWER).decode("utf-8", "replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""


def main() -> None:
    """The child: opens one card, and ends when its standard input does, or when the card is lost."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent ends its child
    from . import card_host

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    local = SystemLocalClock()
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Order)
    request = order.request
    memory = mmap.mmap(order.memory, memory_bytes(request.channels, order.capacity))
    kind = PlayRing if request.direction == "output" else CaptureRing
    ring = kind(request.channels, order.capacity, memory)
    words: list[bytes] = []
    opened, ended = threading.Event(), threading.Event()

    def wait_for_parent() -> None:
        words.append(sys.stdin.buffer.readline())
        ended.set()
        if not opened.is_set():
            os._exit(1)  # the driver has not answered yet, and may never

    threading.Thread(target=wait_for_parent, daemon=True).start()
    _raise_priority()
    try:
        card = card_host.open_card(request, ring, local.now_ns)
    except NodeError as error:
        _write_answer(answers, _Answer(error=error.message, hint=error.hint, option=error.option))
        os._exit(0)
    opened.set()
    card_host.measure_clock(card, ring, local.now_ns)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would delay a callback
    _write_answer(answers, _Answer(opened=card.opened))
    while not ended.wait(_TICK_S) and card.is_active():
        card_host.measure_clock(card, ring, local.now_ns)
        update_latency = getattr(card, "update_latency", None)
        if update_latency is not None:
            update_latency()
    if not ended.is_set():
        sys.stderr.write(getattr(card, "lost_reason", "") or "the driver stopped")
        sys.stderr.flush()
    played_out = words[:1] == [b"play out\n"]
    closing = threading.Thread(target=lambda: card.close(played_out=played_out), daemon=True)
    closing.start()
    closing.join(PLAY_OUT_S if played_out else CLOSE_S / 2)
    os._exit(0)  # without the libraries' own endings, which may wait for a server that is gone


def _write_answer(answers: BinaryIO, answer: _Answer) -> None:
    answers.write(msgspec.json.encode(answer) + b"\n")
    answers.flush()


def _raise_priority() -> None:
    # Threads that the driver starts inherit it; JACK's have the server's.
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))


if __name__ == "__main__":
    main()
