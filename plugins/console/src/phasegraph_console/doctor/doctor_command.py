"""``kernel doctor``: what on this computer and its network stands in the way, with remedies."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from phasegraph import Graph, GraphNode
    from phasegraph.net import SystemNetwork

    from .announced_sessions import Announcements
    from .finding import Finding
    from .graph_checks import Follower
    from .host_facts import HostFacts
    from .ptp_traffic import PtpTraffic

MARKS = {"ok": ("ok", "green"), "attention": ("ATTENTION", "yellow"), "wrong": ("WRONG", "red")}
WIDTH = 80
NAME_WIDTH = 16
EXAMPLES = """\
\b
Examples:
  kernel doctor
  kernel doctor graph.toml
  kernel doctor graph.toml --format json
"""


def _listening_time(ctx: click.Context, param: click.Parameter, value: str) -> float:
    # Seconds, of a duration with its unit ("35s") or of a plain number ("35").
    from phasegraph import parse_duration

    try:
        seconds = float(value) if value.replace(".", "", 1).isdecimal() else parse_duration(value) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not 0 <= seconds <= 60:
        raise click.BadParameter(f"expected a duration from 0s to 60s, got {value}")
    return seconds


@click.command("doctor", short_help="Find what stands in the way of a run, with remedies.", epilog=EXAMPLES)
@click.argument("graph", required=False, type=click.Path(path_type=Path))
@click.option("--profile", help="Profile of the graph.")
@click.option("--set", "overrides", multiple=True, metavar="ROLE.ID.OPTION=VALUE", help="Change an option.")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=_listening_time,
    default="3s",
    show_default=True,
    help="How long to listen to PTP and announced sessions, up to 60s; 0 does not listen.",
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def doctor_command(
    ctx: click.Context, graph: Path | None, profile: str | None, overrides: Sequence[str], seconds: float, format: str
) -> None:
    """Check interfaces, queues, ports, privileges, buffers, timing, PTP and sound of this computer.

    With a GRAPH, also whether its interfaces, routes and ports are there, its PTP clocks find a grandmaster (that of
    its descriptions), and its streams fit the sessions that are announced (devices repeat after 30 s: --for 35s).
    Nothing is changed. To listen, groups are joined and mDNS is asked. Exits with 1 if anything is wrong.
    """
    import trio

    from .finding import Severity

    loaded = _load(graph, profile, overrides)
    if format == "text" and seconds:
        click.echo(f"Listening for {seconds:g} s ...", err=True)
    findings = trio.run(_examine, loaded, seconds)
    if format == "json":
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(findings), indent=2))
    else:
        for finding in findings:
            click.echo(render(finding))
        click.echo(_conclusion(findings))
    ctx.exit(1 if any(finding.severity is Severity.WRONG for finding in findings) else 0)


def render(finding: Finding) -> str:
    """A finding as lines of at most 80 columns."""
    mark, colour = MARKS[finding.severity]
    head = f"{mark:<10}{finding.check:<{NAME_WIDTH}} "
    indent = " " * (10 + NAME_WIDTH + 1)
    lines = textwrap.wrap(finding.text, WIDTH - len(indent)) or [""]
    lines += textwrap.wrap(f"-> {finding.remedy}", WIDTH - len(indent)) if finding.remedy else []
    return click.style(head[:10], fg=colour) + head[10:] + f"\n{indent}".join(lines)


def _conclusion(findings: Sequence[Finding]) -> str:
    wrong = sum(finding.severity == "wrong" for finding in findings)
    attention = sum(finding.severity == "attention" for finding in findings)
    if not wrong and not attention:
        return "\nNothing stands in the way."
    return f"\n{wrong} wrong, {attention} need attention."


def _load(graph: Path | None, profile: str | None, overrides: Sequence[str]) -> Graph | None:
    if graph is None:
        return None
    from phasegraph import read_graph

    return read_graph(graph, profile=profile, overrides=overrides)


async def _examine(graph: Graph | None, seconds: float) -> list[Finding]:
    from phasegraph import SystemLocalClock
    from phasegraph.net import SystemNetwork

    from .graph_checks import check_graph, destinations
    from .host_checks import check_host
    from .host_reader import read_host_facts, read_routes

    network = SystemNetwork(SystemLocalClock())
    facts = read_host_facts(network)
    findings = [*check_host(facts)]
    if graph is not None:
        findings += check_graph(graph, facts, read_routes(destinations(graph)))
    if seconds:
        findings += await _listen(graph, facts, network, seconds)
    return findings


async def _listen(graph: Graph | None, facts: HostFacts, network: SystemNetwork, seconds: float) -> list[Finding]:
    import trio

    from .announced_sessions import listen_for_sessions, read_description
    from .graph_checks import followers
    from .ptp_listener import GENERAL_PORT, listen_to_ptp
    from .session_checks import announced_reference, described_sources, stream_sources

    clocks = [] if graph is None else followers(graph)
    sources = [] if graph is None else stream_sources(graph)
    described = [] if graph is None or not clocks else described_sources(graph)
    links = [link.name for link in facts.links if link.address and not link.loopback]
    places = [clock.place for clock in clocks] or [(name, GENERAL_PORT) for name in links]
    traffic: dict[tuple[str, int], PtpTraffic] = {}
    announced: dict[str, Announcements] = {}
    references: dict[str, str] = {}
    """By path of a source, the clock of its sender as the description has it."""

    async def listen(place: tuple[str, int]) -> None:
        traffic[place] = await listen_to_ptp(network, *place, seconds)

    async def listen_to_announcements(interface: str) -> None:
        announced[interface] = await listen_for_sessions(interface, seconds)

    async def read_reference(source: GraphNode) -> None:
        for stream in (await read_description(source.config.sdp))[:1]:
            references[source.path] = stream.ts_refclk

    async with trio.open_nursery() as nursery:
        for place in dict.fromkeys(places):
            nursery.start_soon(listen, place)
        for source in described:
            nursery.start_soon(read_reference, source)
        for interface in dict.fromkeys([*(source.config.interface for source in sources), *links] if sources else []):
            nursery.start_soon(listen_to_announcements, interface)
    for source in sources:
        references[source.path] = announced_reference(source, announced[source.config.interface])
    return [
        *_judge_ptp(clocks, {place: traffic[place] for place in places}),
        *_judge_sessions(sources, announced, links, facts),
        *_judge_references([*sources, *described], references, clocks, traffic),
    ]


def _judge_ptp(clocks: Sequence[Follower], traffic: Mapping[tuple[str, int], PtpTraffic]) -> Iterator[Finding]:
    from .ptp_checks import check_follower, check_traffic

    for clock in clocks:
        yield check_follower(clock.path, clock.domain, traffic[clock.place])
    for place in [] if clocks else traffic:
        yield from check_traffic(traffic[place])


def _judge_sessions(
    sources: Sequence[GraphNode], announced: Mapping[str, Announcements], links: Sequence[str], facts: HostFacts
) -> Iterator[Finding]:
    from .graph_checks import same_link
    from .session_checks import check_source

    for source in sources:
        own = same_link(source.config.interface, facts)
        elsewhere = {name: each for name, each in announced.items() if name in links and name not in own}
        yield from check_source(source, announced[source.config.interface], elsewhere)


def _judge_references(
    sources: Sequence[GraphNode],
    references: Mapping[str, str],
    clocks: Sequence[Follower],
    traffic: Mapping[tuple[str, int], PtpTraffic],
) -> Iterator[Finding]:
    from .ptp_checks import check_described

    followed = {clock.path: clock for clock in clocks}
    for source in sources:
        clock = followed.get(f"clocks.{source.domain}")
        if clock is not None and source.path in references:
            yield from check_described(source.path, references[source.path], clock.domain, traffic[clock.place])
