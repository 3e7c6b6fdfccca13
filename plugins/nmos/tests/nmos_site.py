"""A run as its control socket shows it, and the node that offers it: for tests."""

from __future__ import annotations

import uuid
from typing import Any

from phasegraph import OfferedSession, OfferedStream
from phasegraph.control import NodeStatus, RunStatus
from phasegraph_nmos.model.resources import HostInterface, NodeIdentity
from phasegraph_nmos.model.run_view import RunView, view_of_run

IDENTITY = NodeIdentity(seed=uuid.UUID(int=7), label="studio", hostname="studio", host="10.0.0.2", port=3212)
INTERFACES = [
    HostInterface(name="lo", address="127.0.0.1", mac="00-00-00-00-00-00"),
    HostInterface(name="eth0", address="192.168.200.15", mac="00-1d-c1-00-00-01"),
    HostInterface(name="eth1", address="192.168.210.15", mac="00-1d-c1-00-00-02"),
]
TAI_NS = 1_900_000_000_000_000_000
GRAPH: dict[str, Any] = {
    "schema": 1,
    "clocks": {"house": {"kind": "ptp", "interface": "eth0"}},
    "sources": {
        "stage": {
            "kind": "aes67",
            "interface": "eth0",
            "group": "239.1.1.1",
            "leg-b": {"interface": "eth1", "group": "239.1.2.1"},
            "link-offset": "5ms",
            "label": "Stage box",
        },
        "spare": {"kind": "aes67", "enabled": False, "interface": "eth0"},
        "tone": {"kind": "tone"},
    },
    "sinks": {
        "rec": {"kind": "file", "input": ["stage", {"source": "spare", "channels": [2, 1]}], "path": "a.wav"},
        "out": {"kind": "aes67", "input": "tone", "interface": "eth0", "group": "239.9.9.9", "description": "line-up"},
    },
}


def sdp(
    *, groups: tuple[str, ...] = ("239.5.5.5",), rate: int = 48_000, channels: int = 2, encoding: str = "L24"
) -> str:
    """A session description, which `parse_session` reads."""
    dup = "a=group:DUP 0 1\r\n" if len(groups) > 1 else ""
    media = "".join(
        f"m=audio 5010 RTP/AVP 97\r\nc=IN IP4 {group}/32\r\na=source-filter: incl IN IP4 {group} 192.168.200.10\r\n"
        f"a=rtpmap:97 {encoding}/{rate}/{channels}\r\na=ptime:0.125\r\na=mediaclk:direct=77\r\na=mid:{number}\r\n"
        for number, group in enumerate(groups)
    )
    return f"v=0\r\no=- 1 1 IN IP4 192.168.200.10\r\ns=A\r\nt=0 0\r\n{dup}{media}"


def parse_session(text: str) -> OfferedSession:
    """Reads what `sdp` writes; the reader of `phasegraph-aes67` is not there where this plugin is tested alone."""
    lines = text.split("\r\n")
    streams = []
    for number, line in enumerate(lines):
        if not line.startswith("m="):
            continue
        if not line.startswith("m=audio"):
            continue
        rest = lines[number:]
        encoding, rate, channels = next(x for x in rest if x.startswith("a=rtpmap")).split(" ")[1].split("/")
        group = next(x for x in rest if x.startswith("c=")).split(" ")[2].split("/")[0]
        packet = next((x for x in rest if x.startswith("a=ptime")), "a=ptime:1").partition(":")[2]
        source = next((x.split(" ")[5] for x in rest if x.startswith("a=source-filter")), None)
        media_clock = next(
            (int(x.partition("=direct=")[2] or x.partition("direct=")[2]) for x in rest if "mediaclk" in x), None
        )
        streams.append(
            OfferedStream(
                group=group,
                port=int(line.split()[1]),
                encoding=encoding,
                rate=int(rate),
                channels=int(channels),
                packet_time_ns=round(float(packet) * 1e6),
                payload_type=int(line.split()[3]),
                source_filter=source,
                mediaclk_offset=media_clock,
                dup_of=0 if streams else None,
            )
        )
    if not streams:
        raise ValueError("there is no m=audio line")
    return OfferedSession(name="A", streams=tuple(streams))


def node_status(role: str, kind: str, **metrics: int | float | str) -> NodeStatus:
    return NodeStatus(role=role, kind=kind, pace="clock", state="running", severity=0, text="", metrics=dict(metrics))


def run_status(graph: dict[str, Any], **descriptions: str) -> RunStatus:
    """The status of a run of this graph; ``descriptions`` are session descriptions by node."""
    nodes = {}
    for role in ("clocks", "sources", "sinks"):
        for id, table in graph.get(role, {}).items():
            metrics: dict[str, int | float | str] = {}
            if role == "clocks":
                metrics = {
                    "state": "locked",
                    "grandmaster": "00-1D-C1-FF-FE-12-34-56",
                    "domain": 3,
                    "timescale": "ptp",
                }
            if id in descriptions:
                metrics["session_description"] = descriptions[id]
            nodes[id] = node_status(role.removesuffix("s"), str(table["kind"]), **metrics)
    return RunStatus(
        name="hall",
        graph="hall.toml",
        profile=None,
        pid=1,
        started_at="",
        duration_s=1.0,
        stopping=False,
        trouble=[],
        nodes=nodes,
        edges={},
    )


def hall(graph: dict[str, Any] | None = None, **descriptions: str) -> RunView:
    """The run ``hall``: two receivers, one of two legs, and a sender."""
    used = GRAPH if graph is None else graph
    if graph is None:
        descriptions = {
            "stage": sdp(groups=("239.1.1.1", "239.1.2.1")),
            "out": sdp(groups=("239.9.9.9",)),
            **descriptions,
        }
    return view_of_run("hall", used, run_status(used, **descriptions), parse_session)
