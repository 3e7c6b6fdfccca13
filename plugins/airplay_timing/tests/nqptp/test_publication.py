"""What a clock is as a record, and whose departures are whose."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from phasegraph import ClockEstimate, ClockState, StampKind
from phasegraph.net import Departure
from phasegraph_airplay_timing.engine import SendDatagram, TimingEngine
from phasegraph_airplay_timing.nqptp.clients import RecordPublisher
from phasegraph_airplay_timing.nqptp.nqptp_record import NqptpRecord
from phasegraph_airplay_timing.participant import TimingParticipant

S = 10**9
KNOWN = ClockEstimate(
    local_ns=100 * S, reference_ns=7 * S, state=ClockState.ACQUIRING, grandmaster="04-99-B9-B7-E0-F1-00-08"
)


def later(estimate: ClockEstimate, by_ns: int, **changes: Any) -> ClockEstimate:
    moved = {"local_ns": estimate.local_ns + by_ns, "reference_ns": estimate.reference_ns + by_ns}
    return msgspec.structs.replace(estimate, **(moved | changes))


def test_a_record_is_believed_at_once_and_dates_from_the_last_jump() -> None:
    publication = RecordPublisher()
    first = publication.record(KNOWN)
    assert first == NqptpRecord(
        clock=0x0499_B9B7_E0F1_0008, local_ns=100 * S, offset_ns=-93 * S, since_ns=100 * S - 400_000_000
    )
    assert publication.record(later(KNOWN, S)) == msgspec.structs.replace(first, local_ns=101 * S)
    jumped = later(KNOWN, 2 * S, discontinuities=1)
    assert publication.record(jumped).since_ns == 102 * S - 400_000_000
    other = later(jumped, S, grandmaster="05-99-B9-B7-E0-F1-00-08")
    assert publication.record(other).since_ns == 103 * S - 400_000_000


def test_nothing_is_published_that_is_not_known() -> None:
    publication = RecordPublisher()
    assert publication.record(ClockEstimate(local_ns=S, reference_ns=0, state=ClockState.ACQUIRING)) == NqptpRecord()
    assert publication.record(KNOWN) != NqptpRecord()
    assert publication.record(later(KNOWN, S, state=ClockState.HOLDOVER)) != NqptpRecord()
    assert publication.record(later(KNOWN, 2 * S, state=ClockState.UNLOCKED)) == NqptpRecord()


class Speaker:
    """An engine that has one thing to say, and the sockets through which it does."""

    def __init__(self) -> None:
        self.todo = [SendDatagram(data=b"?", destination=("10.0.0.1", 319), token=1)]
        self.departures: list[tuple[int, int]] = []
        self.tokens: list[int | None] = []

    def actions(self) -> list[SendDatagram]:
        todo, self.todo = self.todo, []
        return todo

    def departed(self, token: int, local_ns: int) -> None:
        self.departures.append((token, local_ns))

    def send(self, action: SendDatagram, token: int | None) -> None:
        self.tokens.append(token)


def test_participants_that_share_sockets_do_not_take_each_others_departures() -> None:
    speakers = [Speaker(), Speaker()]
    both = [
        TimingParticipant(cast(TimingEngine, each), cast(Any, None), cast(Any, each), cast(Any, None), number)
        for number, each in enumerate(speakers, 1)
    ]
    nothing = Departure(0, 0, StampKind.KERNEL)
    for participant in both:
        participant.handle_socket_item(nothing, lambda: 0)
    tokens = [each.tokens[0] for each in speakers]
    assert len({*tokens}) == 2
    for local_ns, token in enumerate(tokens):
        assert token is not None
        for participant in both:
            participant.handle_socket_item(Departure(token, local_ns, StampKind.KERNEL), lambda: 0)
    assert [each.departures for each in speakers] == [[(1, 0)], [(1, 1)]]
