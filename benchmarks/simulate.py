"""How fast `kernel simulate` is, and where the time goes. Prints Markdown tables.

    python benchmarks/simulate.py [--minutes 10] [--rounds 5] [GRAPH ...]

Without graphs: one stream into a file, and one stream to a sound card that is steered.

"Times real time" is the virtual time of a run by the seconds it took, without the start of the process, by the wall
and by the processor time that it used: on a busy machine the latter is nearer to what an idle one would need.

The shares are of a run of its own under Python's profiler, by who was called: time of a function that is not part of
Phasegraph counts for its caller. The profiler makes calls of small functions look more expensive than they are.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time
from pathlib import Path

from _options import machine
from _table import markdown, number, percent

from phasegraph._graph_file import load_graph
from phasegraph._plugins import loader
from phasegraph._run.logging import make_log
from phasegraph.simulation.scenario import load_scenario
from phasegraph.simulation.simulation_run import Simulation

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    "phasegraph_compensation": "compensator and its estimator",
    "phasegraph/_run/crossing": "the crossing: position, observations",
    "phasegraph/simulation/truth": "the truth",
    "phasegraph/simulation/nodes/network_source": "network and sender",
    "phasegraph/simulation/signals": "network and sender",
    "phasegraph/simulation/packet_arrivals": "network and sender",
    "phasegraph/_core": "stream and ring",
    "phasegraph/simulation/nodes/playback_card": "the sound card",
    "phasegraph/simulation/nodes/capture_card": "the sound card",
    "phasegraph/simulation/card_callbacks": "the sound card",
    "phasegraph/_run/inputs": "the sound card",
    "phasegraph/_run/taps": "the sound card",
    "phasegraph/simulation/local_clock": "virtual time",
    "phasegraph/simulation/oscillator": "virtual time",
    "phasegraph/simulation": "clock and grandmaster",
    "phasegraph": "engine and the rest of the kernel",
}
"""Parts by the beginning of a path within the sources; the first that fits counts."""


def simulation(graph: Path, seconds: int, scenario: str) -> Simulation:
    """A run that is ready to begin."""
    registry = loader.load()
    return Simulation(
        load_graph(graph, registry),
        registry,
        load_scenario(scenario),
        seed=0,
        log=make_log(level="error"),
        for_ns=seconds * 10**9,
    )


def measure(graph: Path, seconds: int, scenario: str) -> tuple[float, float]:
    """How many times faster than real time, by the wall and by the processor time."""
    run = simulation(graph, seconds, scenario)
    wall, processor = time.perf_counter(), time.process_time()
    run.run()
    return seconds / (time.perf_counter() - wall), seconds / (time.process_time() - processor)


def part_of(path: str) -> str | None:
    """The part of the product that a source file belongs to."""
    if "site-packages" in path:
        return None
    return next((part for piece, part in PARTS.items() if f"/{piece}" in path), None)


def shares(graph: Path, seconds: int, scenario: str) -> dict[str, float]:
    """Share of the time by part."""
    profile = cProfile.Profile()
    run = simulation(graph, seconds, scenario)
    profile.runcall(run.run)
    spent: dict[str, float] = {}
    for function, (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        part = part_of(function[0])
        if part is not None:
            spent[part] = spent.get(part, 0.0) + own
            continue
        for caller, (_, _, its, _) in callers.items():
            part = part_of(caller[0]) or "trio, numpy and Python"
            spent[part] = spent.get(part, 0.0) + its
    whole = sum(spent.values())
    return {part: each / whole for part, each in sorted(spent.items(), key=lambda item: -item[1])}


def main() -> None:
    """Measure and print."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    examples = [ROOT / "examples" / name for name in ("receive.toml", "speakers.toml")]
    parser.add_argument("graphs", type=Path, nargs="*", default=examples, metavar="GRAPH")
    parser.add_argument("--minutes", type=int, default=10, help="of virtual time, a run (10)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenario", default="studio")
    given = parser.parse_args()
    seconds = 60 * given.minutes
    rows, parts = [], []
    for graph in given.graphs:
        speeds = [measure(graph, seconds, given.scenario) for _ in range(given.rounds)]
        wall, processor = zip(*speeds, strict=True)
        figures = (statistics.median(wall), max(wall), statistics.median(processor))
        rows.append([graph.name, given.scenario, *(number(figure, 0) for figure in figures)])
        parts.append(shares(graph, seconds, given.scenario))
    print(f"{machine()}.\n")
    print(markdown(["graph", "scenario", "times real time", "best", "by processor time"], rows), end="\n\n")
    head = ["part", *(graph.name for graph in given.graphs)]
    order = sorted(set().union(*parts), key=lambda part: -max(each.get(part, 0.0) for each in parts))
    print(markdown(head, [[part, *(percent(each.get(part, 0.0)) for each in parts)] for part in order]))


if __name__ == "__main__":
    main()
