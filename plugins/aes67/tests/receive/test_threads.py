"""Figures that another thread reads while packets are handled: every one of a snapshot is of the same moment."""

from __future__ import annotations

import sys
import threading
from typing import Any

from phasegraph_aes67.receive.demultiplexer import Demultiplexer

BASE = 48 * 1_790_000_000_000
MS = 1_000_000


def test_every_snapshot_is_of_one_moment(make: Any, batch_of: Any) -> None:
    # Each batch has 10 packets of the stream on both legs, of which one is missing on the second, and 5 of a rival.
    stage = make(address="239.1.1.1", leg_b={"address": "239.1.1.2"}, link_offset_ns=20 * MS)
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(stage.routes)
    batches = []
    for number in range(0, 400, 10):
        rows = []
        for frame in range(BASE + 48 * number, BASE + 48 * (number + 10), 48):
            at = stage.arrival(frame, MS)
            rows += [(stage.packet(frame), at, "239.1.1.1", 1), (stage.packet(frame), at, "239.1.1.2", 1)]
            if frame % 96:
                rows.append((stage.packet(frame, ssrc=9), at, "239.1.1.1", 2))
        del rows[3]
        batches.append(batch_of(rows))
    done, looked = threading.Event(), threading.Event()
    seen: set[int] = set()
    wrong: list[dict[str, Any]] = []

    def read() -> None:
        while not done.is_set():
            figures = stage.receiver.figures.latest.metrics()
            number = figures["packets_received"] // 10
            seen.add(number)
            expected = {
                "packets_received": 10 * number, "leg_a_packets_received": 10 * number,
                "leg_b_packets_received": 9 * number, "packets_foreign": 5 * number, "packets_lost": 0,
            }  # fmt: skip
            if any(figures[name] != value for name, value in expected.items()):
                wrong.append(figures)
            looked.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    reader = threading.Thread(target=read)
    try:
        reader.start()
        for number, batch in enumerate(batches):
            if number in (0, 20):  # the reader reads in between, however busy the machine is
                looked.clear()
                assert looked.wait(60)
            demultiplexer.distribute(batch)
            stage.receiver.publish_figures()
    finally:
        done.set()
        reader.join()
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(seen) > 1
    assert stage.metrics()["packets_received"] == 400
