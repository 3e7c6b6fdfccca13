"""The interface of cliairplay's PTP daemon, version 1, which Music Assistant uses: shared memory and a control port.

The memory holds one sample twice, behind a version. The writer writes the first and then the second, and a reader takes
a sample that it finds twice. Times are of CLOCK_REALTIME, which both sides read.
"""

from __future__ import annotations

import enum
import struct

import msgspec

from ..peer_address import plain_address

NAME = "/cliairplay-ptp"
CONTROL_PORT = 9010
VERSION = 1
_HEADER = struct.Struct("@II")
_SAMPLE = struct.Struct("@QQQqQII")
SIZE = _HEADER.size + 2 * _SAMPLE.size
MAIN = slice(_HEADER.size, _HEADER.size + _SAMPLE.size)
"""The first sample; `SECONDARY` follows."""
SECONDARY = slice(MAIN.stop, SIZE)
STALE_NS = 15_000_000_000
"""A sample that is older is of a server that has ended."""
_GRANDMASTER, _OFFSET_LOCKED = 1, 2
MOST_OCTETS = 4096
MOST_ADDRESSES = 64


class CliairplaySample(msgspec.Struct, frozen=True, kw_only=True):
    """The clock at one instant."""

    updates: int
    """Count of samples, from 1 on: readers see by it that the server is alive."""
    clock: int
    """Identity of the grandmaster: ours, unless a receiver insists on being it."""
    realtime_ns: int
    """CLOCK_REALTIME of the instant."""
    offset_ns: int
    """The timeline's time less CLOCK_REALTIME."""
    started_ns: int
    """The timeline's time when the server started."""
    leads: bool = True
    """Whether the server is the grandmaster."""
    locked: bool = True
    """Whether the offset is known."""

    def encode(self) -> bytes:
        """The octets of one of the two samples."""
        flags = _GRANDMASTER * self.leads | _OFFSET_LOCKED * self.locked
        return _SAMPLE.pack(self.updates, self.clock, self.realtime_ns, self.offset_ns, self.started_ns, flags, 0)


def encode_header() -> bytes:
    """The octets before the samples."""
    return _HEADER.pack(VERSION, 0)


def decode_sample(octets: bytes) -> CliairplaySample | None:
    """The sample in a copy of the memory; None where there is none, or where the writer was in the way."""
    if len(octets) != SIZE or _HEADER.unpack_from(octets)[0] != VERSION or octets[MAIN] != octets[SECONDARY]:
        return None
    updates, clock, realtime_ns, offset_ns, started_ns, flags, _ = _SAMPLE.unpack(octets[MAIN])
    if not clock or not flags & _OFFSET_LOCKED:
        return None
    return CliairplaySample(
        updates=updates,
        clock=clock,
        realtime_ns=realtime_ns,
        offset_ns=offset_ns,
        started_ns=started_ns,
        leads=bool(flags & _GRANDMASTER),
    )


class ControlVerb(enum.StrEnum):
    """The commands."""

    REGISTER = "R"
    """Receivers are added."""
    UNREGISTER = "U"
    """Receivers are removed."""
    PROBE = "?"
    """Is a server there?"""


class ControlRequest(msgspec.Struct, frozen=True):
    """A command on the control port."""

    verb: ControlVerb
    addresses: tuple[str, ...] = ()


_VERBS = {
    "R": ControlVerb.REGISTER,
    "T": ControlVerb.REGISTER,  # nqptp's word, which adds here: each stream names its own receiver
    "U": ControlVerb.UNREGISTER,
    **dict.fromkeys(("B", "E", "P", "K", "Q", "?", "PING"), ControlVerb.PROBE),
}


def parse_control(datagram: bytes) -> ControlRequest:
    """The command in a datagram. Raises ValueError, with the reason as its text."""
    if len(datagram) > MOST_OCTETS:
        raise ValueError(f"{len(datagram)} octets, at most {MOST_OCTETS} are allowed")
    try:
        words = datagram.partition(b"\0")[0].decode("ascii").split()
    except UnicodeDecodeError:
        raise ValueError("the command is not ASCII") from None
    verb = _VERBS.get(words[0]) if words else None
    if verb is None:
        raise ValueError("unknown command")
    if verb is ControlVerb.PROBE:
        return ControlRequest(verb)
    if not 1 <= len(words) - 1 <= MOST_ADDRESSES:
        raise ValueError(f"{len(words) - 1} addresses, expected 1 to {MOST_ADDRESSES}")
    return ControlRequest(verb, tuple(_address(word) for word in words[1:]))


def acknowledgement(peers: int, clock: int, *, leads: bool = True) -> bytes:
    """The answer to a command."""
    return f"OK peers={peers} gm={clock:016x} role={'grandmaster' if leads else 'follower'}".encode()


def _address(text: str) -> str:
    try:
        return plain_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None
