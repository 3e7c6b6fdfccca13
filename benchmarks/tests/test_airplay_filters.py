"""The comparison of two versions of the airplay clock: what counts as worse, and that both get the same packets."""

from __future__ import annotations

import pathlib
import sys

import pytest

pytest.importorskip("phasegraph_airplay_timing")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from airplay_filters import CONDITIONS, MS, LookTaken, S, SamePackets, compared, figures, looks_of

SYNC, DELAY_RESP = 0, 9


def cells(locked: str, p99: str, beyond: str = "0 of 9") -> tuple[str, ...]:
    return ("1.0", p99, "9.0", locked, locked, "2.0, 9.1", "117", beyond, "0.00%")


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (cells("-", "1,004.0"), cells("5.0", "1,004.1"), "none"),
        (cells("5.0", "1,004.0"), cells("5.3", "1,004.2"), "p99 us, both locked max us"),
        (cells("5.0", "1,004.0"), cells("5.0", "1,004.0", "1 of 9"), "beyond"),
    ],
)
def test_a_figure_is_worse_by_more_than_its_rounding(before: tuple[str, ...], now: tuple[str, ...], worse: str) -> None:
    assert compared("wire", "envelope", before, now)[-1] == worse


def test_errors_while_both_are_locked_are_of_the_same_span() -> None:
    """A clock that locks sooner is compared where the other one was locked too, and shows all in its own column."""

    def run(locked_s: int, error_ns: int) -> list[LookTaken]:
        return [LookTaken(at * S, error_ns if at > 20 else MS, at >= locked_s, 1.0, 9e9, False) for at in range(10, 31)]

    late, early = [run(25, 500_000)], [run(15, 100_000)]
    assert figures(early, late)[3:6] == ["1,000.0", "100.0", "15.0, 15.0"]
    assert figures(late, early)[3:6] == ["500.0", "500.0", "25.0, 25.0"]


def test_what_the_ends_of_a_path_cannot_see_is_no_error() -> None:
    """One way is 1 ms longer: half of it is in every clock, and the bound has to cover it."""
    looks = looks_of(CONDITIONS["Wi-Fi, there 1 ms longer"], "envelope", 12.0, 1)
    late = [look for look in looks if look.true_ns > 8 * S]
    assert late
    assert max(abs(look.error_ns) for look in late) < 400_000
    assert all(look.bound_ns > 500_000 + abs(look.error_ns) and not look.beyond for look in late)


@pytest.mark.parametrize("seed", [1, 2])
def test_more_requests_do_not_change_the_syncs(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With `envelope` the leader is asked more often than with `nqptp`."""
    arrived: list[tuple[int, int]] = []
    receive = SamePackets._receive

    def note(group: SamePackets, data: bytes, source: tuple[str, int]) -> None:
        arrived.append((group.now_ns, data[0] & 15))
        receive(group, data, source)

    monkeypatch.setattr(SamePackets, "_receive", note)
    packets = []
    for filter in ("envelope", "nqptp"):
        arrived.clear()
        looks_of(CONDITIONS["quiet Wi-Fi"], filter, 4.0, seed)
        packets.append([[at for at, kind in arrived if kind == message] for message in (SYNC, DELAY_RESP)])
    (syncs, answers), (same_syncs, fewer_answers) = packets
    assert syncs == same_syncs
    assert len(answers) > 2 * len(fewer_answers) > 0
