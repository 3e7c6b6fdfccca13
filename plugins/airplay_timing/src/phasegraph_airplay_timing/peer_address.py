"""Addresses of devices as clients of the server write them, in one form."""

from __future__ import annotations

import ipaddress


def plain_address(text: str) -> str:
    """An IP address as `ipaddress` writes it, without scope; IPv4 also where it is mapped into IPv6.

    Raises ValueError.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address).partition("%")[0]
