"""A JACK card in this process and in a process of its own, while this one computes: how late its callbacks run.

    jackd -R -d dummy -r 48000 -p 256 &
    python benchmarks/card_process.py [--seconds 20]

Prints a Markdown table: the time from the start of a cycle to its callback, and the cycles that the client missed.
"""

from __future__ import annotations

import argparse
import threading
import time

import numpy as np
from _table import markdown

from phasegraph import SystemLocalClock
from phasegraph_sinks.soundcard.card_host import open_card
from phasegraph_sinks.soundcard.card_memory import CallbackStamp, PlayRing
from phasegraph_sinks.soundcard.card_process import CardProcess
from phasegraph_sinks.soundcard.cards import CardRequest

RATE = 48_000
REQUEST = CardRequest("benchmark", "output", "system", RATE, 2, None, 0)


def compute(ended: threading.Event) -> None:
    """What an engine does between two callbacks: Python, without a pause."""
    while not ended.is_set():
        sum(range(2000))


def measure(ring: PlayRing, seconds: float, busy: bool) -> list[str]:
    """Percentiles of the callbacks' lateness in us, and the missed cycles."""
    ended, stamps = threading.Event(), list[CallbackStamp]()
    worker = threading.Thread(target=compute, args=(ended,))
    if busy:
        worker.start()
    ring.read_stamps()
    missed, deadline = ring.lost_cycles, time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
        stamps += ring.read_stamps()
    ended.set()
    if busy:
        worker.join()
    late = np.array([stamp.entry_ns / 1000 - stamp.now_s * 1e6 for stamp in stamps])
    return [*(f"{np.percentile(late, share):.0f}" for share in (50, 99, 100)), str(ring.lost_cycles - missed)]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    rows = []
    for busy in (False, True):
        word = "busy" if busy else "idle"
        ring = PlayRing(2, RATE)
        card = open_card(REQUEST, ring, SystemLocalClock().now_ns)
        rows.append(["in this process", word, *measure(ring, seconds, busy)])
        card.close(played_out=False)
        process = CardProcess(REQUEST, PlayRing, RATE)
        rows.append(["a process of its own", word, *measure(process.ring, seconds, busy)])
        process.close(played_out=False)
    print(markdown(["the card", "this process", "median us", "99 % us", "worst us", "missed cycles"], rows))


if __name__ == "__main__":
    main()
