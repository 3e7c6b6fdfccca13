"""Cards in child processes that do not behave: whatever they do, the parent goes on within a limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

import msgspec
import pytest

from phasegraph import NodeError
from phasegraph_sinks.soundcard import card_process
from phasegraph_sinks.soundcard.card_memory import PlayRing, memory_bytes
from phasegraph_sinks.soundcard.card_process import CardProcess
from phasegraph_sinks.soundcard.cards import CardRequest

REQUEST = CardRequest("speakers", "output", None, 48_000, 2, None, 0)
PRELUDE = """
import sys, os, json, time, mmap
order = json.loads(sys.stdin.readline())
def answer():
    card = {"index": 0, "name": "fake", "host_api": "fake", "inputs": 0, "outputs": 2, "default_rate": 48000}
    print(json.dumps({"opened": {"card": card, "latency_s": 0.01}}), flush=True)
"""


@pytest.fixture
def child(monkeypatch):
    """Makes the children run a program of the test's."""

    def child(program):
        real = card_process.subprocess.Popen
        command = [sys.executable, "-c", PRELUDE + program]
        monkeypatch.setattr(card_process.subprocess, "Popen", lambda words, **options: real(command, **options))

    return child


def open_process():
    return CardProcess(REQUEST, PlayRing, 4800)


@pytest.mark.slow
def test_parent_and_child_share_the_ring(child):
    child(
        """
from phasegraph_sinks.soundcard.card_memory import PlayRing, memory_bytes
ring = PlayRing(2, 4800, mmap.mmap(order["memory"], memory_bytes(2, 4800)))
answer()
while not ring.end: time.sleep(0.001)
out = bytearray(ring.end * 8)
ring.play(memoryview(out), ring.end)
ring.lost_frames = sum(out)
sys.stdin.readline()
"""
    )
    process = open_process()
    process.ring.write_frames(0, card_process_frames())
    deadline = time.monotonic() + 60
    while not process.ring.lost_frames and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.ring.lost_frames == sum(card_process_frames().tobytes())
    assert process.ring.called == 100
    assert process.opened.card.name == "fake"
    process.close(played_out=False)
    assert not process.is_active()


def card_process_frames():
    from phasegraph.testing import counter_frames

    return counter_frames(1, 100, 2)


def test_a_card_that_refuses_says_why(child):
    child('print(json.dumps({"error": "it is busy", "hint": "wait", "option": "device"}), flush=True)')
    with pytest.raises(NodeError, match="it is busy .wait.") as caught:
        open_process()
    assert caught.value.option == "device"


def test_a_child_that_dies_is_named_with_its_last_words(child):
    child('print("libfoo: assertion failed", file=sys.stderr, flush=True); os.abort()')
    with pytest.raises(NodeError, match=f"ended by signal {int(signal.SIGABRT)}: libfoo: assertion failed"):
        open_process()


def test_a_card_that_never_opens_is_given_up(child, monkeypatch):
    monkeypatch.setattr(card_process, "START_S", 0.3)
    child("time.sleep(1000)")
    with pytest.raises(NodeError, match="has not opened within 0.3 s"):
        open_process()


def test_a_card_that_never_closes_is_ended(child, monkeypatch):
    monkeypatch.setattr(card_process, "CLOSE_S", 0.1)
    child("answer()\nwhile True: time.sleep(1000)")
    process = open_process()
    assert process.is_active()
    process.close(played_out=False)
    assert not process.is_active()
    assert process._child.returncode == -signal.SIGKILL


def test_a_child_that_ends_while_it_plays_is_lost(child):
    child('answer(); print("the server ended", file=sys.stderr, flush=True)')
    process = open_process()
    process._child.wait(60)
    assert not process.is_active()
    assert process.lost_reason == "the server ended"
    process.close(played_out=False)


def test_what_a_library_prints_is_no_answer(child):
    child('print("jack server is not running", file=sys.stderr, flush=True); answer(); sys.stdin.readline()')
    process = open_process()
    assert process.opened.card.name == "fake"
    process.close(played_out=True)


@pytest.mark.parametrize(
    "word", [b"", *(pytest.param(it, marks=pytest.mark.slow) for it in (b"close\n", b"play out\n"))]
)
def test_the_real_child_ends_with_its_parent_while_a_driver_hangs(word, tmp_path):
    # A driver that never answers; the parent goes away, and nothing stays behind.
    (tmp_path / "sounddevice.py").write_text("import time\nprint('opening', flush=True)\ntime.sleep(1000)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    size = memory_bytes(2, 4800)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        order = card_process._Order(REQUEST, file.fileno(), 4800)
        real = subprocess.Popen(
            [sys.executable, "-m", card_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(file.fileno(),),
            env=environment,
        )
    with real:
        real.stdin.write(msgspec.json.encode(order) + b"\n")
        real.stdin.flush()
        assert real.stderr.readline() == b"opening\n"
        real.stdin.write(word)
        real.stdin.close()
        assert real.wait(60) == 1
        assert real.stdout.read() == b""
