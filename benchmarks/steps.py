"""What a wake-up of the engine costs, by the number of streams that it receives. Prints a Markdown table.

    python benchmarks/steps.py [--streams 1,64,256,1000] [--milliseconds 160]

One graph sends the streams (2 channels, 1 ms), another receives them with a sink for each, both in one process on a
simulated network. The table has the processor time of the receiver's steps alone, on packets that are there already:
no system calls, no control plane. Nothing waits for real time, so that a busy machine changes it by its caches alone.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import _options
import many
import trio
from _table import markdown, number
from trio.testing import MockClock

from phasegraph._run.engine import Engine
from phasegraph.testing import SimNetwork, running_graph

PACKETS_PER_S = 1000


def sending(streams: int) -> str:
    """A graph that sends what `many.graph` receives."""
    head = 'schema = 1\n[clocks.house]\nkind = "system"\n[sources.tone]\nkind = "tone"\n'
    sinks = (
        f'[sinks.n{i}]\nkind = "aes67"\ninput = "tone"\ninterface = "127.0.0.1"\n'
        f'group = "{many.group(i)}"\nport = {many.PORT}\npayload-type = 96\n'
        for i in range(streams)
    )
    return "\n".join([head, *sinks])


class StepCost:
    """The processor time of an engine's wake-ups, while it is asked for."""

    def __init__(self, engine: Engine) -> None:
        self.passes = self.ns = 0
        self._run = engine.run_due_steps
        engine.run_due_steps = self._timed  # type: ignore[method-assign]

    def _timed(self, now: int, generation: int = 0) -> int:
        began_ns = time.thread_time_ns()
        due_ns = self._run(now, generation)
        self.ns += time.thread_time_ns() - began_ns
        self.passes += 1
        return due_ns


async def measure(streams: int, milliseconds: int) -> list[str]:
    """A row of the table."""
    network = SimNetwork()
    async with (
        running_graph(many.graph(streams, channels=2, link_offset="100ms"), network=network) as receiver,
        running_graph(sending(streams), network=network),
    ):
        await trio.sleep(0.6)  # new streams are read more often at first
        cost = StepCost(receiver.session.services.engine)
        await trio.sleep(milliseconds / 1e3)
    packets = streams * milliseconds * PACKETS_PER_S // 1000
    return [
        str(streams),
        number(1000 * cost.passes / milliseconds, 0),
        number(packets / cost.passes, 0),
        number(cost.ns / cost.passes / 1e3, 0),
        number(cost.ns / packets / 1e3, 2),
        number(cost.ns / milliseconds / 1e4, 1),
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,64,256,1000", metavar="N,N", help="stream counts (1,64,256,1000)")
    parser.add_argument("--milliseconds", type=int, default=160, help="of virtual time, a row (160)")
    given = parser.parse_args()
    rows = []
    for streams in map(int, given.streams.split(",")):
        run = partial(measure, streams, given.milliseconds)
        rows.append(trio.run(run, clock=MockClock(autojump_threshold=0)))
    head = ["streams", "wake-ups a second", "packets each", "us of CPU each", "us a packet", "% of a core"]
    print(f"{_options.machine()}.\n")
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
