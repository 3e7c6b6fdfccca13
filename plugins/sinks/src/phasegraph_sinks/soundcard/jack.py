"""JACK through its own library: cards of a JACK server, or of PipeWire by ``pw-jack``.

PortAudio could reach them too, but it hides what places a frame in time. JACK numbers every frame of every cycle, and
names the time at which a cycle starts (`jack_get_cycle_times`), both alike for all clients of a server. So the relation
between a card's frames and time needs no estimate of this client's, and a cycle that the client missed shows in the
number of the next.

The cycle times come from a delay-locked loop in the server, which takes 4 s to follow an xrun of the server. Its error
can be computed back: JACK 2 changes its period by ``omega ** 2 * lag`` each cycle, where ``lag`` is how much later than
predicted the server woke (JackFrameTimer.cpp). `_LagFilter` does so, with the same result in all clients.
"""

from __future__ import annotations

import ctypes
import functools
import math
import statistics
from collections import deque
from collections.abc import Callable
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

_LOOP_OMEGA = 7.854e-7
"""Of JACK 2's loop: ``omega`` is this times the period in microseconds."""
_FLOAT32_ULPS = 1 << 29
"""A step of the loop's period, a float of 32 bits, in those of a float of 64."""
_WAKES_TIME_US = 250_000
_MOST_WAKES = 190
_JUMP_WAKES = 3
_JUMP_TIME_US = 20_000
"""Wake-ups in a row that are a jump, or of that time, if it has more; fewer were late. The mean of these is what a jump
is corrected by at once, and a wake-up at a period of 64 is known to within 111 us."""
_JUMP_CYCLES = 16
"""Cycles after a jump in which the stamps may move by whole frames."""
_SETTLING_US = 1_000_000
"""Time after a jump in which the least lag that is corrected grows from nothing to its value."""
_LEAST_JUMP_US, _LEAST_LAG_US = 250.0, 10.0
_JUMP_STEPS, _LAG_STEPS = 1.5, 0.15
"""The least jump that is one, and the least lag that is corrected (the loop removes less within seconds, and a
correction would be noise), each with a share of the step in which a lag is known: 111 us at a period of 64, 28 us at
256."""
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


class _LagFilter:
    # How late JACK 2's cycle times are, in microseconds. Each wake-up (the loop's prediction and its lag) is compared
    # with the nominal rate; the mean of a quarter of a second is the truth. After a jump, which is found or reported,
    # only newer wake-ups count. 0 in the steady state, where the loop is better than this.

    def __init__(self, nominal_us: float) -> None:
        self._nominal_us = nominal_us
        self._gain = (_LOOP_OMEGA * nominal_us) ** 2
        step_us = math.ulp(nominal_us) * _FLOAT32_ULPS / self._gain
        self._jump_us = _LEAST_JUMP_US + _JUMP_STEPS * step_us
        self._least_lag_us = _LEAST_LAG_US + _LAG_STEPS * step_us
        self._origin_us = 0
        self._period_us = 0.0
        self.since_jump = int(_SETTLING_US / nominal_us)
        """Cycles since the newest jump: clients that see the same cycles agree on it."""
        self._doubtful: list[float] = []
        self._jump_reported = False
        self._jump_wakes = max(_JUMP_WAKES, int(_JUMP_TIME_US / nominal_us))
        self._wakes: deque[float] = deque(maxlen=max(5, min(_MOST_WAKES, int(_WAKES_TIME_US / nominal_us))))

    def update(self, cycles: float, current_us: int, period_us: float, *, successive: bool) -> float:
        """``cycles``: periods since the first, missed cycles included; ``successive``: none was missed just now."""
        self._origin_us = self._origin_us or current_us
        predicted = current_us - self._origin_us - cycles * self._nominal_us
        before_us, self._period_us = self._period_us, period_us
        self.since_jump += 1
        if before_us and successive:
            self._add_wake(predicted + (period_us - before_us) / self._gain)
        if not self._wakes:
            return 0.0
        lag = statistics.fmean(self._wakes) - predicted
        least_us = self._least_lag_us * min(1.0, self.since_jump * self._nominal_us / _SETTLING_US)
        return math.copysign(max(0.0, abs(lag) - least_us), lag)

    def expect_jump(self) -> None:
        """The server reports an xrun: its time may have jumped, by less than can be told from a late wake-up."""
        self._jump_reported = True
        self._doubtful.clear()

    def _add_wake(self, wake_us: float) -> None:
        if self._wakes and (self._jump_reported or abs(wake_us - statistics.fmean(self._wakes)) > self._jump_us):
            self._doubtful.append(wake_us)
            if len(self._doubtful) < self._jump_wakes:
                return
            self._wakes.clear()
            self._wakes.extend(self._doubtful)
            self.since_jump, self._jump_reported = 0, False
        else:
            self._wakes.append(wake_us)
        self._doubtful.clear()


class JackCard:
    """A client of the server that is connected to one card. Calls may block without limit: it lives in a child process.

    Fields that the server's threads write: ``_lost`` (shutdown) and ``_xrun_until_ns`` (xrun). The process callback
    alone writes the ring, ``_frame``, ``_xrun_known_ns`` and ``_lag``; `update_latency` writes ``_latency``.
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
        self._lag = _LagFilter(nominal_us) if version.startswith("1.9.") else None
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
        self.opened = OpenedCard(card, self._latency / rate, "JACK's cycle times")

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
        lag = 0.0
        if self._lag is not None:
            if count != self._count:  # the server's period has changed
                self._lag = _LagFilter(count / self._rate * 1e6)
            if self._xrun_known_ns != self._xrun_until_ns:
                self._xrun_known_ns = self._xrun_until_ns
                self._lag.expect_jump()
            lag = self._lag.update(ring.called / count, current.value, period.value, successive=not lost)
        now_s = (current.value + lag) * 1e-6
        latency_s = self._latency / self._rate
        device_s = now_s - latency_s if self._capture else now_s + latency_s
        self._frame, self._count = frame, count
        entry_ns = self._now_ns()
        # Where the jump shows in the times, that decides: the server reports xruns to each client when it can.
        xrun = entry_ns < self._xrun_until_ns if self._lag is None else self._lag.since_jump < _JUMP_CYCLES
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

    def _on_xrun(self, argument: Any) -> int:
        self._xrun_until_ns = self._now_ns() + _AFTER_XRUN_NS
        return 0

    def _on_shutdown(self, code: int, reason: bytes | None, argument: Any) -> None:
        self._lost = (reason or b"").decode("utf-8", "replace") or "the JACK server ended"


def _port_samples(lib: Any, port: Any, count: int) -> Any:
    address = lib.jack_port_get_buffer(port, count)
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))


def _escaped(name: str) -> str:
    return "".join(f"\\{letter}" if letter in r".^$*+?()[]{}|\/" else letter for letter in name)
