"""Finding an interface by name or address, with what Python's standard library has."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys

from .protocol import Interface

_SIOCGIFADDR = 0x8915


def _address_of(name: str) -> str | None:
    # The primary IPv4 address of an interface; Linux only, elsewhere interfaces are named by address.
    if sys.platform != "linux":  # pragma: no cover - not Linux
        return None
    import fcntl

    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def interfaces() -> list[Interface]:
    """The interfaces that have an IPv4 address."""
    found = []
    for index, name in socket.if_nameindex():
        address = _address_of(name)
        if address is not None:
            found.append(Interface(name, index, address))
    return found


def find_interface(name_or_address: str) -> Interface:
    """The interface of this name or address.

    Raises OSError with a sentence that lists what there is.
    """
    there = interfaces()
    for interface in there:
        if name_or_address in (interface.name, interface.address):
            return interface
    try:
        address = ipaddress.IPv4Address(name_or_address)
    except ValueError:
        pass
    else:
        if address.is_loopback:
            loopback = next((i for i in there if ipaddress.IPv4Address(i.address).is_loopback), None)
            return Interface(loopback.name if loopback else "", loopback.index if loopback else 0, str(address))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((str(address), 0))  # an interface's further address: bindable, but not listed
                return Interface("", 0, str(address))
            except OSError:
                pass
    known = ", ".join(f"{i.name} ({i.address})" for i in there)
    raise OSError(f"no network interface {name_or_address!r}; there are: {known}")
