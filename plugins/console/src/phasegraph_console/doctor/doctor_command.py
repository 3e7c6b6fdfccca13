"""``kernel doctor``: what on this computer and its network stands in the way, with remedies."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from phasegraph import Graph, GraphNode

    from .finding import Finding

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
    import trio

    from phasegraph import SystemLocalClock
    from phasegraph.net import SystemNetwork

    from .announced_sessions import Announcements, listen_for_sessions, read_description
    from .graph_checks import check_graph, destinations, followers, same_link
    from .host_checks import check_host
    from .host_reader import read_host_facts, read_routes
    from .ptp_checks import check_described, check_follower, check_traffic
    from .ptp_listener import GENERAL_PORT, listen_to_ptp
    from .ptp_traffic import PtpTraffic
    from .session_checks import announced_reference, check_source, described_sources, stream_sources

    network = SystemNetwork(SystemLocalClock())
    facts = read_host_facts(network)
    findings = [*check_host(facts)]
    if graph is not None:
        findings += check_graph(graph, facts, read_routes(destinations(graph)))
    clocks = [] if graph is None else followers(graph)
    links = [link.name for link in facts.links if link.address and not link.loopback]
    places = [clock.place for clock in clocks] or [(name, GENERAL_PORT) for name in links]
    sources = [] if graph is None else stream_sources(graph)
    traffic: dict[tuple[str, int], PtpTraffic] = {}
    announced: dict[str, Announcements] = {}

    async def listen(place: tuple[str, int]) -> None:
        traffic[place] = await listen_to_ptp(network, *place, seconds)

    references: dict[str, tuple[GraphNode, str]] = {}
    """Sources that are described, and the clock of their sender as the description has it."""

    async def read_reference(source: GraphNode) -> None:
        for stream in (await read_description(source.config.sdp))[:1]:
            references[source.path] = source, stream.ts_refclk

    async def listen_to_announcements(interface: str) -> None:
        announced[interface] = await listen_for_sessions(interface, seconds)

    if seconds:
        async with trio.open_nursery() as nursery:
            for place in dict.fromkeys(places):
                nursery.start_soon(listen, place)
            for source in described_sources(graph) if graph is not None and clocks else []:
                nursery.start_soon(read_reference, source)
            for interface in dict.fromkeys(
                [*(source.config.interface for source in sources), *links] if sources else []
            ):
                nursery.start_soon(listen_to_announcements, interface)
        findings += [check_follower(clock.path, clock.domain, traffic[clock.place]) for clock in clocks]
        for place in [] if clocks else places:
            findings += check_traffic(traffic[place])
        for source in sources:
            own = same_link(source.config.interface, facts)
            elsewhere = {name: each for name, each in announced.items() if name in links and name not in own}
            findings += check_source(source, announced[source.config.interface], elsewhere)
            references[source.path] = source, announced_reference(source, announced[source.config.interface])
        followed = {clock.path: clock for clock in clocks}
        for source, reference in references.values():
            if (clock := followed.get(f"clocks.{source.domain}")) is not None:
                findings += check_described(source.path, reference, clock.domain, traffic[clock.place])
    return findings
