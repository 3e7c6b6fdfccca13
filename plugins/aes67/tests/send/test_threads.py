"""Figures that another thread reads while packets are sent."""

from __future__ import annotations

import sys
import threading

import pytest


@pytest.mark.parametrize("count", [300, pytest.param(1500, marks=pytest.mark.slow)])
def test_every_counter_is_exact_while_it_is_read_at_a_high_rate(rig, make_input, count):
    one = rig(*(make_input() for _ in range(3)))
    one.sender.refuse = {1}
    steps, over, wrong = [0], threading.Event(), []
    histogram = one.group._pacing_error

    def read():
        while not over.is_set():
            least = steps[0]
            sent = [stream.packets_sent for stream in one.streams]
            errors = [sum(stream.send_errors) for stream in one.streams]
            paced, figures = histogram.distribution().count, one.group.metrics()
            most = steps[0] + 1
            counted = [sent[0], errors[1], sent[2], paced]
            if not all(least <= count <= most for count in counted) or [sent[1], errors[0], errors[2]] != [0, 0, 0]:
                wrong.append((least, counted, most))
            if figures["sender_resyncs"] != 0 or figures.get("pacing_error_max_ns", 0) != 0:
                wrong.append(figures)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(count):
            one.run(1)
            steps[0] += 1
    finally:
        over.set()
        reader.join()
        sys.setswitchinterval(interval)
    assert wrong == []
    assert [stream.packets_sent for stream in one.streams] == [count, 0, count]
    assert one.streams[1].send_errors == (count,)
    assert histogram.distribution().count == count
