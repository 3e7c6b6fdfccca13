"""The comparison of two versions of the airplay clock: what counts as worse, and that both get the same packets."""

from __future__ import annotations

import pathlib
import sys

import pytest

pytest.importorskip("phasegraph_airplay_timing")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from airplay_filters import CONDITIONS, SamePackets, compared, looks_of

SYNC, DELAY_RESP = 0, 9


def row(locked: str, p99: str) -> tuple[str, ...]:
    return ("wire", "envelope", "1.0", p99, "9.0", locked, "117", "0 of 9", "0.0%")


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (row("-", "1,004.0"), row("5.0", "1,004.1"), "none"),
        (row("5.0", "1,004.0"), row("-", "1,004.2"), "p99 us, locked max us"),
    ],
)
def test_an_error_is_worse_by_more_than_its_rounding(before: tuple[str, ...], now: tuple[str, ...], worse: str) -> None:
    assert compared(before, now)[-1] == worse


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
