"""A port and a group that other programs of the same machine use as well."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port, listener
from tests.support.graphs import END_AFTER, LINK_OFFSET, Loop, table, write_graph
from tests.support.kernel import LIMIT_S, Outcome, exact, kernel_running, outcome, run_kernel
from tests.support.process import udp_listener


def test_another_program_may_listen_too(tmp_path: Path) -> None:
    """It has the port and the group before we come; both hear every packet."""
    sent = material.make(tmp_path / "source.wav", 4_800)
    loop = Loop(source=tmp_path / "source.wav")
    graph = write_graph(tmp_path / "graph.toml", loop.toml)
    with listener(loop.port, group=loop.group) as other:
        result = exact(
            lambda: run_kernel(graph, tmp_path),
            lambda _: material.difference(sent, material.read(tmp_path / "copy.wav")),
        )
        packet = other.recv(2048)
    assert result.code == 0
    assert struct.unpack("!BB", packet[:2]) == (0x80, 98)


def test_two_kernels_receive_one_stream(tmp_path: Path) -> None:
    """One sends and records, another one only records: both have all of it."""
    sent = material.make(tmp_path / "source.wav")
    loop = Loop(source=tmp_path / "source.wav")
    graph = write_graph(tmp_path / "graph.toml", loop.toml)
    stream = {"group": loop.group, "port": loop.port, "interface": LOOPBACK}
    options = {"kind": "aes67", **stream, "link-offset": LINK_OFFSET, "end-after": END_AFTER}
    beside = write_graph(
        tmp_path / "beside.toml",
        table("sources", "stream", **options),
        table("sinks", "copy", kind="file", overwrite=True, input="stream", path="beside.wav"),
    )

    def run() -> Outcome:
        with kernel_running(["run", beside, "--report", tmp_path / "beside.json"], tmp_path) as process:
            process.wait_until(udp_listener(loop.port, loop.group), "listening")
            first = run_kernel(graph, tmp_path)
            second = outcome(process.wait(LIMIT_S), process, tmp_path / "beside.json")
        assert first.code == second.code == 0
        first.report["nodes"] |= second.report["nodes"]
        return first

    def compare(_: Outcome) -> str:
        differ = [material.difference(sent, material.read(tmp_path / f"{name}.wav")) for name in ("copy", "beside")]
        return "; ".join(filter(None, differ))

    exact(run, compare)


def test_a_port_that_another_program_keeps_to_itself(tmp_path: Path) -> None:
    """The node fails with a sentence that names the port; the run exits with 1."""
    port = free_port()
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "stream", kind="aes67", group=free_group(), port=port, interface=LOOPBACK),
        table("sinks", "copy", kind="file", overwrite=True, input="stream", path="copy.wav"),
    )
    with listener(port, shared=False):
        result = run_kernel(graph, tmp_path)
    assert result.code == 1
    assert result.report["ended"] == "failed"
    assert result.report["nodes"]["stream"]["state"] == "failed"
    held = f"cannot listen on port {port}: UDP port {port} is held by python"
    assert f"source stream (aes67): failed: {held}" in result.stdout
    assert f"(process {os.getpid()}), which does not share it (stop that program)" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_unicast_address_that_another_run_receives(tmp_path: Path) -> None:
    """Only one of two sockets would get the packets: the second run is refused and names the first, which goes on."""
    port = free_port()
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "stream", kind="aes67", group=LOOPBACK, port=port),
        table("sinks", "nowhere", kind="null", input="stream"),
    )
    with kernel_running(["run", graph, "--no-control"], tmp_path) as first:
        first.wait_until(udp_listener(port), "listening")
        second = run_kernel(graph, tmp_path)
        assert first.process.poll() is None
    assert second.code == 1
    failure = second.report["nodes"]["stream"]["failure"]
    assert failure.startswith(f"{LOOPBACK}:{port} is received by another program: UDP port {port} is held by ")
    assert f"(process {first.process.pid})" in failure
    assert failure.endswith("(stop the program that holds it, or send to another port)")
