"""Stamps of systems, drivers and interfaces that are not at hand: their messages, made by hand."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import StampKind, SystemLocalClock
from phasegraph.net import Interface
from phasegraph.net.stamped.foreign_clock import ForeignClock
from phasegraph.net.stamped.stamper import PacketStamp
from phasegraph.net.stamped.udp_socket import IP_PKTINFO, UdpSocket

NS = 1_000_000_000
REALTIME_NS = 1_790_000_000 * NS
linux = pytest.mark.skipif(sys.platform != "linux", reason="imports what only Linux has")


class Clock:
    """A local clock whose CLOCK_REALTIME is `REALTIME_NS` ahead."""

    virtual = True
    now = 1000 * NS

    def now_ns(self) -> int:
        return self.now

    def realtime_offset_ns(self) -> int:
        return REALTIME_NS


class Wire:
    """A socket with messages in its queues."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int, Any]] = []
        self.sent: list[tuple[bytes, Any]] = []
        self.errors: deque[list[tuple[int, int, bytes]]] = deque()
        self.data: deque[tuple[bytes, list[tuple[int, int, bytes]]]] = deque()

    def setsockopt(self, *option: Any) -> None:
        self.options.append(option)

    def sendto(self, data: bytes, address: Any) -> None:
        self.sent.append((data, address))

    def sendmsg(self, parts: list[bytes], control: list[Any], flags: int, address: Any) -> None:
        self.sent.append((parts[0], control))

    def recvmsg(self, size: int, room: int, flags: int = 0) -> tuple[bytes, Any, int, Any]:
        try:
            if flags:
                return b"", self.errors.popleft(), flags, None
            return (*self.data.popleft(), 0, ("10.0.0.2", 319))
        except IndexError:
            raise BlockingIOError from None


def udp_over(wire: Wire) -> UdpSocket:
    udp = UdpSocket.__new__(UdpSocket)
    udp.socket, udp.ipv6 = wire, False  # type: ignore[assignment]
    udp.interface, udp.notes = Interface("eth0", 2, "10.0.0.1"), []
    return udp


def stamps(software_ns: int = 0, hardware_ns: int = 0) -> tuple[int, int, bytes]:
    return socket.SOL_SOCKET, 37, struct.pack("@6l", *divmod(software_ns, NS), 0, 0, *divmod(hardware_ns, NS))


def about(number: int, origin: int = 4) -> tuple[int, int, bytes]:
    return socket.IPPROTO_IP, 11, struct.pack("=IBBBBII", errno.ENOMSG, origin, 0, 0, 0, 0, number) + bytes(16)


@linux
class TestLinux:
    def make(self, hardware: Any = None) -> tuple[Any, Wire]:
        from phasegraph.net.stamped.linux_stamper import LinuxStamper

        wire = Wire()
        return LinuxStamper(udp_over(wire), Clock(), hardware), wire

    def test_numbers_wrap(self) -> None:
        stamper, wire = self.make()
        stamper._sent = (1 << 32) - 2
        numbers = [stamper.send(b"x", ("10.0.0.2", 319)) for _ in range(4)]
        assert numbers == list(range((1 << 32) - 2, (1 << 32) + 2))
        for number in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1):
            wire.errors.append([stamps(REALTIME_NS + 999 * NS + number % 8), about(number)])
        departed, _ = stamper.drain(10)
        assert [number for number, _ in departed] == numbers
        assert departed[2][1] == PacketStamp(999 * NS, StampKind.KERNEL)

    def test_messages_about_something_else_are_passed_over(self) -> None:
        stamper, wire = self.make()
        sent = stamper.send(b"x", ("10.0.0.2", 319))
        wire.errors += [
            [about(7, origin=2)],  # ICMP
            [(socket.IPPROTO_IP, 11, b"short")],
            [stamps(5)],
            [about(sent)],  # without a stamp
        ]
        assert stamper.drain(10) == ([(sent, None)], [])
        assert not wire.errors

    def test_an_interface_s_own_stamp_is_preferred(self) -> None:
        hardware = SimpleNamespace(
            offset_ns=lambda: 37 * NS, local_ns=lambda stamp_ns: stamp_ns - 37 * NS, steps=0, close=lambda: None
        )
        stamper, wire = self.make(hardware)
        wire.data.append((b"both", [stamps(REALTIME_NS + 999 * NS, 1036 * NS)]))
        wire.data.append((b"soft", [stamps(REALTIME_NS + 998 * NS)]))
        wire.data.append((b"none", []))
        _, arrived = stamper.drain(10)
        assert [(datagram.data, stamp) for datagram, stamp in arrived] == [
            (b"both", PacketStamp(999 * NS, StampKind.HARDWARE)),
            (b"soft", PacketStamp(998 * NS, StampKind.KERNEL)),
            (b"none", None),
        ]
        assert stamper.stamps is StampKind.HARDWARE
        hardware.offset_ns = lambda: None  # set by somebody meanwhile
        wire.data.append((b"both", [stamps(REALTIME_NS + 999 * NS, 1036 * NS)]))
        assert stamper.drain(10)[1][0][1] == PacketStamp(999 * NS, StampKind.KERNEL)


class TestForeignClock:
    @given(st.lists(st.tuples(st.integers(1, 10**13), st.floats(-500, 500)), max_size=20))
    def test_slewing_is_no_step(self, moves: list[tuple[int, float]]) -> None:
        local, offset = Clock(), REALTIME_NS
        clock = ForeignClock(local, lambda: offset)
        for elapsed, ppm in moves:
            local.now += elapsed
            offset += int(elapsed * ppm / 1e6)
            assert clock.offset_ns() == offset
        assert clock.steps == 0

    @given(st.floats(-500, 500), st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
    def test_stamps_that_waited_while_it_was_slewed_are_right(self, ppm: float, waits: list[int]) -> None:
        local = Clock()
        began = local.now
        clock = ForeignClock(local, lambda: REALTIME_NS + round((local.now - began) * ppm / 1e6))
        local.now += 10**9
        clock.offset_ns()
        for wait in waits:
            taken, stamp = local.now, local.now + REALTIME_NS + round((local.now - began) * ppm / 1e6)
            local.now += wait
            assert clock.offset_ns() is not None
            assert abs(clock.local_ns(stamp) - taken) <= 3

    @given(st.integers(1, 10**12), st.sampled_from([-1, 1]), st.integers(1, 10**18))
    def test_a_step_is_seen_once(self, elapsed: int, sign: int, beyond: int) -> None:
        local, offset = Clock(), REALTIME_NS
        clock = ForeignClock(local, lambda: offset)
        local.now += elapsed
        offset += sign * (20_000 + elapsed * 500 // 1_000_000 + beyond)
        assert clock.offset_ns() is None
        assert clock.offset_ns() == offset
        assert clock.steps == 1


class Driver:
    """What a network driver answers: its capabilities, and how it is set."""

    def __init__(
        self, clock: int = 0, filters: int = 1 << 1, config: tuple[int, int] = (0, 0), may: bool = True
    ) -> None:
        self.info = struct.pack("=IIiI12xI12x", 0x41, 0x7F, clock, 0b11, filters)
        self.config = config
        self.may = may

    def __call__(self, request: int, ifreq: bytes) -> None:
        name, at = struct.unpack("16sP16x", ifreq)
        assert name.rstrip(b"\0") == b"eth0"
        if request == 0x8946:
            assert ctypes.string_at(at, 4) == struct.pack("=I", 0x41)
            ctypes.memmove(at, self.info, 44)
        elif request == 0x89B1:
            ctypes.memmove(at, struct.pack("=iii", 0, *self.config), 12)
        elif not self.may:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        else:
            _, *config = struct.unpack("=iii", ctypes.string_at(at, 12))
            self.config = tuple(config)


@linux
class TestHardwareClock:
    def open(self, driver: Driver, device: str = "/dev/null") -> Any:
        from phasegraph.net.stamped.hardware_clock import HardwareClock

        return HardwareClock(udp_over(Wire()), SystemLocalClock(), ioctl=driver, device=device)

    @pytest.mark.parametrize(
        ("driver", "set_to"),
        [
            (Driver(), (1, 1)),
            (Driver(filters=1 << 6 | 1 << 12), (1, 6)),
            (Driver(filters=1 << 12 | 1 << 1, config=(0, 12)), (1, 1)),
            (Driver(config=(1, 12), may=False), (1, 12)),  # somebody else has set it
        ],
    )
    def test_switches_stamps_on(self, monkeypatch: pytest.MonkeyPatch, driver: Driver, set_to: tuple[int, int]) -> None:
        monkeypatch.setattr("phasegraph.net.stamped.hardware_clock.dynamic_clock", lambda _: time.CLOCK_REALTIME)
        clock = self.open(driver)
        assert driver.config == set_to
        assert abs(clock.offset_ns() - SystemLocalClock().realtime_offset_ns()) < 1_000_000
        clock.close()

    @pytest.mark.parametrize(
        ("driver", "device", "why"),
        [
            (Driver(clock=-1), "/dev/null", "it has no clock"),
            (Driver(filters=1 << 3), "/dev/null", "it has no clock"),
            (Driver(may=False), "/dev/null", "to switch its stamps on needs CAP_NET_ADMIN"),
            (Driver(clock=3), "/nowhere/ptp{}", "its clock /nowhere/ptp3 cannot be read: No such file"),
            (Driver(), "/dev/null", "its clock /dev/null cannot be read"),
        ],
    )
    def test_says_what_is_missing(self, driver: Driver, device: str, why: str) -> None:
        with pytest.raises(OSError, match=why):
            self.open(driver, device)

    def test_the_clock_of_a_descriptor(self) -> None:
        from phasegraph.net.stamped.hardware_clock import dynamic_clock

        assert [dynamic_clock(descriptor) for descriptor in (3, 10)] == [-29, -85]


def test_macos_ticks_become_nanoseconds() -> None:
    from phasegraph.net.stamped.macos_stamper import MacStamper

    wire = Wire()
    stamper = MacStamper(udp_over(wire), Clock(), tick=(125, 3))
    assert wire.options == [(socket.SOL_SOCKET, 0x0800, 1)]
    info = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 2, bytes(4), socket.inet_aton("224.0.1.129")))
    wire.data.append((b"mac", [(socket.SOL_SOCKET, 4, struct.pack("=Q", 24_000_000)), info]))
    wire.data.append((b"old", [(socket.SOL_SOCKET, 2, bytes(16))]))
    assert stamper.send(b"x", ("10.0.0.2", 319)) is None
    departed, [(first, stamp), (_, none)] = stamper.drain(10)
    assert (departed, stamp, none) == ((), PacketStamp(NS, StampKind.KERNEL), None)
    assert (first.destination, first.interface, first.source) == ("224.0.1.129", 2, ("10.0.0.2", 319))


class FakeWinsock:
    """Winsock with a driver that stamps, at ten million ticks a second."""

    ticks_per_s = 10_000_000

    def __init__(self) -> None:
        self.configured = b""
        self.stamped: dict[int, int] = {}
        self.controls: list[bytes] = []
        self.data: deque[tuple[bytes, bytes, int]] = deque()

    def ioctl(self, code: int, argument: bytes, answer_bytes: int) -> bytes:
        if code == 2550137067:
            self.configured = argument
            return b""
        assert (code, answer_bytes) == (2550137066, 8)
        (number,) = struct.unpack("=I", argument)
        if number not in self.stamped:
            raise BlockingIOError
        return struct.pack("=Q", self.stamped.pop(number))

    def send(self, data: bytes, address: Any, control: bytes) -> None:
        self.controls.append(control)

    def receive(self, data_bytes: int) -> tuple[bytes, bytes, int, Any]:
        try:
            return (*self.data.popleft(), ("10.0.0.2", 319))
        except IndexError:
            raise BlockingIOError from None


class TestWindows:
    def test_stamps_both_ways(self) -> None:
        from phasegraph.net.stamped.windows_stamper import WindowsStamper, pack_control

        winsock = FakeWinsock()
        stamper = WindowsStamper(udp_over(Wire()), winsock, Clock())
        assert winsock.configured == struct.pack("=IHH", 3, 64, 0)
        first, second = (stamper.send(b"x", ("10.0.0.2", 319)) for _ in range(2))
        assert winsock.controls[0] == struct.pack("=QIIIxxxx", 20, 0xFFFF, 0x300B, first)
        assert stamper.drain(10) == ([], [])
        winsock.stamped[second] = 9_990_000_001
        info = pack_control(0, IP_PKTINFO, socket.inet_aton("224.0.1.129") + struct.pack("=I", 5))
        winsock.data.append((b"in", pack_control(0xFFFF, 0x300A, struct.pack("=Q", 9_980_000_000)) + info, 0))
        winsock.data.append((b"cut", info[:20], 0x0100))
        departed, arrived = stamper.drain(10)
        assert departed == [(second, PacketStamp(999 * NS + 100, StampKind.KERNEL))]
        assert [(datagram.data, datagram.whole, stamp) for datagram, stamp in arrived] == [
            (b"in", True, PacketStamp(998 * NS, StampKind.KERNEL)),
            (b"cut", False, None),
        ]
        assert (arrived[0][0].destination, arrived[0][0].interface) == ("224.0.1.129", 5)

    @given(
        st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=20)), max_size=4)
    )
    def test_control_messages_round_trip(self, messages: list[tuple[int, int, bytes]]) -> None:
        from phasegraph.net.stamped.windows_stamper import pack_control, unpack_control

        packed = b"".join(pack_control(*message) for message in messages)
        assert unpack_control(packed) == messages

    @given(st.binary(max_size=100))
    def test_any_bytes_are_read_to_an_end(self, control: bytes) -> None:
        from phasegraph.net.stamped.windows_stamper import unpack_control

        assert sum(16 + len(value) for _, _, value in unpack_control(control)) <= len(control)

    def test_structures_are_laid_out_as_in_ws2def_h(self) -> None:
        from phasegraph.net.stamped import winsock

        assert (ctypes.sizeof(winsock.WsaMessage), winsock.WsaMessage.control.offset) == (56, 32)
        data, name, control = (ctypes.create_string_buffer(content) for content in (b"data", b"name", b"ctl"))
        message = winsock.make_message(name, winsock.Buffer(4, ctypes.addressof(data)), control)
        assert ctypes.string_at(message.buffers[0].at, message.buffers[0].length) == b"data"
        assert ctypes.string_at(message.control.at, 3) == b"ctl"

    @pytest.mark.parametrize("address", [("10.1.2.3", 319), ("fe80::1", 320, 7, 4)])
    def test_addresses_round_trip(self, address: Any) -> None:
        from phasegraph.net.stamped.winsock import pack_address, unpack_address

        packed = pack_address(address)
        assert len(packed) == (16 if len(address) == 2 else 28)
        assert unpack_address(packed) == address
