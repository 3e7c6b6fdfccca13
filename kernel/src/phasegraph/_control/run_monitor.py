"""Snapshots of a run: every node with its figures, recent rates, and trouble in words. Lives on the control plane."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from .._run.summary import edge_phrases, node_phrases, severity
from .control_protocol import EdgeStatus, NodeStatus, RunStatus
from .counter_rates import CounterHistory

if TYPE_CHECKING:
    from .._run.session import Session

STATUS_AGE_S = 0.2
"""A snapshot is made at most this often, however many readers there are."""
SAMPLE_S = 1.0
RECENT_S = 10
_LOSSES = {
    "packets_lost": "lost",
    "packets_late": "late",
    "packets_early": "early",
    "socket_dropped": "dropped by the system",
    "send_errors": "not sent",
    "underrun_frames": "frames missing",
    "overruns": "overruns",
}
"""Counters that mean a loss, and what is said of their increase."""


class RunMonitor:
    """Samples the counters of a run, and makes its snapshots."""

    def __init__(self, session: Session, name: str) -> None:
        """``name`` is that of the run."""
        self.session = session
        self.name = name
        self._history = CounterHistory()
        self._status: tuple[float, RunStatus] | None = None

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            nodes = self.session.built.nodes.values()
            metrics = {node.id: self.session.meter.metrics(node) for node in nodes}
            self._history.add_sample(trio.current_time(), metrics)
            await trio.sleep(SAMPLE_S)

    def status(self) -> RunStatus:
        """A snapshot, at most 0.2 s old."""
        now_s = trio.current_time()
        if self._status is None or now_s - self._status[0] >= STATUS_AGE_S:
            self._status = now_s, self._make_status(now_s)
        return self._status[1]

    def _make_status(self, now_s: float) -> RunStatus:
        session = self.session
        nodes: dict[str, NodeStatus] = {}
        for built in session.built.nodes.values():
            node = session.meter.node(built, session.supervisor)
            rates = self._history.rates(now_s, built.id, node["metrics"])
            phrases, urgency = node_phrases(node), severity(node)
            if (recent := recent_losses(rates)) and urgency < 2:
                phrases.insert(int(bool(urgency)), recent)
                urgency = 1
            format = built.format
            nodes[built.id] = NodeStatus(
                **node,
                severity=urgency,
                text="; ".join(phrases),
                rate=None if format is None else format.rate,
                channels=None if format is None else format.channels,
                rates=rates,
            )
        edges = {
            name: EdgeStatus(
                crossing=edge["crossing"],
                text="; ".join(edge_phrases(edge)) if edge["crossing"] else "",
                metrics=edge["metrics"],
            )
            for name, edge in session.meter.edges().items()
        }
        troubled = sorted((id for id in nodes if nodes[id].severity), key=lambda troubled: -nodes[troubled].severity)
        return RunStatus(
            name=self.name,
            graph=session.name,
            profile=session.profile,
            pid=os.getpid(),
            started_at=session.meter.started_at,
            duration_s=round(session.meter.duration_s, 3),
            stopping=session.supervisor.stopping,
            trouble=[f"{id}: {nodes[id].text}" for id in troubled],
            nodes=nodes,
            edges=edges,
        )


def recent_losses(rates: Mapping[str, Mapping[str, float]]) -> str:
    """What was lost in the last 10 s, as a phrase; empty where nothing was."""
    recent = rates.get(str(RECENT_S), {})
    counts = {word: round(recent.get(name, 0.0) * RECENT_S) for name, word in _LOSSES.items()}
    lost = [f"{count:,} {word}".replace(",", " ") for word, count in counts.items() if count]
    return f"{', '.join(lost)} in the last {RECENT_S} s" if lost else ""
