"""Whether the sources of a graph fit the sessions that are announced. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from phasegraph import Graph, GraphNode, Role, format_duration

from .announced_sessions import Announcements, DiscoveredSession, DiscoveredStream
from .finding import Finding, Severity

MOST_NAMED = 3
"""Sessions that a finding names."""
_FORMAT = ("encoding", "rate", "channels", "payload_type")


def stream_sources(graph: Graph) -> list[GraphNode]:
    """Sources that receive a stream of the network which their options, or the name of a session, describe."""
    sources = (node for node in graph.of_role(Role.SOURCE) if node.kind.kind == "aes67")
    return [node for node in sources if node.config.session or node.config.group]


def described_sources(graph: Graph) -> list[GraphNode]:
    """Sources whose stream is described by a file."""
    return [node for node in graph.of_role(Role.SOURCE) if node.kind.kind == "aes67" and node.config.sdp]


def announced_reference(node: GraphNode, heard: Announcements) -> str:
    """The sender's clock by the announced session of a source; empty where there is none."""
    config = node.config
    address = f"{config.group}:{config.port}"
    fitting = (
        stream
        for session, stream in heard.streams
        if (session.name == config.session if config.session else stream.address == address)
    )
    return next((stream.ts_refclk for stream in fitting), "")


def check_source(
    node: GraphNode, heard: Announcements, elsewhere: Mapping[str, Announcements] = MappingProxyType({})
) -> Iterator[Finding]:
    """Whether a source gets what is announced on its interface; ``elsewhere`` is what other interfaces heard."""
    config = node.config
    if heard.problem:
        text = f"cannot listen for announced sessions: {heard.problem}"
        yield Finding(node.path, Severity.ATTENTION, text, "check the interface; or describe the stream by options")
    elif config.session:
        yield _check_name(node, config.session, heard)
    else:
        yield from _check_address(node, heard, elsewhere)


def _check_name(node: GraphNode, name: str, heard: Announcements) -> Finding:
    found = next((session for session in heard.sessions if session.name == name), None)
    if found is not None:
        return Finding(node.path, Severity.OK, f"session '{name}' is announced by {found.origin}")
    text = f"no session '{name}' was announced within {heard.listened_s:g} s{_others(heard.sessions)}"
    return Finding(node.path, Severity.ATTENTION, text, "devices repeat after 30 s: listen with --for 35s")


def _check_address(node: GraphNode, heard: Announcements, elsewhere: Mapping[str, Announcements]) -> Iterator[Finding]:
    config = node.config
    address = f"{config.group}:{config.port}"
    streams = heard.streams
    mine = [(session, stream) for session, stream in streams if stream.address == address]
    if not mine:
        there = (
            name for name, each in elsewhere.items() if any(stream.address == address for _, stream in each.streams)
        )
        if (other := next(there, None)) is not None:
            text = f"{address} is announced on {other}, and not on {config.interface or 'the interface of the routes'}"
            yield Finding(node.path, Severity.WRONG, text, f'set interface = "{other}"')
            return
        yield _not_announced(node, address, [stream for _, stream in streams], heard)
        return
    session, stream = mine[0]
    who = f"session '{session.name}' of {session.origin}"
    origins = sorted({session.origin for session, _ in mine})
    if len(origins) > 1 and config.source is None:
        text = f"{' and '.join(origins)} both announce a stream to {address}"
        yield Finding(node.path, Severity.WRONG, text, "give one of them another group, or set source")
    wrong = {name: said for name in _FORMAT if (said := getattr(stream, name)) != _wanted(config, name, said)}
    if wrong:
        words = " and ".join(f"{name.replace('_', ' ')} {said}" for name, said in wrong.items())
        remedy = ", ".join(f"{name.replace('_', '-')} = {_toml(said)}" for name, said in wrong.items())
        yield Finding(node.path, Severity.WRONG, f"{who} announces {address} with {words}", f"set {remedy}")
    elif stream.packet_time_ns is not None and config.link_offset <= stream.packet_time_ns:
        text = f"{who} has packets of {format_duration(stream.packet_time_ns)}, and the link offset is "
        text += format_duration(config.link_offset)
        yield Finding(node.path, Severity.WRONG, text, "set link-offset to more than a packet and its way take")
    else:
        yield Finding(node.path, Severity.OK, f"{who} announces {address}, and fits")


def _not_announced(node: GraphNode, address: str, streams: Sequence[DiscoveredStream], heard: Announcements) -> Finding:
    same = next((stream for stream in streams if stream.group == node.config.group), None)
    if same is not None:
        text = f"{same.address} is announced, and the source has port {node.config.port}"
        return Finding(node.path, Severity.WRONG, text, f"set port = {same.port}")
    if streams:
        text = f"no announced session has {address}{_others(heard.sessions)}"
        return Finding(node.path, Severity.ATTENTION, text, "set group, where one of these is meant")
    return Finding(node.path, Severity.OK, f"no session was announced within {heard.listened_s:g} s")


def _others(sessions: Sequence[DiscoveredSession]) -> str:
    named = [f"'{each.name}' at {each.streams[0].address}" for each in sessions if each.streams]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return f"; announced: {', '.join(named[:MOST_NAMED])}{more}" if named else ""


def _wanted(config: Any, name: str, announced: object) -> object:
    wanted = getattr(config, name)
    return announced if wanted is None else wanted


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
