"""Sequence numbers: lost, doubled, out of order, wrapped and begun again, against a model that sees everything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph_aes67.receive.sequence import WINDOW, SequenceTracker, Verdict

CALM = settings(derandomize=True, deadline=None, database=None)
NEXT, AHEAD, REORDERED, DUPLICATE = Verdict.NEXT, Verdict.AHEAD, Verdict.REORDERED, Verdict.DUPLICATE


@pytest.mark.parametrize("base", [0, 1, 1000, 65530, 65535])
@pytest.mark.parametrize(
    ("arrivals", "verdicts", "lost"),
    [
        pytest.param([0, 1, 2, 3], [NEXT] * 4, 0, id="in order"),
        pytest.param([0, 2], [NEXT, AHEAD], 1, id="one missing"),
        pytest.param([0, 9, 10], [NEXT, AHEAD, NEXT], 8, id="eight missing"),
        pytest.param([0, 0, 1, 1, 1], [NEXT, DUPLICATE, NEXT, DUPLICATE, DUPLICATE], 0, id="doubled"),
        pytest.param([0, 2, 1, 3], [NEXT, AHEAD, REORDERED, NEXT], 0, id="swapped"),
        pytest.param([0, 2, 1, 1], [NEXT, AHEAD, REORDERED, DUPLICATE], 0, id="swapped and doubled"),
        pytest.param([0, 2, 2, 1], [NEXT, AHEAD, DUPLICATE, REORDERED], 0, id="doubled, then the missing one"),
        pytest.param([0, 3, 2, 1], [NEXT, AHEAD, REORDERED, REORDERED], 0, id="reversed"),
        pytest.param([0, 4, 2], [NEXT, AHEAD, REORDERED], 2, id="one of three came after all"),
        pytest.param([1, 0, 2], [NEXT, REORDERED, NEXT], 0, id="the first to come was the second"),
        pytest.param([5, 2, 6], [NEXT, REORDERED, NEXT], 2, id="the first to come was the sixth"),
        pytest.param([1, 0, 0], [NEXT, REORDERED, DUPLICATE], 0, id="the first one doubled"),
    ],
)
def test_verdicts(base: int, arrivals: list[int], verdicts: list[Verdict], lost: int) -> None:
    tracker = SequenceTracker()
    assert [tracker.accept((base + number) & 0xFFFF) for number in arrivals] == verdicts
    assert tracker.lost == lost


def test_nothing_is_lost_before_the_first_packet() -> None:
    tracker = SequenceTracker()
    assert tracker.lost == 0
    assert tracker.expected is None


def test_a_jump_begins_a_new_count() -> None:
    tracker = SequenceTracker()
    sequences = (10, 12, 12 + WINDOW + 2, 12 + WINDOW + 3, 12 + WINDOW + 4)
    verdicts = [tracker.accept(sequence) for sequence in sequences]
    assert verdicts == [NEXT, AHEAD, Verdict.JUMP, Verdict.RESTART, NEXT], "two in a row"
    assert tracker.lost == 1, "what was missing before the jump stays lost, what the jump left out was never sent"
    assert tracker.accept(11) is Verdict.JUMP, "a jump back is one too"
    assert tracker.accept(12 + WINDOW + 5) is NEXT
    assert tracker.accept(12) is Verdict.JUMP, "and not in a row with the one before"
    assert tracker.accept(30_000, trusted=True) is Verdict.RESTART


def test_the_greatest_gap_that_is_a_loss() -> None:
    tracker = SequenceTracker()
    tracker.accept(0)
    assert tracker.accept(1 + WINDOW) is AHEAD
    assert tracker.lost == WINDOW


def test_advancing_is_the_same_as_the_next_ones() -> None:
    one, other = SequenceTracker(), SequenceTracker()
    for tracker in (one, other):
        tracker.accept(65000)
        tracker.accept(65002)
    one.count_expected(2000)
    for number in range(65003, 67003):
        assert other.accept(number & 0xFFFF) is NEXT
    assert one.expected == other.expected
    assert one.lost == other.lost == 1
    # What came long ago is judged alike, whichever way the time between was passed.
    assert one.accept(65001) is other.accept(65001) is REORDERED
    assert one.lost == other.lost == 0


def test_how_late_a_missing_packet_may_come() -> None:
    for passed, verdict in ((WINDOW - 2, REORDERED), (WINDOW - 1, Verdict.JUMP)):
        tracker = SequenceTracker()
        tracker.accept(0)
        tracker.accept(2)
        tracker.count_expected(passed)
        assert tracker.lost == 1
        assert tracker.accept(1) is verdict
        assert tracker.lost == (0 if verdict is REORDERED else 1)


class Model:
    """Remembers every number, without wrapping."""

    def __init__(self) -> None:
        self.came: set[int] = set()

    def accept(self, number: int) -> Verdict:
        newest = max(self.came, default=number - 1)
        if number in self.came:
            verdict = DUPLICATE
        elif number == newest + 1:
            verdict = NEXT
        else:
            verdict = AHEAD if number > newest else REORDERED
        self.came.add(number)
        return verdict

    @property
    def lost(self) -> int:
        return max(self.came) - min(self.came) + 1 - len(self.came) if self.came else 0


@CALM
@given(st.integers(0, 65535), st.lists(st.integers(-20, 30), max_size=200))
def test_against_a_model(base: int, steps: list[int]) -> None:
    tracker, model = SequenceTracker(), Model()
    number = base + (1 << 20)
    for step in steps:
        number += step
        newest = max(model.came, default=number)
        number = max(number, newest - WINDOW // 2)
        assert tracker.accept(number & 0xFFFF) is model.accept(number)
        assert tracker.lost == model.lost


@settings(CALM, max_examples=40)
@given(st.integers(0, 65535), st.data())
def test_a_shuffled_lossy_stream(base: int, data: st.DataObject) -> None:
    # What is dropped, doubled and moved is known; the tracker must say the same, across the wrap of 16 bits.
    sent = list(range(base, base + 300))
    dropped = data.draw(st.sets(st.sampled_from(sent[1:-1]), max_size=30))
    doubled = data.draw(st.sets(st.sampled_from(sent), max_size=30)) - dropped
    arriving = [number for number in sent if number not in dropped for _ in range(1 + (number in doubled))]
    delays = data.draw(st.lists(st.integers(0, 8), min_size=len(arriving), max_size=len(arriving)))
    order = sorted(range(len(arriving)), key=lambda index: index + delays[index])
    tracker = SequenceTracker()
    verdicts = [tracker.accept(arriving[index] & 0xFFFF) for index in order]
    came = {arriving[index] for index in order}
    assert tracker.lost == max(came) - min(came) + 1 - len(came)
    assert verdicts.count(DUPLICATE) == len(doubled)
    highest = -1
    overtaken = 0
    seen: set[int] = set()
    for index in order:
        overtaken += arriving[index] < highest and arriving[index] not in seen
        seen.add(arriving[index])
        highest = max(highest, arriving[index])
    assert verdicts.count(REORDERED) == overtaken


@CALM
@given(st.lists(st.integers(0, 65535), max_size=100))
def test_any_numbers_are_taken(sequences: list[int]) -> None:
    tracker = SequenceTracker()
    before = 0
    for sequence in sequences:
        verdict = tracker.accept(sequence)
        assert isinstance(verdict, Verdict)
        assert tracker.lost >= 0
        assert tracker.expected is not None
        if verdict in (AHEAD, NEXT, Verdict.RESTART):
            assert (tracker.expected - 1) & 0xFFFF == sequence
            assert tracker.lost >= before
        before = tracker.lost
        assert len(tracker._missing) <= 2 * WINDOW


@settings(CALM, max_examples=60)
@given(st.integers(0, 65535), st.lists(st.tuples(st.integers(-60, 40), st.integers(1, 50)), max_size=40))
def test_merging_runs_is_accepting_their_packets(base: int, runs: list[tuple[int, int]]) -> None:
    # As two legs deliver them: runs that overlap, leave gaps, and fill them.
    one, other = SequenceTracker(), SequenceTracker()
    at = base + (1 << 20)
    for step, count in runs:
        at += step
        fresh = one.merge(at & 0xFFFF, count)
        verdicts = [other.accept(number & 0xFFFF) for number in range(at, at + count)]
        assert fresh == count - verdicts.count(DUPLICATE)
        assert (one.expected, one.lost) == (other.expected, other.lost)
        at += count
