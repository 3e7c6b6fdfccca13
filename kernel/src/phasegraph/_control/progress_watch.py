"""Whether what a node does goes on: within two seconds it is trouble that packets or the card's frames stand still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STANDSTILL_S = 1.0
"""Counters that do not move for this time stand still: packets, and the blocks of a card, come in milliseconds."""
_PACKETS = {"packets_received": "no packet received", "packets_sent": "no packet sent"}


class ProgressWatch:
    """Remembers when each node's counter moved last. Lives on the control plane."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[float, int]] = {}
        """When a counter was seen to move, and its value; by node."""

    def standstill(self, now_s: float, id: str, node: Mapping[str, Any]) -> str:
        """How long nothing has been done by a node that had been doing it, as a phrase; empty where all goes on.

        ``node`` is its part of a report. To be called with every snapshot.
        """
        name, words = _counted(node)
        value = node["metrics"].get(name, 0)
        moved_s, before = self._moved.get(id, (now_s, 0))
        if value != before or node["state"] != "running":
            self._moved[id] = now_s, value
            return ""
        still_s = now_s - moved_s
        return f"{words} for {still_s:.0f} s" if value and still_s >= STANDSTILL_S else ""


def _counted(node: Mapping[str, Any]) -> tuple[str, str]:
    for name, words in _PACKETS.items():
        if name in node["metrics"]:
            return name, words
    if node.get("pace") == "device":
        name = "frames_in" if "frames_in" in node["metrics"] else "frames_out"
        return name, "no frame played" if node["role"] == "sink" else "no frame captured"
    return "", ""
