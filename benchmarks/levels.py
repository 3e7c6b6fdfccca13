"""What the `meter` sink costs: processor time of one stream, as part of a core, by channels and by what is measured.

.venv/bin/python benchmarks/levels.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from phasegraph_sinks.meter.level_meter import LevelMeter, LevelSettings

BLOCK_NS = 200_000_000
RATE = 48_000


def percent(channels: int, true_peak: bool, weights: tuple[float, ...]) -> float:
    """Processor time for the blocks of a stream, in percent of real time; the median of 100 blocks."""
    settings = LevelSettings(
        rate=RATE,
        channels=channels,
        weights=weights,
        true_peak=true_peak,
        silence_level=0.001,
        silence_ns=10**10,
        overload_level=0.999,
        stuck_ns=10**9,
    )
    meter = LevelMeter(settings, 0)
    frames = np.random.default_rng(0).normal(0, 0.1, (RATE // 5, channels)).astype(np.float32)
    costs = []
    for number in range(100):
        began = time.process_time_ns()
        meter.measure(frames, number * BLOCK_NS)
        meter.figures()
        costs.append(time.process_time_ns() - began)
    return 100 * statistics.median(costs) / BLOCK_NS


if __name__ == "__main__":
    print("channels  peaks, phase, alarms  and loudness  and true peak")
    for channels in (2, 8, 64):
        costs = (
            percent(channels, False, ()),
            percent(channels, False, (1.0, 1.0)),
            percent(channels, True, (1.0, 1.0)),
        )
        print(f"{channels:8}  {costs[0]:18.2f} %  {costs[1]:10.2f} %  {costs[2]:11.2f} %")
