r"""Commands of clients on nqptp's control port: ``<shared memory> <command>[ <address>...]\0``, one datagram each."""

from __future__ import annotations

import enum
import re

import msgspec

from ..peer_address import plain_address

MOST_OCTETS = 4096
MOST_PEERS = 64
_NAME = re.compile(r"/[A-Za-z0-9._-]{1,62}")


class CommandVerb(enum.Enum):
    """The commands."""

    TIMING = "T"
    """With addresses: the peers. Without: no peers."""
    BEGIN = "B"
    """Playing begins: the time is wanted."""
    END = "E"
    """Playing has ended."""
    PAUSE = "P"
    """Playing pauses, and may go on."""


class CommandRefusal(enum.StrEnum):
    """Why a command is refused, for counting."""

    LENGTH = "length"
    """More than 4096 octets."""
    TEXT = "text"
    """Not ASCII."""
    NAME = "name"
    """The first word is not the name of a shared memory, or not of one that is served."""
    VERB = "verb"
    """The second word is not a command."""
    ADDRESS = "address"
    """Something else where an IP address should be, or too many of them."""
    CROWD = "crowd"
    """More clients than are served."""
    MEMORY = "memory"
    """The shared memory cannot be had."""


class RefusedCommand(ValueError):
    """A refused command. ``refusal`` is for counting, the text is a sentence."""

    def __init__(self, refusal: CommandRefusal, detail: str) -> None:
        super().__init__(f"{refusal}: {detail}")
        self.refusal = refusal


class ClientCommand(msgspec.Struct, frozen=True):
    """A command as it was understood."""

    name: str
    """Of the client's shared memory: ``/nqptp``."""
    verb: CommandVerb
    peers: tuple[str, ...] = ()
    """Addresses as `ipaddress` writes them, without scope, in order; IPv4 also where it came mapped into IPv6."""


def is_name(text: str) -> bool:
    """Whether a shared memory may have this name."""
    return bool(_NAME.fullmatch(text)) and not set(text) <= {"/", "."}


def check_name(name: str) -> None:
    """Raise RefusedCommand unless a shared memory may have this name."""
    if not is_name(name):
        raise RefusedCommand(CommandRefusal.NAME, f"{name!r} is no name of a shared memory, such as /nqptp")


def parse(data: bytes) -> ClientCommand:
    """A datagram. A missing NUL is forgiven, and so are words after commands that take none. Raises RefusedCommand."""
    if len(data) > MOST_OCTETS:
        raise RefusedCommand(CommandRefusal.LENGTH, f"{len(data)} octets, where {MOST_OCTETS} are the most")
    try:
        words = data.partition(b"\0")[0].decode("ascii").split()
    except UnicodeDecodeError:
        raise RefusedCommand(CommandRefusal.TEXT, "it is not ASCII") from None
    name, letter, *rest = [*words, "", ""][: max(2, len(words))]
    check_name(name)
    try:
        verb = CommandVerb(letter)
    except ValueError:
        raise RefusedCommand(CommandRefusal.VERB, f"{letter!r} is none of T, B, E, P") from None
    if verb is not CommandVerb.TIMING:
        return ClientCommand(name, verb)
    if len(rest) > MOST_PEERS:
        raise RefusedCommand(CommandRefusal.ADDRESS, f"{len(rest)} addresses, where {MOST_PEERS} are the most")
    return ClientCommand(name, verb, tuple(sorted({*map(_address, rest)})))


def _address(text: str) -> str:
    try:
        return plain_address(text)
    except ValueError:
        raise RefusedCommand(CommandRefusal.ADDRESS, f"{text!r} is no IP address") from None
