"""Commands of clients: understood, or refused with a reason."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phasegraph_airplay_timing.nqptp.client_commands import (
    ClientCommand,
    CommandRefusal,
    CommandVerb,
    RefusedCommand,
    parse,
)
from phasegraph_airplay_timing.nqptp.clients import MOST, NqptpClients

T, B, E, P = CommandVerb.TIMING, CommandVerb.BEGIN, CommandVerb.END, CommandVerb.PAUSE


@pytest.mark.parametrize(
    ("data", "name", "verb", "peers"),
    [
        (b"/nqptp T\0", "/nqptp", T, ()),
        (b"/nqptp T 192.168.1.20\0", "/nqptp", T, ("192.168.1.20",)),
        (b"/nqptp T 192.168.1.21 192.168.1.20 192.168.1.21\0", "/nqptp", T, ("192.168.1.20", "192.168.1.21")),
        (b"/nqptp T FE80:0::1%eth0 2001:db8::5\0", "/nqptp", T, ("2001:db8::5", "fe80::1")),
        (b"/nqptp T ::ffff:192.168.1.20\0", "/nqptp", T, ("192.168.1.20",)),
        (b"/nqptp B\0", "/nqptp", B, ()),
        (b"/nqptp E\0", "/nqptp", E, ()),
        (b"/nqptp P\0", "/nqptp", P, ()),
        (b"/nqptp B", "/nqptp", B, ()),
        (b"/nqptp B\0 leftovers \xff", "/nqptp", B, ()),
        (b"/nqptp B and more\0", "/nqptp", B, ()),
        (b"/nqptp-Kitchen_2.0 T\0", "/nqptp-Kitchen_2.0", T, ()),
    ],
)
def test_commands(data: bytes, name: str, verb: CommandVerb, peers: tuple[str, ...]) -> None:
    assert parse(data) == ClientCommand(name, verb, peers)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", CommandRefusal.NAME),
        (b"\0/nqptp T", CommandRefusal.NAME),
        (b"nqptp T\0", CommandRefusal.NAME),
        (b"/../etc/passwd T\0", CommandRefusal.NAME),
        (b"/.. T\0", CommandRefusal.NAME),
        (b"/" + b"n" * 63 + b" T\0", CommandRefusal.NAME),
        (b"/nqptp\0", CommandRefusal.VERB),
        (b"/nqptp t\0", CommandRefusal.VERB),
        (b"/nqptp TB\0", CommandRefusal.VERB),
        (b"/nqptp T somewhere\0", CommandRefusal.ADDRESS),
        (b"/nqptp T 192.168.1.20:319\0", CommandRefusal.ADDRESS),
        (b"/nqptp T" + b" 10.0.0.1" * 65 + b"\0", CommandRefusal.ADDRESS),
        ("/nqptp-Küche T\0".encode(), CommandRefusal.TEXT),
        (b"/nqptp T\0".ljust(4097), CommandRefusal.LENGTH),
    ],
)
def test_refusals(data: bytes, refusal: CommandRefusal) -> None:
    with pytest.raises(RefusedCommand) as refused:
        parse(data)
    assert refused.value.refusal is refusal


WORDS = st.lists(st.sampled_from([b"/nqptp", b"/nqptp-a", b"T", b"B", b"10.0.0.1", b"::1", b" ", b"\0", b"\xff", b"%"]))


@given(st.binary(max_size=5000) | WORDS.map(b" ".join))
@example(b"/nqptp T ::1%\0")
def test_any_octets_are_understood_or_refused(data: bytes) -> None:
    clients = NqptpClients(["/nqptp"])
    with contextlib.suppress(RefusedCommand):
        command = parse(data)
        clients.admit(command.name)
        clients.apply_command(command)
    assert set(clients.by_name) <= {"/nqptp", "/nqptp-a"}


def test_what_a_client_goes_through() -> None:
    # As shairport-sync says it: at its start, as somebody connects, plays, pauses, plays on, stops, and leaves.
    clients = NqptpClients(["/nqptp"])
    client = clients.by_name["/nqptp"]
    seen = []
    for said in (b"T", b"T", b"T 10.0.0.1", b"B", b"P", b"B", b"E", b"B", b"T 10.0.0.2", b"T"):
        changed = clients.apply_command(parse(b"/nqptp " + said + b"\0"))
        seen.append((changed, client.active, client.peers))
    one, two = ("10.0.0.1",), ("10.0.0.2",)
    assert seen == [
        (True, False, ()),
        (False, False, ()),
        (True, False, one),
        (True, True, one),
        (False, True, one),
        (False, True, one),
        (True, False, one),
        (True, True, one),
        (True, True, two),
        (True, False, ()),
    ]


def test_clients_do_not_see_each_other() -> None:
    clients = NqptpClients(["/nqptp"])
    assert clients.admit("/nqptp-kitchen")
    assert not clients.admit("/nqptp-kitchen")
    for said in (b"/nqptp T 10.0.0.1", b"/nqptp B", b"/nqptp-kitchen T 10.0.0.1", b"/nqptp-kitchen T"):
        clients.apply_command(parse(said))
    assert clients.by_name["/nqptp"].active
    assert clients.by_name["/nqptp"].peers == ("10.0.0.1",)
    assert clients.groups == {("10.0.0.1",)}


def test_not_everybody_is_admitted() -> None:
    clients = NqptpClients(["/nqptp"])
    with pytest.raises(RefusedCommand, match="is not served"):
        clients.admit("/pulse-shm-1")
    for number in range(MOST - 1):
        clients.admit(f"/nqptp-{number}")
    with pytest.raises(RefusedCommand, match="clients already"):
        clients.admit("/nqptp-one-more")
    assert not clients.admit("/nqptp-3")


def test_names_are_names() -> None:
    with pytest.raises(RefusedCommand, match="is no name"):
        NqptpClients(["kitchen"])
