"""The site: the runs of many consoles on one page. Which rooms agree, and which stream is worst."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from phasegraph import format_duration
from phasegraph.control import NodeStatus

from .followed_run import RunOverview
from .run_headline import spare_ns

MOST_STREAMS = 500


class ConsoleReading(Struct, frozen=True, kw_only=True):
    """One console, as last read."""

    name: str
    url: str
    """Empty for this console itself."""
    problem: str
    """Why it is not read; empty where it is."""
    runs: list[RunOverview]


class SiteRun(Struct, frozen=True, kw_only=True):
    """A run of the site."""

    name: str
    state: str
    headline: str


class SiteConsole(Struct, frozen=True, kw_only=True):
    """A console of the site."""

    name: str
    url: str
    problem: str
    runs: list[SiteRun]


class SiteClock(Struct, frozen=True, kw_only=True):
    """A clock of the site."""

    console: str
    run: str
    clock: str
    state: str
    bound_ns: float | None


class SiteGrandmaster(Struct, frozen=True, kw_only=True):
    """The clocks that follow one grandmaster: these rooms agree, to within their bounds, if all are locked."""

    grandmaster: str
    clocks: list[SiteClock]


class SiteStream(Struct, frozen=True, kw_only=True):
    """A received stream of the site."""

    console: str
    run: str
    node: str
    severity: int
    spare_ns: int | None
    """Link offset minus the greatest lateness."""
    text: str


class SiteOverview(Struct, frozen=True, kw_only=True):
    """All consoles together."""

    headline: str
    consoles: list[SiteConsole]
    grandmasters: list[SiteGrandmaster]
    """The one that most clocks follow first."""
    streams: list[SiteStream]
    """The worst first."""


def site_overview(consoles: Sequence[ConsoleReading]) -> SiteOverview:
    """Put the site together."""
    grandmasters, streams = _grandmasters(consoles), _streams(consoles)
    return SiteOverview(
        headline=_headline(consoles, grandmasters, streams),
        consoles=[
            SiteConsole(
                name=console.name,
                url=console.url,
                problem=console.problem,
                runs=[SiteRun(name=run.name, state=run.state, headline=run.headline) for run in console.runs],
            )
            for console in consoles
        ],
        grandmasters=grandmasters,
        streams=streams[:MOST_STREAMS],
    )


def _grandmasters(consoles: Sequence[ConsoleReading]) -> list[SiteGrandmaster]:
    followed: dict[str, list[SiteClock]] = {}
    for console, run, id, node in _nodes(consoles):
        grandmaster = node.metrics.get("grandmaster")
        if node.role == "clock" and isinstance(grandmaster, str) and grandmaster not in ("", "system"):
            bound = node.metrics.get("bound_ns")
            clock = SiteClock(
                console=console.name,
                run=run.name,
                clock=id,
                state=str(node.metrics.get("state", "")),
                bound_ns=bound if isinstance(bound, int | float) else None,
            )
            followed.setdefault(grandmaster, []).append(clock)
    ordered = sorted(followed, key=lambda name: (-len(followed[name]), name))
    return [SiteGrandmaster(grandmaster=name, clocks=followed[name]) for name in ordered]


def _streams(consoles: Sequence[ConsoleReading]) -> list[SiteStream]:
    streams = [
        SiteStream(
            console=console.name, run=run.name, node=id, severity=node.severity, spare_ns=spare_ns(node), text=node.text
        )
        for console, run, id, node in _nodes(consoles)
        if "packets_received" in node.metrics
    ]
    unknown = 1 << 62
    return sorted(streams, key=lambda each: (-each.severity, unknown if each.spare_ns is None else each.spare_ns))


def _nodes(consoles: Sequence[ConsoleReading]) -> list[tuple[ConsoleReading, RunOverview, str, NodeStatus]]:
    return [
        (console, run, id, node)
        for console in consoles
        for run in console.runs
        if run.state == "running" and run.status is not None
        for id, node in run.status.nodes.items()
    ]


def _headline(
    consoles: Sequence[ConsoleReading], grandmasters: Sequence[SiteGrandmaster], streams: Sequence[SiteStream]
) -> str:
    parts = []
    if unread := [console.name for console in consoles if console.problem]:
        parts.append(f"Not read: {', '.join(unread)}.")
    if len(grandmasters) > 1:
        most, *others = grandmasters
        rooms = ", ".join(
            f"{clock.console}/{clock.run} follows {each.grandmaster}" for each in others for clock in each.clocks
        )
        parts.append(f"Rooms do not agree: {rooms}, the others {most.grandmaster}.")
    elif grandmasters:
        unlocked = [f"{each.console}/{each.run}" for each in grandmasters[0].clocks if each.state != "locked"]
        parts.append(
            f"Not locked: {', '.join(unlocked)}." if unlocked else f"All rooms follow {grandmasters[0].grandmaster}."
        )
    if streams:
        worst = streams[0]
        where = f"{worst.console}/{worst.run}: {worst.node}"
        if worst.severity:
            parts.append(f"The worst stream is {where}: {worst.text}.")
        elif worst.spare_ns is not None and worst.spare_ns > 0:
            spare = format_duration(worst.spare_ns)
            parts.append(f"All streams are healthy; the tightest is {where}, with {spare} to spare.")
    return " ".join(parts) or "No run on any console."
