"""The lines of the control socket."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph._control.control_protocol import (
    Answer,
    ApplyRequest,
    GraphRequest,
    PlanRequest,
    RestartRequest,
    SetRequest,
    StatusRequest,
    StopRequest,
    SubscribeRequest,
    decode_request,
    encode_line,
)
from phasegraph._control.counter_rates import CounterHistory, counters
from phasegraph._core.graph_change import ChangeTime
from phasegraph.control import AsyncRun


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ('{"request": "status"}', StatusRequest()),
        ('{"id": 7, "request": "status"}', StatusRequest(id=7)),
        ('{"request": "subscribe", "interval_s": 1, "id": 1}', SubscribeRequest(id=1, interval_s=1.0)),
        ('{"request": "subscribe", "events": false}', SubscribeRequest(events=False)),
        ('{"request": "stop", "at_once": true}', StopRequest(at_once=True)),
        ('{"request": "restart", "node": "take"}', RestartRequest(node="take")),
        ('{"request": "graph", "id": 3}', GraphRequest(id=3)),
        ('{"request": "plan", "toml": "schema = 1"}', PlanRequest(toml="schema = 1")),
        (
            '{"request": "apply", "set": {"sink.a": null}, "at": {"clock": "house", "time_ns": 5}, "wait": false}',
            ApplyRequest(set={"sink.a": None}, at=ChangeTime(clock="house", time_ns=5), wait=False),
        ),
        ('{"request": "set", "set": {"sink.a.input": "b"}}', SetRequest(set={"sink.a.input": "b"})),
    ],
)
def test_requests(line: str, request_: object) -> None:
    assert decode_request(line.encode()) == request_


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "truncated"),
        (b"status", "malformed"),
        (b"{}", "missing required field `request`"),
        (b'{"request": "shutdown"}', "Invalid value 'shutdown'"),
        (b'{"request": "restart"}', "missing required field `node`"),
        (b'{"request": "status", "node": "a"}', "unknown field `node`"),
        (b'{"request": "apply", "set": {}, "at": {"frame": -1}}', "Expected `int` >= 0"),
        (b'{"request": "apply", "set": {}, "at": "noon"}', "Invalid enum value 'noon'"),
        (b'{"request": "apply", "set": {}, "crossfade_ms": 1e9}', "Expected `float` <= 10000"),
        (b'{"request": "subscribe", "interval_s": 0.01}', "Expected `float` >= 0.2"),
        (b'{"request": "restart", "node": "' + b"x" * 201 + b'"}', "length <= 200"),
        (b"[" * 100_000, "got `array`"),
        (b'{"request": "restart", "node": "\xff"}', "utf-8"),
    ],
)
def test_a_line_that_is_no_request_is_refused_with_a_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match="^no request: ") as raised:
        decode_request(line)
    assert reason.lower() in str(raised.value).lower()


@settings(derandomize=True, database=None, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: json.dumps({"request": text}).encode()))
)
def test_any_bytes_are_a_request_or_an_error(line: bytes) -> None:
    with suppress(ValueError):
        decode_request(line)


def test_rates_are_of_the_last_1_10_and_60_seconds() -> None:
    history = CounterHistory()
    for second in range(100):
        count = second * 100 if second < 95 else 9500 + (second - 95) * 1000
        history.add_sample(float(second), {"stage": {"packets_received": count, "lateness_max_ns": 5, "state": "x"}})
    now = counters({"packets_received": 9500 + 4 * 1000, "lateness_max_ns": 5, "state": "x"})
    rates = history.rates(99.0, "stage", now)
    assert rates["1"] == {"packets_received": 1000.0}
    assert rates["10"]["packets_received"] == pytest.approx((13_500 - 8900) / 10)
    assert set(rates) == {"1", "10", "60"}
    assert history.rates(99.0, "new", {"frames_in": 50})["1"] == {"frames_in": 50.0}
    assert CounterHistory().rates(1.0, "stage", now) == {}


class LateStream:
    """A run that answers the first request only after its client has given it up."""

    def __init__(self) -> None:
        self.asked = 0

    async def send_all(self, data: bytes) -> None:
        self.asked += 1

    async def receive_some(self, most: int) -> bytes:
        if self.asked == 1:
            await trio.sleep_forever()
        return b"".join(encode_line(Answer(id=id, ok=True, graph={"schema": id})) for id in range(1, self.asked + 1))


async def test_the_answer_to_a_request_that_was_given_up_is_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    run = AsyncRun(LateStream())  # type: ignore[arg-type]
    with trio.move_on_after(1):
        await run.graph()
    assert await run.graph() == {"schema": 2}
