"""A stream that is found by its session's name, over the loopback interface."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.graphs import table, write_graph
from tests.support.kernel import LIMIT_S, kernel_running
from tests.support.peers import receiving, same_audio
from tests.support.process import udp_listener

SAP = "239.255.255.255"


def test_a_receiver_that_knows_only_the_name(tmp_path: Path) -> None:
    """It waits; the sender comes and announces itself; when that ends, the recording is a piece of what was sent."""
    sent = material.make(tmp_path / "source.wav", seed=7)

    def attempt() -> str:
        name = f"Test {secrets.token_hex(4)}"
        stream = {"group": free_group(), "port": free_port(), "interface": LOOPBACK, "name": name, "announce": True}
        graph = write_graph(
            tmp_path / "send.toml",
            table("sources", "file", kind="file", path="source.wav", loop=True),
            table("sinks", "network", kind="aes67", input="file", **stream),
        )
        with receiving(tmp_path, {"session": name}, at=(SAP, 9875)) as finish:
            with kernel_running(["run", graph], tmp_path) as sender:
                sender.wait_until(udp_listener(stream["port"], stream["group"]), "the receiver has found it")
                recording = tmp_path / "copy.wav"
                sender.wait_until(lambda: recording.exists() and recording.stat().st_size > 100_000, "recorded")
                sender.signal(signal.SIGINT)
                assert sender.wait(LIMIT_S) == 0, sender.told()
            result, got = finish()
        assert result.metrics("stream")["session"] == f"waiting for an announcement of {name!r}", "it was taken back"
        names = [event["name"] for event in result.report["events"] if event["node"] == "stream"]
        assert names == ["waiting_for_session", "session_found", "session_gone", "stream_ended"]
        differs = material.excerpt(sent, got)
        return differs and f"{differs}; the report says: {result.hiccups or 'nothing was late or lost'}"

    same_audio(attempt)
