"""Samples of Syncs: which are used, and what is in them."""

from __future__ import annotations

import pytest

from phasegraph import StampKind
from phasegraph.ieee1588 import Flag, FollowUp, Sync
from phasegraph_ptp.measurements import SyncSample

from .bench import GM, OTHER, Bench, S

NS = 1 << 16


@pytest.mark.parametrize(
    ("correction", "reason"),
    [
        (-1_000 * NS, None),
        (-1_000 * NS - 1, "correction_negative"),
        (-(2**63), "correction_negative"),
        (10 * S * NS, None),
        (10 * S * NS + 1, "correction_huge"),
        (2**63 - 1, "correction_huge"),
    ],
)
def test_corrections_that_cannot_be_true(correction: int, reason: str | None) -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    bench.synced(1, correction=correction)
    assert len(bench.samples) == (reason is None)
    if reason is not None:
        assert bench.dropped(reason) == 1


def test_a_sample_of_a_sync() -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    bench.receive(Sync(source=GM, sequence=9, flags=Flag.TWO_STEP, correction=5, log_interval=-2), at_ns=S + 77)
    bench.receive(FollowUp(source=GM, sequence=9, precise_origin_ns=42, correction=-2), at_ns=S + 99)
    assert bench.samples == [
        SyncSample(reference_ns=42, local_ns=S + 77, correction=3, stamp=StampKind.KERNEL, interval_ns=S // 4)
    ]


@pytest.mark.parametrize("fields", [{"source": OTHER}, {"source": GM, "domain": 1}, {"source": GM, "major_sdo": 1}])
def test_the_syncs_of_others_are_nothing_to_us(fields: dict[str, object]) -> None:
    bench = Bench()
    bench.now_ns = S
    bench.announced()
    bench.receive(Sync(sequence=1, **fields))
    assert bench.samples == []
