"""The peer delay mechanism (11.4): asks the neighbour for the link's delay, and answers when it asks."""

from __future__ import annotations

from collections import deque
from functools import partial

import msgspec

from phasegraph import StampKind
from phasegraph.ieee1588 import (
    UNITS_PER_NS,
    Flag,
    MessageType,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    correction_refusal,
)

from ..measurements import PeerDelaySample
from .intervals import period_ns
from .mean_path_delay import MeanPathDelay
from .port import Port
from .port_actions import Destination

_WAITING = 4
_REMEMBERED = 16
_RATE_WINDOW = 8
_MOST_RATE_ERROR = 1e-3
_LEAST_DELAY_NS = -1_000_000
_MOST_DELAY_NS = 1_000_000_000
_STAMPS = (StampKind.HARDWARE, StampKind.KERNEL, StampKind.USER)


class _Exchange(msgspec.Struct):
    departed_ns: int | None = None
    response: PDelayResp | None = None
    follow_up: PDelayRespFollowUp | None = None
    arrived_ns: int = 0
    departed_stamp: StampKind = StampKind.USER
    arrived_stamp: StampKind = StampKind.USER
    done: bool = False


class NeighborRate:
    """neighborRateRatio: the neighbour's clock against ours, from the ends of eight exchanges."""

    def __init__(self) -> None:
        self.ratio = 1.0
        self._neighbor: PortIdentity | None = None
        self._ends: deque[tuple[int, int]] = deque(maxlen=_RATE_WINDOW)

    def add_exchange(self, neighbor: PortIdentity, theirs_ns: int, ours_ns: int) -> None:
        """The departure of an answer by its sender's clock, and its arrival by ours."""
        if neighbor != self._neighbor:
            self._neighbor, self.ratio = neighbor, 1.0
            self._ends.clear()
        self._ends.append((theirs_ns, ours_ns))
        (their_first, our_first), (their_last, our_last) = self._ends[0], self._ends[-1]
        if len(self._ends) < _RATE_WINDOW or our_last <= our_first:
            return
        ratio = (their_last - their_first) / (our_last - our_first)
        if abs(ratio - 1.0) > _MOST_RATE_ERROR:
            self._ends.clear()
            ratio = 1.0
        self.ratio = ratio


class PeerDelay:
    """Both ends of the mechanism on one port. Times in answers are local: only their differences count."""

    def __init__(self, port: Port, now_ns: int) -> None:
        self.delay = MeanPathDelay()
        self.rate = NeighborRate()
        self._port = port
        self.deadline_ns = now_ns + port.random.randrange(self._period_ns)
        """When `tick` is wanted."""
        self._exchanges: dict[int, _Exchange] = {}
        self._answered: deque[tuple[PortIdentity, int]] = deque(maxlen=_REMEMBERED)

    def tick(self, now_ns: int) -> None:
        """Ask, if it is time."""
        if now_ns < self.deadline_ns:
            return
        message = PDelayReq(**self._port.header(MessageType.PDELAY_REQ, Destination.PEER))
        self._exchanges[message.sequence] = _Exchange()
        if len(self._exchanges) > _WAITING:
            given_up = self._exchanges.pop(next(iter(self._exchanges)))
            if not given_up.done:
                self._port.counters["missed_pdelay_resp"] += 1
        self._port.send_event(message, Destination.PEER, partial(self._departed, message.sequence))
        # Neighbours that began together must not keep on asking at the same instant.
        self.deadline_ns = now_ns + self._period_ns * self._port.random.randrange(90, 111) // 100

    @property
    def _period_ns(self) -> int:
        return period_ns(self._port.settings.log_min_pdelay_req_interval)

    def request_received(self, message: PDelayReq, source: str, unicast: bool, local_ns: int) -> None:
        """Somebody asks us: answer, in two steps."""
        if (message.source, message.sequence) in self._answered:
            # With two answers, the asker might pair the first half of one with the second of the other.
            self._port.drop("duplicate")
            return
        if not self._port.answers.allows(source, local_ns):
            self._port.drop("rate_limited")
            return
        self._answered.append((message.source, message.sequence))
        destination = source if unicast else Destination.PEER
        header = self._port.header(MessageType.PDELAY_RESP, destination, sequence=message.sequence, flags=Flag.TWO_STEP)
        response = PDelayResp(**header, request_receipt_ns=local_ns, requesting=message.source)

        def departed(departed_ns: int, stamp: StampKind) -> None:
            header = self._port.header(
                MessageType.PDELAY_RESP_FOLLOW_UP,
                destination,
                sequence=message.sequence,
                correction=message.correction,
            )
            follow_up = PDelayRespFollowUp(**header, response_origin_ns=departed_ns, requesting=message.source)
            self._port.send_general(follow_up, destination)

        self._port.send_event(response, destination, departed)

    def response_received(self, message: PDelayResp, local_ns: int, stamp: StampKind) -> None:
        """An answer to us came."""
        exchange = self._exchanges.get(message.sequence)
        if exchange is None:
            self._port.drop("pdelay_resp_unmatched")
        elif exchange.response is None:
            exchange.response, exchange.arrived_ns, exchange.arrived_stamp = message, local_ns, stamp
            self._complete(exchange)
        elif exchange.response.source == message.source:
            self._port.drop("duplicate")
        else:
            self._port.drop("several_peers")
            self._port.emit_event_rarely(
                local_ns,
                "several_peer_responders",
                first=str(exchange.response.source),
                second=str(message.source),
                reason="the peer delay mechanism needs every device in between to take part in it; use e2e",
            )

    def response_follow_up_received(self, message: PDelayRespFollowUp) -> None:
        """The second half of an answer to us came."""
        exchange = self._exchanges.get(message.sequence)
        if exchange is None:
            self._port.drop("pdelay_resp_unmatched")
        elif exchange.follow_up is not None:
            self._port.drop("duplicate")
        elif exchange.response is not None and exchange.response.source != message.source:
            self._port.drop("several_peers")
        else:
            exchange.follow_up = message
            self._complete(exchange)

    def _departed(self, sequence: int, local_ns: int, stamp: StampKind) -> None:
        exchange = self._exchanges.get(sequence)
        if exchange is not None:
            exchange.departed_ns, exchange.departed_stamp = local_ns, stamp
            self._complete(exchange)

    def _complete(self, exchange: _Exchange) -> None:
        response, follow_up = exchange.response, exchange.follow_up
        if exchange.done or exchange.departed_ns is None or response is None:
            return
        correction, turnaround_ns = response.correction, 0
        if response.two_step:
            if follow_up is None:
                return
            if follow_up.source != response.source:
                exchange.follow_up = None  # it came first, and is another neighbour's
                return
            correction += follow_up.correction
            turnaround_ns = follow_up.response_origin_ns - response.request_receipt_ns
            if follow_up.response_origin_ns:
                self.rate.add_exchange(response.source, follow_up.response_origin_ns, exchange.arrived_ns)
        exchange.done = True
        reason = correction_refusal(correction)
        elapsed_ns = (exchange.arrived_ns - exchange.departed_ns) * self.rate.ratio
        delay_ns = (elapsed_ns - turnaround_ns - correction / UNITS_PER_NS) / 2
        if reason is None and not _LEAST_DELAY_NS <= delay_ns <= _MOST_DELAY_NS:
            reason = "pdelay_unlikely"
        if reason is not None:
            self._port.drop(reason)
            return
        self.delay.add_delay(delay_ns)
        self._port.queue_measurement(
            PeerDelaySample(
                local_ns=exchange.arrived_ns,
                delay_ns=delay_ns,
                stamp=max(exchange.departed_stamp, exchange.arrived_stamp, key=_STAMPS.index),
            )
        )
