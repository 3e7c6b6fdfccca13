"""One sentence about a run, for people: what is wrong first, else how much is to spare. No I/O."""

from __future__ import annotations

from phasegraph import format_duration
from phasegraph.control import NodeStatus, RunStatus

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def headline(status: RunStatus | None) -> str:
    """The sentence on top of the page."""
    if status is None:
        return "The run has not answered yet."
    if status.stopping:
        return "The run is ending: sinks write and send what they have."
    if status.trouble:
        more = len(status.trouble) - 1
        rest = f" And {_count(more, 'other node')} in trouble." if more else ""
        return f"{status.trouble[0]}.{rest}"
    streams = {id: node for id, node in status.nodes.items() if "packets_received" in node.metrics}
    if not streams:
        return "No node of the run is in trouble."
    several = "Both streams" if len(streams) == 2 else f"All {_count(len(streams), 'stream')}"
    healthy = "The stream is healthy" if len(streams) == 1 else f"{several} are healthy"
    spare = {id: left for id, node in streams.items() if (left := spare_ns(node)) is not None}
    if not spare:
        return f"{healthy}."
    tightest = min(spare, key=lambda name: spare[name])
    if spare[tightest] <= 0:
        return f"{healthy} now. Earlier, packets of {tightest} came later than its link offset."
    if len(streams) == 1:
        return f"{healthy}: {format_duration(spare[tightest])} to spare."
    return f"{healthy}. The tightest is {tightest}: {format_duration(spare[tightest])} to spare."


def spare_ns(node: NodeStatus) -> int | None:
    """Link offset minus the greatest lateness (of 99 % where some packet was late); None where it is not known."""
    offset, most, usual = (node.metrics.get(f"{name}_ns") for name in ("link_offset", "lateness_max", "lateness_p99"))
    if not isinstance(offset, int) or not isinstance(most, int) or not isinstance(usual, int):
        return None
    return offset - most if most <= offset else offset - usual


def _count(number: int, noun: str) -> str:
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {noun}{'' if number == 1 else 's'}"
