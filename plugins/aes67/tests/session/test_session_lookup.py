"""Which of the sessions of one name is followed, and by whose word."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from phasegraph import Encoding, StreamFormat
from phasegraph_aes67.session import sap
from phasegraph_aes67.session.session_lookup import SessionLookup, SessionOffer

FORMAT = StreamFormat(48_000, 2, Encoding.L24)


def offer(by: str, version: int, *, id: int = 7, note: str = "", rtpmap: str = "L24/48000/2") -> SessionOffer:
    text = (
        f"v=0\r\no=- {id} {version} IN IP4 10.0.0.2\r\ns=stage\r\n{note}c=IN IP4 239.1.0.{version}/15\r\nt=0 0\r\n"
        f"m=audio 5004 RTP/AVP 98\r\na=rtpmap:98 {rtpmap}\r\na=ptime:1\r\n"
    )
    return SessionOffer(by, "stage", sap.session_key(text), text, "10.0.0.2")


def told(named: SessionLookup, *offers: SessionOffer) -> list[tuple[object, ...]]:
    """What is told: the event, and by whom and which version where that is said."""
    found = named.update_offers(offers)
    return [(each.name, *(each.fields[name] for name in ("by", "version") if name in each.fields)) for each in found]


S1, R1 = offer("SAP", 1), offer("RAVENNA", 1, note="i=written differently\r\n")
S2, R2 = offer("SAP", 2), offer("RAVENNA", 2, note="i=written differently\r\n")


@pytest.mark.parametrize(("first", "other"), [(S1, R1), (R1, S1)])
def test_the_first_to_tell_is_followed(first: SessionOffer, other: SessionOffer) -> None:
    named = SessionLookup("stage", FORMAT)
    assert told(named, first) == [("session_found", first.by, 1)]
    for _ in range(3):
        for offers in permutations([first, other]):
            assert told(named, *offers) == [], "the other changes nothing"
    assert told(named, other) == [("session_changed", other.by, 1)], "until the first is gone"
    assert told(named) == [("session_gone",)]


@pytest.mark.parametrize(("first", "newer"), [(S1, R2), (R1, S2)])
def test_who_has_the_newer_version_is_believed(first: SessionOffer, newer: SessionOffer) -> None:
    named = SessionLookup("stage", FORMAT)
    told(named, first)
    assert told(named, first, newer) == [("session_changed", newer.by, 2)]
    for offers in permutations([first, newer]):
        assert told(named, *offers) == [], "the older one is old"
    assert told(named, first) == [], "it is announced still, and not believed in an old version"
    assert told(named, S2, R2) == []


def test_the_same_words_by_the_other_way_are_no_change() -> None:
    named = SessionLookup("stage", FORMAT)
    same = SessionOffer("RAVENNA", S1.name, S1.key, S1.sdp, S1.origin)
    told(named, S1)
    assert named.state == "'stage', version 1, announced by 10.0.0.2"
    assert told(named, S1, same) == []
    assert told(named, same) == []
    assert named.state == "'stage', version 1, announced by 10.0.0.2 (RAVENNA)"
    assert told(named, S1, same) == []


def test_another_session_of_that_name_waits() -> None:
    named = SessionLookup("stage", FORMAT)
    other = offer("RAVENNA", 9, id=8)
    told(named, S1)
    assert told(named, S1, other) == []
    assert told(named, other) == [("session_gone",), ("session_found", "RAVENNA", 9)]


def test_what_cannot_be_used_is_said_once_by_each_way() -> None:
    named = SessionLookup("stage", FORMAT)
    wrong = [offer(by, 1, note=f"i={by}\r\n", rtpmap="L16/44100/2") for by in ("SAP", "RAVENNA")]
    assert told(named, *wrong) == [("session_unusable",)] * 2
    assert told(named, *wrong) == []
    assert not named.found


def once(offer: SessionOffer) -> SessionOffer:
    return msgspec.structs.replace(offer, confirmed=False)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([[S9 := offer("SAP", 9)], [once(S1)], [S1], [S1]], [9, 1], id="announced twice in a row"),
        pytest.param([[S9], [once(S1)], [S9], [once(S1)], [S9]], [9], id="a stray old one, each time once"),
        pytest.param([[S9], [S1], [once(S2)], [S2]], [9, 1, 2], id="the new count goes on"),
        pytest.param([[S9], [S1], [once(S9)], [S1]], [9, 1], id="a stray one of the old count"),
        pytest.param([[S9], [S1], [once(S9)], [S9]], [9, 1, 9], id="the old one comes back to stay"),
        pytest.param(
            [[R9 := offer("RAVENNA", 9, note="i=written differently\r\n")], [R1], [R1]], [9, 1], id="described again"
        ),
        pytest.param([[S9, R9], [S9, R1], [S9, R1]], [9, 1], id="while the old one is announced still"),
        pytest.param([[R9, S9], [R9, once(S1)], [R9, S1], [R9, S1]], [9, 1], id="while the old one is described still"),
        pytest.param([[R9, S9], [S9], [S9, R1], [S9, R1]], [9, 9, 1], id="it went, and came back with a new count"),
        pytest.param([[S9], [S9, R1], [S9, R1]], [9], id="another way that was old from the beginning"),
        pytest.param(
            [[S9], [other := msgspec.structs.replace(S1, origin="10.0.0.9")], [S9], [other]],
            [9],
            id="another announcer, who is old from the beginning",
        ),
    ],
)
def test_a_lower_version_is_believed_from_who_had_a_higher_one_and_means_it(
    looks: list[list[SessionOffer]], expected: list[int]
) -> None:
    named = SessionLookup("stage", FORMAT)
    assert [version for offers in looks for _, _, version in told(named, *offers)] == expected


def test_a_name_that_is_mistyped_gets_a_hint() -> None:
    lookup = SessionLookup("stge", FORMAT)
    assert told(lookup) == []
    assert lookup.state == "waiting for an announcement of 'stge'"
    assert told(lookup, S1) == []
    assert lookup.state == "waiting for an announcement of 'stge'; did you mean 'stage'?"
    assert told(SessionLookup("Stage", FORMAT), S1) == []
    far = SessionLookup("foyer", FORMAT)
    told(far, S1)
    assert far.state == "waiting for an announcement of 'foyer'"


def test_a_session_of_another_format_is_named() -> None:
    lookup = SessionLookup("stage", FORMAT)
    wrong = offer("SAP", 1, rtpmap="L16/44100/2")
    told(lookup, wrong)
    assert lookup.state == (
        "'stage' is announced and not usable: it is L16 44.1 kHz 2 ch, and the graph expects L24 48 kHz 2 ch"
    )
    told(lookup)
    assert lookup.state == "waiting for an announcement of 'stage'"
    told(lookup, wrong)
    told(lookup, wrong, S1)
    assert lookup.state == "'stage', version 1, announced by 10.0.0.2"


@pytest.mark.parametrize("most", [64, pytest.param(sap.MAX_SESSIONS, marks=pytest.mark.slow)])
def test_unusable_texts_are_bounded_in_events_and_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(sap, "MAX_SESSIONS", most)
    lookup = SessionLookup("stage", FORMAT)
    for n in range(3 * most):
        (event,) = lookup.update_offers([offer("SAP", 1, id=n, rtpmap="L16/44100/2", note="i=" + "x" * 2000 + "\r\n")])
        assert all(len(str(value)) <= 200 for value in event.fields.values())
    assert len(lookup._unusable) <= most
