"""The calls of Winsock that Python's socket module does not have, by ctypes. Not run yet: see `windows`."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

from .udp_socket import CONTROL_BYTES, Address

_SIO_GET_EXTENSION_FUNCTION_POINTER = 0xC8000006
_WSARECVMSG = bytes.fromhex("c8d789f61f6f6b438a53e54fe351c322")
"""The GUID f689d7c8-6f1f-436b-8a53-e54fe351c322, as it lies in memory."""
_WSAEMSGSIZE = 10040
_MSG_TRUNC = 0x0100
_AF_INET, _AF_INET6 = 2, 23


class Buffer(ctypes.Structure):
    """WSABUF."""

    _fields_ = (("length", ctypes.c_uint32), ("at", ctypes.c_void_p))


class WsaMessage(ctypes.Structure):
    """WSAMSG."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_int32),
        ("buffers", ctypes.POINTER(Buffer)),
        ("count", ctypes.c_uint32),
        ("control", Buffer),
        ("flags", ctypes.c_uint32),
    )


def make_message(name: ctypes.Array[ctypes.c_char], data: Buffer, control: ctypes.Array[ctypes.c_char]) -> WsaMessage:
    """A message of three buffers, which must outlive it."""
    at = Buffer(len(control), ctypes.addressof(control))
    return WsaMessage(ctypes.addressof(name), len(name), ctypes.pointer(data), 1, at, 0)


def pack_address(address: Address) -> bytes:
    """sockaddr_in or sockaddr_in6."""
    if len(address) == 2:
        return struct.pack("=H", _AF_INET) + struct.pack("!H4s8x", address[1], socket.inet_aton(address[0]))
    host, port, flow, scope = address
    network = struct.pack("!HI16s", port, flow, socket.inet_pton(socket.AF_INET6, host))
    return struct.pack("=H", _AF_INET6) + network + struct.pack("=I", scope)


def unpack_address(name: bytes) -> Address:
    """The address in a sockaddr_in or sockaddr_in6."""
    family, port = struct.unpack_from("=H", name)[0], struct.unpack_from("!H", name, 2)[0]
    if family == _AF_INET6:
        host = socket.inet_ntop(socket.AF_INET6, name[8:24])
        return host, port, struct.unpack_from("!I", name, 4)[0], struct.unpack_from("=I", name, 24)[0]
    return socket.inet_ntoa(name[4:8]), port


if sys.platform == "win32":

    class Winsock:
        """The `windows.Sockets` of one socket."""

        def __init__(self, udp: socket.socket) -> None:
            """Raises OSError."""
            self._handle = ctypes.c_size_t(udp.fileno())
            self._dll = ctypes.WinDLL("ws2_32")
            ticks = ctypes.c_int64()
            ctypes.WinDLL("kernel32").QueryPerformanceFrequency(ctypes.byref(ticks))
            self.ticks_per_s = ticks.value
            (pointer,) = struct.unpack("P", self.ioctl(_SIO_GET_EXTENSION_FUNCTION_POINTER, _WSARECVMSG, 8))
            arguments = (ctypes.c_size_t, *(ctypes.c_void_p,) * 4)
            self._receive = ctypes.WINFUNCTYPE(ctypes.c_int, *arguments)(pointer)

        def _error(self) -> OSError:
            return ctypes.WinError(self._dll.WSAGetLastError())

        def ioctl(self, code: int, argument: bytes, answer_bytes: int) -> bytes:
            """See `windows.Sockets.ioctl`."""
            answer = ctypes.create_string_buffer(max(answer_bytes, 1))
            got = ctypes.c_uint32()
            given = (ctypes.c_uint32(code), argument, len(argument), answer, answer_bytes)
            if self._dll.WSAIoctl(self._handle, *given, ctypes.byref(got), None, None):
                raise self._error()
            return answer.raw[:answer_bytes]

        def send(self, data: bytes, address: Address, control: bytes) -> None:
            """See `windows.Sockets.send`."""
            name = pack_address(address)
            buffers = [ctypes.create_string_buffer(part, len(part)) for part in (name, data, control)]
            message = make_message(buffers[0], Buffer(len(data), ctypes.addressof(buffers[1])), buffers[2])
            sent = ctypes.c_uint32()
            if self._dll.WSASendMsg(self._handle, ctypes.byref(message), 0, ctypes.byref(sent), None, None):
                raise self._error()

        def receive(self, data_bytes: int) -> tuple[bytes, bytes, int, Address]:
            """See `windows.Sockets.receive`."""
            name, data, control = (ctypes.create_string_buffer(size) for size in (28, data_bytes, CONTROL_BYTES))
            message = make_message(name, Buffer(data_bytes, ctypes.addressof(data)), control)
            got = ctypes.c_uint32(data_bytes)
            if self._receive(self._handle, ctypes.byref(message), ctypes.byref(got), None, None):
                error = self._error()
                if error.winerror != _WSAEMSGSIZE:
                    raise error
                message.flags |= _MSG_TRUNC
            control_data = control.raw[: message.control.length]
            return data.raw[: got.value], control_data, message.flags, unpack_address(name.raw)
