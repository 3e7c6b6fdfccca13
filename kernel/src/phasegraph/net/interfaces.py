"""Finding an interface by name or address, with what Python's standard library has."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Interface(msgspec.Struct, frozen=True):
    """A network interface."""

    name: str
    index: int
    """The system's number of it; 0 where unknown."""
    address: str
    """Its IPv4 address; empty where it has none."""
    address6: str = ""
    """Its link-local IPv6 address (::1 on the loopback), without scope; empty where it has none."""
    mac: bytes = b""
    """Its Ethernet address, six bytes; empty where it has none or the system does not say."""
    mtu: int = 0
    """Octets of the longest IP packet that it sends whole; 0 where unknown."""


class InterfaceWithoutAddress(OSError):
    """An interface that exists and has no IPv4 address, as before DHCP has given it one."""


_SIOCGIFADDR = 0x8915
_SIOCGIFHWADDR = 0x8927
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_ARPHRD_ETHER = 1


def _ask(name: str, request: int, probe: socket.socket | None = None) -> bytes:
    # The sockaddr in the answer of an interface ioctl, empty where there is none; Linux only, elsewhere interfaces
    # are named by address. ``probe`` is any socket to ask by.
    if sys.platform != "linux":  # pragma: no cover - not Linux
        return b""
    import fcntl

    if probe is None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            return _ask(name, request, probe)
    try:
        return fcntl.ioctl(probe.fileno(), request, struct.pack("256s", name.encode()[:15]))[16:32]
    except OSError:
        return b""


def _mac(name: str, probe: socket.socket) -> bytes:
    answer = _ask(name, _SIOCGIFHWADDR, probe)
    ethernet = answer and struct.unpack_from("=H", answer)[0] == _ARPHRD_ETHER
    return answer[2:8] if ethernet else b""


def interface_mtu(name: str, probe: socket.socket | None = None) -> int:
    """See `Interface.mtu`; 0 also where there is no interface of this name."""
    answer = _ask(name, _SIOCGIFMTU, probe)
    return int(struct.unpack_from("=i", answer)[0]) if answer else 0


def _addresses6() -> Iterator[tuple[int, ipaddress.IPv6Address]]:
    # (interface index, address) of every IPv6 address; see proc_net(5).
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else ():
        address, index, *_ = line.split()
        yield int(index, 16), ipaddress.IPv6Address(bytes.fromhex(address))


def interfaces() -> list[Interface]:
    """The interfaces that have an IPv4 or a link-local IPv6 address."""
    links = {index: str(address) for index, address in _addresses6() if address.is_link_local or address.is_loopback}
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for index, name in socket.if_nameindex():
            answer = _ask(name, _SIOCGIFADDR, probe)
            address = socket.inet_ntoa(answer[4:8]) if answer else ""
            if address or index in links:
                mac, mtu = _mac(name, probe), interface_mtu(name, probe)
                found.append(Interface(name, index, address, links.get(index, ""), mac, mtu))
    return found


def find_interface(name_or_address: str, *, ipv6: bool = False) -> Interface:
    """See `Network.interface`."""
    there = [interface for interface in interfaces() if (interface.address6 if ipv6 else interface.address)]
    known = ", ".join(f"{i.name} ({i.address6 if ipv6 else i.address})" for i in there)
    if not name_or_address:
        addresses = {i.index: ipaddress.ip_address(i.address6 if ipv6 else i.address) for i in there}
        outside = [i for i in there if not addresses[i.index].is_loopback]
        if len(outside) != 1:
            raise OSError(f"name the network interface; there are: {known}")
        return outside[0]
    for interface in there:
        if name_or_address in (interface.name, interface.address):
            return interface
    try:
        address = ipaddress.ip_address(name_or_address)
    except ValueError:
        pass
    else:
        found = _find6(address, there) if isinstance(address, ipaddress.IPv6Address) else _find4(address, there)
        if found is not None:
            return found
    if not ipv6 and name_or_address in [name for _, name in socket.if_nameindex()]:
        raise InterfaceWithoutAddress(f"network interface {name_or_address} has no IPv4 address")
    family = " with a link-local IPv6 address" if ipv6 else ""
    raise OSError(f"no network interface {name_or_address!r}{family}; there are: {known}")


def _find6(address: ipaddress.IPv6Address, there: list[Interface]) -> Interface | None:
    # A link-local address can be that of several interfaces: its scope, if it has one, says which.
    name, _, scope = str(address).partition("%")
    indices = [index for index, other in _addresses6() if str(other) == name]
    return next((i for i in there if i.index in indices and scope in ("", i.name)), None)


def _find4(address: ipaddress.IPv4Address, there: list[Interface]) -> Interface | None:
    if address.is_loopback:
        for interface in there:
            if interface.address and ipaddress.IPv4Address(interface.address).is_loopback:
                return msgspec.structs.replace(interface, address=str(address))
        return Interface("", 0, str(address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))  # an interface's further address: bindable, but not listed
        except OSError:
            return None
    return Interface("", 0, str(address))


def obstacles(interface: Interface, root: Path = Path("/")) -> list[str]:
    """See `Network.obstacles`; Linux shows some in /proc, which lies in ``root``."""
    name = interface.name
    if not name or not interface.address or ipaddress.IPv4Address(interface.address).is_loopback:
        return []
    found = []
    flags = int.from_bytes(_ask(name, _SIOCGIFFLAGS)[:2], sys.byteorder)
    if flags and not flags & _IFF_UP:
        found.append(f"{name} is switched off (ip link set {name} up)")
    elif flags and not flags & _IFF_RUNNING:
        found.append(f"{name} has no link: look at the cable and the switch")
    # The greater of both counts; 1 is strict, 2 is loose (ip-sysctl).
    filters = [_content(root / f"proc/sys/net/ipv4/conf/{which}/rp_filter") for which in ("all", name)]
    if max(filters, default="") == "1":
        found.append(
            f"the system lets nothing in by {name} that comes from an address to which its routes lead elsewhere "
            f"(rp_filter): sysctl net.ipv4.conf.{name}.rp_filter=2 does"
        )
    return found


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
