"""What a status of a run costs its control plane: processor time, in simulated time. Prints a Markdown table.

    python benchmarks/status.py [--streams 64] [--rounds 12]

One graph sends the streams, another receives them, both in one process on a simulated network with jitter. Rates of all
spans are known. Each round takes the processor time of a sample of all counters (a run takes one each second while its
status is read), of a status, and of its line for a client, each of new figures. Medians. Nothing waits for real time,
so that a busy machine changes the figures by its caches alone; ``control_clients.py`` and ``console.py`` measure real
runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import trio
from _table import markdown, number
from console import receiving, sending
from trio.testing import MockClock

from phasegraph._control.control_protocol import StatusLine, encode_line
from phasegraph._control.counter_rates import counters
from phasegraph._control.run_monitor import RunMonitor
from phasegraph._run.session import Session
from phasegraph.simulation.impairments import Impairment
from phasegraph.testing import SimNetwork, running_graph

NODES_A_SECOND, MOST_STATUS_S = 32, 5.0
"""How often `kernel console` asks for a status: each second, less often where there are more nodes."""


JITTER_NS = 200_000
"""The histogram of latenesses fills as many bins as over a network."""


class StatusCost:
    """Takes samples and statuses of one run, and their times."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session
        self._monitor = RunMonitor(session, name)
        self._line = b""
        self._ns: dict[str, list[int]] = {"sample": [], "status": [], "line": []}

    async def measure(self) -> None:
        """Once; figures are new each time."""
        await trio.sleep(0.6)
        self._timed("sample", self.sample)
        await trio.sleep(0.6)
        self._timed("status", self._monitor.status)
        self._timed("line", self._encode)

    def _timed(self, what: str, work: Callable[[], object]) -> None:
        began_ns = time.thread_time_ns()
        work()
        self._ns[what].append(time.thread_time_ns() - began_ns)

    def sample(self, age_s: float = 0.0) -> None:
        """Adds a sample of the counters as they are; ``age_s``: as if it were older."""
        meter, nodes = self._session.meter, self._session.built.nodes.values()
        counted = {node.id: counters(meter.counters(node)) for node in nodes}
        edges = {name: counters(edge["metrics"]) for name, edge in meter.edges().items()}
        self._monitor.history.add_sample(trio.current_time() - age_s, counted | edges)

    def _encode(self) -> None:
        self._line = encode_line(StatusLine(status=self._monitor.status()))

    def row(self) -> list[str]:
        """Its row of the table."""
        nodes = len(self._session.built.nodes)
        ms = {what: statistics.median(each) / 1e6 for what, each in self._ns.items()}
        every_s = min(max(1.0, nodes / NODES_A_SECOND), MOST_STATUS_S)
        share = (ms["sample"] + (ms["status"] + ms["line"]) / every_s) / 10
        size = f"{len(self._line) / 1000:.0f}"
        return [self.name, str(nodes), *(number(each, 2) for each in ms.values()), size, number(share, 2)]


async def measure(streams: int, rounds: int) -> list[StatusCost]:
    """Both runs."""
    network = SimNetwork()
    network.wire.impair(Impairment(jitter_ns=JITTER_NS, jitter="exponential"))
    async with (
        running_graph(receiving(streams), network=network) as receiver,
        running_graph(sending(streams), network=network) as sender,
    ):
        costs = [StatusCost("sends", sender.session), StatusCost("receives", receiver.session)]
        await trio.sleep(3)
        for cost in costs:
            cost.sample(age_s=62)
        for _ in range(rounds):
            for cost in costs:
                await cost.measure()
    return costs


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    costs = trio.run(partial(measure, arguments.streams, arguments.rounds), clock=MockClock(autojump_threshold=0))
    head = ["run", "nodes", "sample, ms", "status, ms", "its line, ms", "kB", "with a console, % of a core"]
    print(markdown(head, [cost.row() for cost in costs]))


if __name__ == "__main__":
    main()
