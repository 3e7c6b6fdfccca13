"""From the status of a run to what its monitors observe: our figures and words in the terms of BCP-008."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from .domain_health import HEALTHY, NEUTRAL, Health, Observation
from .status_monitor import MonitorInput, PacketCounter

Metrics = Mapping[str, int | float | str]
"""Metrics of a node, as in the report."""
IN_TROUBLE = 1
"""Severity of a node from which it is in trouble; 2 is restarting, 3 failed."""


class LegLink(msgspec.Struct, frozen=True):
    """The network interface of one leg."""

    interface: str
    up: bool


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's status has of one source or sink, and of its clock."""

    severity: int = 0
    text: str = ""
    """The sentence of the status: what it does and how it is."""
    metrics: Metrics = {}
    rates: Mapping[str, Mapping[str, float]] = {}
    """Counters per second, by span in seconds (``1``, ``10``, ``60``) and name of the metric."""
    legs: tuple[LegLink, ...] = ()
    clock_kind: str | None = None
    """Kind of the clock that paces it; None if none does."""
    clock: Metrics = {}
    """Metrics of that clock."""
    feeding: tuple[Observation, ...] = ()
    """Of a sink: the stream statuses of the receivers that feed it."""


def observe_link(legs: Sequence[LegLink]) -> Observation:
    """AllUp, SomeDown or AllDown, and which interfaces are down. Without a known interface all is up."""
    down = list(dict.fromkeys(leg.interface for leg in legs if not leg.up))
    if not down:
        return HEALTHY
    words = f"{', '.join(down)} {'is' if len(down) == 1 else 'are'} down"
    return Observation(Health.UNHEALTHY if all(not leg.up for leg in legs) else Health.PARTIALLY_HEALTHY, words)


def observe_clock(kind: str | None, clock: Metrics) -> tuple[Observation, str | None]:
    """The external synchronization and its source. A computer's own clock is no external source."""
    if kind is None or kind == "system":
        return NEUTRAL, "internal"
    grandmaster = str(clock["grandmaster"]) if clock.get("grandmaster") else None
    state = str(clock.get("state", "unlocked"))
    if state == "locked":
        return HEALTHY, grandmaster or "internal"
    if state == "holdover":
        return Observation(Health.PARTIALLY_HEALTHY, "the clock is in holdover: its reference is silent"), grandmaster
    return Observation(Health.UNHEALTHY, f"the clock is {state}: {_reason(clock, 'it follows no reference')}"), (
        grandmaster if state == "acquiring" else None
    )


def observe_connection(figures: NodeFigures) -> Observation:
    """Whether a receiver gets all packets, gets them with the help of the other leg, or misses some."""
    if figures.severity > IN_TROUBLE:
        return Observation(Health.UNHEALTHY, figures.text or "the receiver is not running")
    if not _recent(figures, "packets_received"):
        return Observation(Health.UNHEALTHY, _reason(figures.metrics, "no packets are received"))
    missed = [
        f"{_recent(figures, name):.3g} packets/s {word}"
        for name, word in (("packets_lost", "lost"), ("packets_late", "late"))
        if _recent(figures, name)
    ]
    if missed:
        return Observation(Health.UNHEALTHY, ", ".join(missed))
    helped = [leg for leg in ("leg_a", "leg_b") if _leg_misses(figures, leg)]
    if helped:
        legs = " and ".join(leg.replace("_", " ").replace("leg a", "leg A").replace("leg b", "leg B") for leg in helped)
        return Observation(Health.PARTIALLY_HEALTHY, f"{legs} misses packets, which the other leg brings")
    return HEALTHY


def observe_stream(figures: NodeFigures) -> Observation:
    """Whether a receiver can decode what it receives, in the words of its ``trouble``."""
    if figures.severity > IN_TROUBLE:
        return Observation(Health.UNHEALTHY, figures.text or "the receiver is not running")
    if not _recent(figures, "packets_received"):
        return Observation(Health.UNHEALTHY, _reason(figures.metrics, "no packets are received"))
    if _recent(figures, "packets_malformed"):
        return Observation(Health.UNHEALTHY, _reason(figures.metrics, "the packets have another format"))
    if _recent(figures, "packets_early"):
        return Observation(Health.UNHEALTHY, _reason(figures.metrics, "timestamps do not fit the clock"))
    if "trouble" in figures.metrics:
        return Observation(Health.PARTIALLY_HEALTHY, str(figures.metrics["trouble"]))
    return HEALTHY


def observe_transmission(figures: NodeFigures) -> Observation:
    """Whether a sender's packets leave: on both legs, on one, or not."""
    if figures.severity > IN_TROUBLE:
        return Observation(Health.UNHEALTHY, figures.text or "the sender is not running")
    if _recent(figures, "send_errors") or not _recent(figures, "packets_sent"):
        return Observation(Health.UNHEALTHY, _reason(figures.metrics, "no packets leave"))
    refused = [leg for leg in ("A", "B") if _recent(figures, f"leg_{leg.lower()}_send_errors")]
    if refused:
        return Observation(Health.PARTIALLY_HEALTHY, f"the system refuses packets of leg {' and '.join(refused)}")
    return HEALTHY


def observe_essence(figures: NodeFigures) -> Observation:
    """Whether a sender has samples to send: gaps in its input, and the health of the receivers that feed it."""
    if figures.severity > IN_TROUBLE:
        return Observation(Health.UNHEALTHY, figures.text or "the sender is not running")
    worst = max(figures.feeding, key=lambda seen: seen.health, default=HEALTHY)
    if worst.health is Health.UNHEALTHY:
        return worst
    if missing := _recent(figures, "underrun_frames"):
        return Observation(Health.PARTIALLY_HEALTHY, f"{missing:.3g} frames/s are missing and replaced by silence")
    return worst if worst.health > Health.HEALTHY else HEALTHY


def observe_receiver(figures: NodeFigures, active: bool, activation: int) -> MonitorInput:
    """All domains and counters of a receiver."""
    counters = {
        "lost": _counters(figures.metrics, "packets_lost", "sequence numbers that were never received"),
        "late": _counters(figures.metrics, "packets_late", "received after they should have sounded"),
    }
    return _observe_node(figures, active, activation, observe_connection, observe_stream, counters)


def observe_sender(figures: NodeFigures, active: bool, activation: int) -> MonitorInput:
    """All domains and counters of a sender."""
    errors = (
        *_counters(figures.metrics, "send_errors", "packets that the system refused"),
        *_counters(figures.metrics, "sender_resyncs", "skips to the present after more than a second of delay"),
    )
    return _observe_node(figures, active, activation, observe_transmission, observe_essence, {"errors": errors})


def _observe_node(
    figures: NodeFigures,
    active: bool,
    activation: int,
    connection: Callable[[NodeFigures], Observation],
    content: Callable[[NodeFigures], Observation],
    counters: Mapping[str, tuple[PacketCounter, ...]],
) -> MonitorInput:
    synchronization, source_id = observe_clock(figures.clock_kind, figures.clock)
    return MonitorInput(
        active=active,
        activation=activation,
        link=observe_link(figures.legs),
        connection=connection(figures) if active else NEUTRAL,
        synchronization=synchronization,
        source_id=source_id,
        content=content(figures) if active else NEUTRAL,
        counters=counters,
    )


def _counters(metrics: Metrics, name: str, description: str) -> tuple[PacketCounter, ...]:
    names = (name, f"leg_a_{name}", f"leg_b_{name}")
    present = [one for one in names if one == name or one in metrics]
    return tuple(PacketCounter(one, max(0, int(metrics.get(one, 0))), description) for one in present)


def _recent(figures: NodeFigures, name: str) -> float:
    return figures.rates.get("1", {}).get(name, 0.0)


def _leg_misses(figures: NodeFigures, leg: str) -> bool:
    if f"{leg}_packets_received" not in figures.metrics:
        return False
    lost = _recent(figures, f"{leg}_packets_lost") or _recent(figures, f"{leg}_packets_late")
    return bool(lost) or not _recent(figures, f"{leg}_packets_received")


def _reason(metrics: Metrics, otherwise: str) -> str:
    return str(metrics.get("trouble", otherwise))
