"""Strategies that fit a stream to a card: ours, and the controllers of other systems, in one simulated crossing.

    python benchmarks/compensation.py [--seconds 600] [--seeds 3]
    python benchmarks/compensation.py --hours 24

A stream of 1 ms packets (network jitter of 50 us, PTP with an error of 2 us that wanders within 10 s) is played on a
card that runs 37.3 ppm fast and 3 ppm faster when it is warm, in blocks of 256 frames. No samples are computed:
positions and ratios are. Prints Markdown tables; every figure is the worst of the seeds. `--hours` runs our strategies
for that time on a card that wanders between -100 and +100 ppm by 1 ppm a minute, with 1 % of the packets lost
and another grandmaster, 10 ms ahead, half way.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

from _baselines import PipeWire, RawLevel, Roc, Zita
from _table import markdown

from phasegraph import Compensator, DeviceRate
from phasegraph.testing import Conditions, DriftWorld, TrackingError, tracking_error_of, worst_tracking_error
from phasegraph_compensation.buffer_feedback import BufferFeedback, BufferFeedbackConfig
from phasegraph_compensation.combined import Combined
from phasegraph_compensation.feed_forward import FeedForward, FeedForwardConfig

RATE = 48_000
Make = Callable[[], Compensator]
OURS: dict[str, Make] = {
    "combined": lambda: Combined(FeedForwardConfig(), RATE),
    "ptp-feed-forward": lambda: FeedForward(FeedForwardConfig(), RATE),
    "buffer-feedback": lambda: BufferFeedback(BufferFeedbackConfig(), RATE),
}
OTHERS: dict[str, Make] = {
    "zita-njbridge": lambda: Zita(RATE),
    "zita-ajbridge": lambda: Zita(RATE, 1.0),
    "PipeWire, RTP": lambda: PipeWire(RATE),
    "PipeWire, AVB": lambda: PipeWire(RATE, 256),
    "roc, gradual": lambda: Roc(RATE),
    "roc, responsive": lambda: Roc(RATE, gradual=False),
    "BassAES67": lambda: RawLevel(RATE),
}
WARM = DeviceRate(36_300.0, 1_000.0)
"""What an earlier run has learned of the card: wrong by 1 ppm."""
CONDITIONS = {
    "a PCI card's stamps": Conditions(),
    "a USB card's stamps: a pointer that moves by 6 frames": Conditions(stamps="usb"),
    "-100 ppm": Conditions(card_ppm=-100.0),
    "+100 ppm": Conditions(card_ppm=100.0),
}
HEAD = [
    "controller",
    "in its place from s",
    "steady from s",
    "within 1 ppm from s",
    "mean error",
    "wander rms",
    "wander pp",
    "ratio error ppm rms",
    "largest",
    "ppm/s at first",
    "ppm/s",
    "10 kHz dB",
    "underruns",
    "resyncs",
]


def measure(make: Make, conditions: Conditions, seconds: float, seeds: int, known: DeviceRate | None) -> TrackingError:
    """The worst of runs with several seeds."""
    worlds = (DriftWorld(make(), conditions, seed=seed, known=known) for seed in range(1, seeds + 1))
    return worst_tracking_error([tracking_error_of(world.run(seconds)) for world in worlds])


def row(name: str, figures: TrackingError, *, placed: bool) -> list[str]:
    """One row of the table."""
    return [
        name,
        _seconds(figures.place_s) if placed else "-",
        _seconds(figures.phase_s),
        _seconds(figures.rate_s),
        f"{figures.mean:+.2f}" if placed else "-",
        f"{figures.wander:.3f}",
        f"{figures.wander_pp:.2f}",
        f"{figures.ratio:.3f}",
        f"{figures.ratio_most:.1f}",
        f"{figures.slope_acquiring:.1f}",
        f"{figures.slope:.3f}",
        f"{figures.noise_db:.0f}",
        str(figures.underruns),
        str(figures.resyncs),
    ]


def _seconds(value: float) -> str:
    return "never" if value == math.inf else f"{value:.1f}"


def rows(conditions: Conditions, seconds: float, seeds: int) -> Iterator[list[str]]:
    """All controllers under one set of conditions."""
    for name, make in OURS.items():
        yield row(name, measure(make, conditions, seconds, seeds, None), placed=True)
    if conditions.card_ppm != Conditions().card_ppm:
        return
    name = "combined"
    yield row(f"{name}, warm start", measure(OURS[name], conditions, seconds, seeds, WARM), placed=True)
    for name, make in OTHERS.items():
        yield row(name, measure(make, conditions, seconds, seeds, None), placed=False)


def long_run(hours: float, names: list[str]) -> None:
    """Strategies of ours for hours."""
    seconds = hours * 3600.0
    conditions = Conditions(card_ppm=0.0, warm_ppm=0.0, ramp_ppm=100.0, loss=0.01, steps={seconds / 2: 480})
    print(f"{hours:g} h, -100 to +100 ppm by 1 ppm a minute, 1 % loss, another grandmaster 10 ms ahead; seed 1\n")
    made = [row(name, measure(OURS[name], conditions, seconds, 1, None), placed=True) for name in names]
    print(markdown(HEAD, made))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each")
    parser.add_argument("--hours", type=float, help="the long run instead, for this time")
    parser.add_argument("--only", choices=list(OURS), action="append", help="of the long run, one strategy")
    options = parser.parse_args()
    if options.hours:
        long_run(options.hours, options.only or list(OURS))
        return
    for name, conditions in CONDITIONS.items():
        print(f"{name}; {options.seconds:g} s, worst of {options.seeds} seeds\n", flush=True)
        print(markdown(HEAD, rows(conditions, options.seconds, options.seeds)), flush=True)
        print()


if __name__ == "__main__":
    main()
