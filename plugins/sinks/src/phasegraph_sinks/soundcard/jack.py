"""JACK through its own library: cards of a JACK server, or of PipeWire by ``pw-jack``.

PortAudio could reach them too, but it hides what places a frame in time. JACK numbers every frame of every cycle, and
names the time at which a cycle starts, both alike for all clients of a server. So a cycle that the client missed shows
in the number of the next.

JACK 2's cycle times (`jack_get_cycle_times`) come from a delay-locked loop in the server, which takes 4 s to follow an
xrun of the server. The moment at which the server woke for a cycle is known without it, to a frame, by
`jack_frames_since_cycle_start`. `_WakeFilter` makes the times of frames from these moments: the same in all clients
within a few microseconds, since all see the same cycles. PipeWire's times are exact as they are.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import statistics
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ctypes.util import find_library
from typing import Any

import numpy as np

from phasegraph import NodeError

from .card_memory import CaptureRing, PlayRing
from .cards import Card, CardRequest, OpenedCard, check_channels

HOST_API = "JACK Audio Connection Kit"
_AUDIO = b"32 bit float mono audio"
_IS_INPUT, _IS_OUTPUT = 1, 2
_NO_START_SERVER = 1
_CAPTURE_LATENCY, _PLAYBACK_LATENCY = 0, 1
_WRAP = 1 << 32
_MOST_LOST = 1 << 28
"""Frames beyond which a jump of the server's count is no loss: the count started again."""

_WAKES_TIME_US = 250_000
_MOST_WAKES = 190
_JUMP_WAKES, _FOUND_WAKES = 3, 5
_JUMP_TIME_US = 20_000
"""Wake-ups in a row that show a jump which the server has reported, and one which it has not; those of that time, if
it has more."""
_DISAGREEING_WAKES = 12
"""A jump moves all wake-ups alike. Those that differ by more than the least jump are one only where they are this many,
of a quarter of a second at least."""
_LEAST_JUMP_US = 150.0
_FIRST_SCATTER_US, _SCATTER_WAKES = 20.0, 32
_JUMP_SCATTERS = 6.0
"""How far the median of new wake-ups is off after an xrun that took time, in mean deviations over the root of their
number. A client that was late is reported as an xrun too, and takes none."""
_SLEW = 200e-6
"""Largest difference from the learned rate of the server at which the times follow without a jump."""
_LARGEST_RATE = 1000e-6
"""Largest difference from the learned rate that is no jump. A clock that NTP sets right is off by half of it."""
_LARGEST_SLIP = 0.75
"""Frames by which the times of frames may be off, where `_SLEW` does not suffice, before they move at once. At less
than half a frame no frame would be lost then."""
_MOVED_CYCLES = 4
"""Cycles after such a move in which stamps may have jumped."""
_LONGEST_READING_US = 20
"""A wake-up that took longer to read was read while the thread waited for a processor."""
_AFTER_XRUN_NS = 750_000_000
"""How long after an xrun of the server the stamps may jump."""

_PROCESS = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)
_XRUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_SHUTDOWN = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class _LatencyRange(ctypes.Structure):
    _fields_ = (("min", ctypes.c_uint32), ("max", ctypes.c_uint32))


_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "jack_client_open": (_POINTER, (ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int))),
    "jack_client_close": (ctypes.c_int, (_POINTER,)),
    "jack_activate": (ctypes.c_int, (_POINTER,)),
    "jack_is_realtime": (ctypes.c_int, (_POINTER,)),
    "jack_get_sample_rate": (ctypes.c_uint32, (_POINTER,)),
    "jack_get_buffer_size": (ctypes.c_uint32, (_POINTER,)),
    "jack_port_register": (_POINTER, (_POINTER, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong)),
    "jack_port_name": (ctypes.c_char_p, (_POINTER,)),
    "jack_port_by_name": (_POINTER, (_POINTER, ctypes.c_char_p)),
    "jack_port_get_buffer": (_POINTER, (_POINTER, ctypes.c_uint32)),
    "jack_port_get_latency_range": (None, (_POINTER, ctypes.c_int, ctypes.POINTER(_LatencyRange))),
    "jack_connect": (ctypes.c_int, (_POINTER, ctypes.c_char_p, ctypes.c_char_p)),
    "jack_get_ports": (
        ctypes.POINTER(ctypes.c_char_p),
        (_POINTER, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong),
    ),
    "jack_free": (None, (_POINTER,)),
    "jack_set_process_callback": (ctypes.c_int, (_POINTER, _PROCESS, _POINTER)),
    "jack_set_xrun_callback": (ctypes.c_int, (_POINTER, _XRUN, _POINTER)),
    "jack_on_info_shutdown": (None, (_POINTER, _SHUTDOWN, _POINTER)),
    "jack_get_time": (ctypes.c_uint64, ()),
    "jack_frames_since_cycle_start": (ctypes.c_uint32, (_POINTER,)),
    "jack_get_version_string": (ctypes.c_char_p, ()),
    "jack_set_error_function": (None, (_MESSAGE,)),
    "jack_set_info_function": (None, (_MESSAGE,)),
    "jack_get_cycle_times": (
        ctypes.c_int,
        (
            _POINTER,
            ctypes.POINTER(ctypes.c_uint32),
            ctypes.POINTER(ctypes.c_uint64),
            ctypes.POINTER(ctypes.c_uint64),
            ctypes.POINTER(ctypes.c_float),
        ),
    ),
}


_ignore = _MESSAGE(lambda message: None)


@functools.cache
def library() -> Any:
    """The library; None where it is missing or too old."""
    name = find_library("jack") or "libjack.so.0"
    try:
        loaded = ctypes.CDLL("libjack.so.0" if name.startswith("libjack.so") else name)
        for function, (result, arguments) in _SIGNATURES.items():
            bound = getattr(loaded, function)
            bound.restype, bound.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    # The library prints to stderr otherwise, whether a server runs or not.
    loaded.jack_set_error_function(_ignore)
    loaded.jack_set_info_function(_ignore)
    return loaded


def jack_cards(first_index: int) -> list[Card]:
    """The clients of the running server that play or capture audio, numbered from ``first_index``; none without one."""
    lib = library()
    client = None if lib is None else _open_client("phasegraph-list")
    if client is None:
        return []
    try:
        rate = lib.jack_get_sample_rate(client)
        counts: dict[str, list[int]] = {}
        for flag in (_IS_OUTPUT, _IS_INPUT):  # what a client puts out is our input
            for port in _ports(client, flag):
                if not port.startswith("phasegraph-"):
                    counts.setdefault(port.rsplit(":", 1)[0], [0, 0])[flag == _IS_INPUT] += 1
        names = sorted(counts, key=lambda name: (name != "system", name))
        return [
            Card(first_index + place, name, HOST_API, counts[name][0], counts[name][1], rate)
            for place, name in enumerate(names)
        ]
    finally:
        lib.jack_client_close(client)


def _open_client(name: str) -> Any:
    status = ctypes.c_int(0)
    return library().jack_client_open(name.encode(), _NO_START_SERVER, ctypes.byref(status))


def _ports(client: Any, flags: int, pattern: str = "") -> list[str]:
    lib = library()
    found = lib.jack_get_ports(client, pattern.encode(), _AUDIO, flags)
    names: list[str] = []
    if found:
        while (name := found[len(names)]) is not None:
            names.append(name.decode("utf-8", "replace"))
        lib.jack_free(found)
    return names


class _WakeFilter:
    # When JACK 2's cycles begin, in microseconds. Each wake-up of the server is compared with when it was due; the
    # median of a quarter of a second is the truth. After a jump, which is found or reported, only newer wake-ups count.
    # The period is learned from how the median moves: NTP changes the rate of the server's clock by 500 ppm.
    #
    # Wake-ups scatter, by some 20 us and now and then by milliseconds. So does the median of few of them, and a quarter
    # of a second has but five of a long period. Only after a jump, until the median has all its wake-ups again, do the
    # times move at once; otherwise they follow by `_SLEW`. What looks like a jump and is none is a click.

    def __init__(self, nominal_us: float, frame_us: float) -> None:
        self._nominal_us = self._period_us = nominal_us
        self._largest_slip_us = _LARGEST_SLIP * frame_us
        self._due_us = self._cycles = 0.0
        self._place_us = self._median_us = 0.0
        self.since_moved = _MOVED_CYCLES
        """Cycles since the times have moved at once: clients that see the same cycles agree on it."""
        window = max(5, min(_MOST_WAKES, int(_WAKES_TIME_US / nominal_us)))
        # Until its rate is learned, a server moves the newest wake-up away from the median of all.
        self._least_jump_us = _LEAST_JUMP_US + _LARGEST_RATE * nominal_us * (window / 2 + 1)
        self._jump_wakes = max(_JUMP_WAKES, int(_JUMP_TIME_US / nominal_us))
        self._found_wakes = max(_FOUND_WAKES, self._jump_wakes)
        self._doubtful: deque[float] = deque(maxlen=max(_DISAGREEING_WAKES, window))
        self._jump_reported = False
        self._wakes: deque[float] = deque(maxlen=window)
        self._window = self._first_cycles = window
        self._scatter_us = _FIRST_SCATTER_US
        """Mean deviation of the wake-ups from the median."""
        self._settling = 0
        """Cycles until the median after a jump is one of all wake-ups that it should have."""

    def begin_us(self, cycles: float, current_us: int, wake_us: float | None) -> float:
        """When this cycle begins. ``cycles``: periods since the first, missed cycles included; ``current_us``: by the
        server's loop; ``wake_us``: when the server woke, if that is known."""
        passed, self._cycles = (cycles - self._cycles if self._due_us else 0.0), cycles
        self._due_us = (self._due_us or current_us) + passed * self._period_us
        self.since_moved += 1
        if wake_us is not None:
            self._add_wake(wake_us - self._due_us)
        if not self._wakes:
            return current_us
        wanted_us, before_us = statistics.median(self._wakes), self._median_us
        self._median_us = wanted_us
        change_us = _within(wanted_us - before_us, _LARGEST_RATE * passed * self._nominal_us)
        if not self._settling:
            self._period_us += change_us / max(self._window, passed)
        if self._first_cycles:
            self._first_cycles -= 1
            self._place_us = wanted_us
        elif self._settling:
            self._settling -= 1
            if abs(wanted_us - self._place_us) > self._largest_slip_us:
                self._place_us, self.since_moved = wanted_us, 0
        self._place_us += _within(wanted_us - self._place_us, _SLEW * passed * self._nominal_us)
        return self._due_us + self._place_us

    def expect_jump(self) -> None:
        """The server reports an xrun: its time may have jumped, by less than can be told from a late wake-up."""
        self._jump_reported = True
        self._doubtful.clear()

    def _add_wake(self, wake_us: float) -> None:
        usual_us = statistics.median(self._wakes) if self._wakes else wake_us
        if not self._jump_reported and abs(wake_us - usual_us) <= self._least_jump_us:
            self._wakes.append(wake_us)
            self._scatter_us += (abs(wake_us - usual_us) - self._scatter_us) / _SCATTER_WAKES
            self._doubtful.clear()
            return
        self._doubtful.append(wake_us)
        count = self._jump_wakes if self._jump_reported else self._found_wakes
        if len(self._doubtful) < count:
            return
        newest = sorted(list(self._doubtful)[-count:])
        agreeing = newest[: count - count // 3] if self._jump_reported else newest
        if agreeing[-1] - agreeing[0] > self._least_jump_us and len(self._doubtful) < (self._doubtful.maxlen or 0):
            return  # the server is late again and again
        if self._jump_reported:
            least_us = max(self._largest_slip_us, _JUMP_SCATTERS * self._scatter_us / math.sqrt(count))
        else:
            least_us = self._least_jump_us
        if abs(statistics.median(newest) - usual_us) > least_us:
            self._wakes.clear()
            self._settling = self._window
        self._wakes.extend(newest)
        self._doubtful.clear()
        self._jump_reported = False


def _within(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)


class JackCard:
    """A client of the server that is connected to one card. Calls may block without limit: it lives in a child process.

    Fields that the server's threads write: ``_lost`` (shutdown) and ``_xrun_until_ns`` (xrun). The process callback
    alone writes the ring, ``_frame``, ``_xrun_known_ns`` and ``_wakes``; `update_latency` writes ``_latency``.
    """

    def __init__(
        self, card: Card, request: CardRequest, ring: PlayRing | CaptureRing, now_ns: Callable[[], int]
    ) -> None:
        """Raises NodeError where the card does not have what is requested, or the server refuses."""
        check_channels(card, request)
        self._lib = lib = library()
        self._client = client = _open_client(f"phasegraph-{request.node}"[:32])
        if client is None:
            raise NodeError("the JACK server does not answer", "start it, or choose another device", option="device")
        rate = lib.jack_get_sample_rate(client)
        if rate != request.rate:
            lib.jack_client_close(client)
            raise NodeError(
                f"the JACK server runs at {rate / 1000:g} kHz, not {request.rate / 1000:g} kHz",
                "start the server at the stream's rate; nothing is converted silently",
                option="rate",
            )
        self._ring, self._now_ns, self._rate = ring, now_ns, rate
        self._capture = request.direction == "input"
        self._lost = ""
        self._xrun_until_ns = self._xrun_known_ns = 0
        self._frame: int | None = None
        self._count = 0
        self._latency = 0
        version = (lib.jack_get_version_string() or b"").decode()
        nominal_us = lib.jack_get_buffer_size(client) / rate * 1e6
        self._wakes = _WakeFilter(nominal_us, 1e6 / rate) if version.startswith("1.9.") else None
        self._times = (ctypes.c_uint32(), ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_float())
        self._scratch = np.zeros((ring.capacity, request.channels), np.float32)
        self._scratch_bytes = self._scratch.data.cast("B")
        # The callbacks are kept: the library calls them as long as the client lives.
        self._callbacks = (_PROCESS(self._process), _XRUN(self._on_xrun), _SHUTDOWN(self._on_shutdown))
        process, xrun, shutdown = self._callbacks
        lib.jack_set_process_callback(client, process, None)
        lib.jack_set_xrun_callback(client, xrun, None)
        lib.jack_on_info_shutdown(client, shutdown, None)
        word, flag = ("in", _IS_INPUT) if self._capture else ("out", _IS_OUTPUT)
        self._ports = [
            lib.jack_port_register(client, f"{word}_{channel}".encode(), _AUDIO, flag, 0)
            for channel in range(request.channels)
        ]
        ordinary = not lib.jack_is_realtime(client)
        if ordinary:
            give_up_priority()  # the library's threads inherit it
        other = _IS_OUTPUT if self._capture else _IS_INPUT
        self._device_ports = _ports(client, other, f"^{_escaped(card.name)}:")[: request.channels]
        self.update_latency()
        if None in self._ports or lib.jack_activate(client):
            lib.jack_client_close(client)
            raise NodeError(f"the JACK server refuses a client for {card.name}", option="device")
        for port, device_port in zip(self._ports, self._device_ports, strict=False):
            ours, theirs = lib.jack_port_name(port), device_port.encode()
            lib.jack_connect(client, *((theirs, ours) if self._capture else (ours, theirs)))
        self.update_latency()
        self.opened = OpenedCard(
            card, self._latency / rate, "JACK's cycle times", "the JACK server" if ordinary else ""
        )

    def is_active(self) -> bool:
        """Whether the server runs."""
        return not self._lost

    @property
    def lost_reason(self) -> str:
        """Why the server ended; empty while it runs."""
        return self._lost

    def time_ns(self) -> int:
        """The server's time."""
        return int(self._lib.jack_get_time()) * 1000

    def update_latency(self) -> None:
        """Read the latency of the card's ports again: it follows the server's period."""
        mode = _CAPTURE_LATENCY if self._capture else _PLAYBACK_LATENCY
        latencies = []
        for name in self._device_ports:
            port = self._lib.jack_port_by_name(self._client, name.encode())
            if port is not None:
                span = _LatencyRange()
                self._lib.jack_port_get_latency_range(port, mode, ctypes.byref(span))
                latencies.append(span.max)
        self._latency = max(latencies, default=0)

    def close(self, *, played_out: bool) -> None:
        """Leave the server. `Player` ends when all frames have sounded, so nothing is left to wait for."""
        if not self._lost:
            self._lib.jack_client_close(self._client)

    def _process(self, count: int, argument: Any) -> int:
        frames, current, following, period = self._times
        self._lib.jack_get_cycle_times(
            self._client, ctypes.byref(frames), ctypes.byref(current), ctypes.byref(following), ctypes.byref(period)
        )
        frame, ring = frames.value, self._ring
        lost = 0
        if self._frame is not None:
            lost = (frame - self._frame - self._count) % _WRAP
            if 0 < lost < _MOST_LOST:
                ring.lost_frames += lost
                ring.lost_cycles += 1
                if isinstance(ring, CaptureRing):
                    ring.skip_lost(lost)
                else:
                    ring.called += lost
        now_us: float = current.value
        if self._wakes is not None:
            if count != self._count:  # the server's period has changed
                self._wakes = _WakeFilter(count / self._rate * 1e6, 1e6 / self._rate)
            if self._xrun_known_ns != self._xrun_until_ns:
                self._xrun_known_ns = self._xrun_until_ns
                self._wakes.expect_jump()
            now_us = self._wakes.begin_us(ring.called / count, current.value, self._wake_us())
        now_s = now_us * 1e-6
        latency_s = self._latency / self._rate
        device_s = now_s - latency_s if self._capture else now_s + latency_s
        self._frame, self._count = frame, count
        entry_ns = self._now_ns()
        # Where the jump shows in the times, that decides: the server reports xruns to each client when it can.
        xrun = entry_ns < self._xrun_until_ns if self._wakes is None else self._wakes.since_moved < _MOVED_CYCLES
        ring.note_callback(ring.called, count, device_s, now_s, entry_ns, xrun)
        lib, scratch = self._lib, self._scratch[:count]
        if isinstance(ring, CaptureRing):
            for channel, port in enumerate(self._ports):
                scratch[:, channel] = _port_samples(lib, port, count)
            ring.capture(self._scratch_bytes, count)
        else:
            ring.play(self._scratch_bytes, count)
            for channel, port in enumerate(self._ports):
                _port_samples(lib, port, count)[:] = scratch[:, channel]
        return 0

    def _wake_us(self) -> float | None:
        # When the server woke for this cycle, to a frame: the middle of that frame.
        before_us = self._lib.jack_get_time()
        frames = self._lib.jack_frames_since_cycle_start(self._client)
        taken_us = self._lib.jack_get_time() - before_us
        if taken_us > _LONGEST_READING_US:
            return None
        return float(before_us + 0.5 * taken_us - (frames + 0.5) * 1e6 / self._rate)

    def _on_xrun(self, argument: Any) -> int:
        self._xrun_until_ns = self._now_ns() + _AFTER_XRUN_NS
        return 0

    def _on_shutdown(self, code: int, reason: bytes | None, argument: Any) -> None:
        self._lost = (reason or b"").decode("utf-8", "replace") or "the JACK server ended"


def give_up_priority() -> None:
    """Give this thread, and those that it starts, the priority of an ordinary program."""
    if sys.platform == "linux":
        with suppress(OSError):  # without a privilege, it has none to give up
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        if os.getpriority(os.PRIO_PROCESS, 0) < 0:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, 0)


def _port_samples(lib: Any, port: Any, count: int) -> Any:
    address = lib.jack_port_get_buffer(port, count)
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))


def _escaped(name: str) -> str:
    return "".join(f"\\{letter}" if letter in r".^$*+?()[]{}|\/" else letter for letter in name)
