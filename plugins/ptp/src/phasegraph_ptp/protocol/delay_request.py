"""The delay request-response mechanism (11.3) as a follower runs it, towards one master."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from phasegraph import StampKind
from phasegraph.ieee1588 import DelayReq, DelayResp, MessageType, correction_refusal, to_interval

from ..measurements import DelaySample
from .foreign_masters import ForeignMaster
from .intervals import NEVER, NS_PER_S, period_ns, stated_period_ns
from .mean_path_delay import MeanPathDelay
from .port import Port
from .port_actions import Destination
from .settings import Unicast

MISSES_BEFORE_FALLBACK = 3
MISSES_BEFORE_DEMOTION = 4
FIRST_RETRY_NS = 60 * NS_PER_S
LONGEST_RETRY_NS = 960 * NS_PER_S
_WAITING = 256
_REMEMBERED = 16


class _Request(msgspec.Struct):
    deadline_ns: int
    unicast: bool
    departed_ns: int | None = None
    stamp: StampKind = StampKind.USER
    response: DelayResp | None = None


class DelayRequester:
    """Sends Delay_Req at random, no faster than the master allows (9.5.11.2), and matches the answers.

    It lives as long as one master is followed, so a sample never mixes two.
    """

    def __init__(
        self, port: Port, master: ForeignMaster, delay: MeanPathDelay, measured: Callable[[DelaySample], None]
    ) -> None:
        """``delay`` says how long an answer may take; ``measured`` is called with each sample."""
        settings = port.settings
        self._measured = measured
        self._port = port
        self._master = master
        self._delay = delay
        self._period_ns = period_ns(settings.log_min_delay_req_interval)
        self._allowed = settings.unicast is not Unicast.NEGOTIATED
        self._next_ns = NEVER
        self._sent_ns = 0
        self._waiting: dict[int, _Request] = {}
        self._missed: deque[int] = deque(maxlen=_REMEMBERED)
        self._misses = 0
        self._answered_ns = 0
        self._unicast = settings.unicast is not Unicast.OFF
        self._retry_ns = NEVER
        self._patience_ns = FIRST_RETRY_NS

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted."""
        missing = next(iter(self._waiting.values())).deadline_ns if self._waiting else NEVER
        return min(self._next_ns if self._allowed else NEVER, missing)

    def start_requests(self, now_ns: int) -> None:
        """Start sending Delay_Req."""
        if self._next_ns == NEVER:
            self._answered_ns = now_ns
            self._next_ns = now_ns + self._random_ns(self._period_ns)

    def restart_patience(self, now_ns: int) -> None:
        """The master is back after an outage: what it left unanswered meanwhile does not count."""
        self._misses = 0
        self._answered_ns = now_ns

    def set_granted_period(self, period: int | None) -> None:
        """The interval that a negotiating port was granted; None while it has no grant."""
        self._allowed = period is not None
        if period is not None:
            self._pace(period)

    def unanswered(self, now_ns: int) -> bool:
        """Whether the master has left more than four requests unanswered, and for more than four timeouts.

        A timeout is the longest time between two requests, 2 s at least: a few losses do not demote it.
        """
        patience_ns = MISSES_BEFORE_DEMOTION * 2 * max(self._period_ns, NS_PER_S)
        return self._misses > MISSES_BEFORE_DEMOTION and now_ns - self._answered_ns > patience_ns

    def tick(self, now_ns: int) -> None:
        """Give up requests that were not answered, and send the next when it is due."""
        for sequence, request in tuple(self._waiting.items()):
            if now_ns < request.deadline_ns:
                break
            self._miss(sequence, request, now_ns)
        if self._allowed and now_ns >= self._next_ns:
            self._ask(now_ns)

    def response_received(self, message: DelayResp, now_ns: int) -> None:
        """A Delay_Resp of the master to us arrived."""
        request = self._waiting.get(message.sequence)
        if request is None:
            self._port.drop("delay_resp_late" if message.sequence in self._missed else "delay_resp_unmatched")
        elif request.response is not None:
            self._port.drop("duplicate")
        elif now_ns > request.deadline_ns:
            self._port.drop("delay_resp_late")
            self._miss(message.sequence, request, now_ns)
        else:
            request.response = message
            self._answered(request, message, now_ns)
            self._complete(message.sequence, request)

    def close(self) -> None:
        """Ignore transmit stamps that are still to come."""
        self._waiting.clear()

    def _ask(self, now_ns: int) -> None:
        retrying = now_ns >= self._retry_ns
        if retrying:
            self._retry_ns = NEVER
        unicast = self._unicast or retrying
        destination = self._master.address if unicast else Destination.PRIMARY
        message = DelayReq(**self._port.header(MessageType.DELAY_REQ, destination))
        if len(self._waiting) >= _WAITING:
            sequence = next(iter(self._waiting))
            self._miss(sequence, self._waiting[sequence], now_ns)
        self._waiting[message.sequence] = _Request(now_ns + self._delay.patience_ns, unicast)
        self._sent_ns = now_ns
        # From when this one was due, not from when it was sent, but at most a period ago: late ticks lower the mean
        # rate less. A tick sends one, so that ticks rarer than the requests decide their rate.
        self._next_ns = max(self._next_ns, now_ns - self._period_ns) + self._random_ns(2 * self._period_ns)
        self._port.send_event(message, destination, partial(self._departed, message.sequence))

    def _departed(self, sequence: int, local_ns: int, stamp: StampKind) -> None:
        request = self._waiting.get(sequence)
        if request is not None:
            request.departed_ns, request.stamp = local_ns, stamp
            self._complete(sequence, request)

    def _complete(self, sequence: int, request: _Request) -> None:
        response = request.response
        if response is None or request.departed_ns is None:
            return
        del self._waiting[sequence]
        reason = correction_refusal(response.correction)
        if reason is not None:
            self._port.drop(reason)
            return
        self._measured(
            DelaySample(
                local_ns=request.departed_ns,
                reference_ns=response.receive_ns,
                correction=response.correction - to_interval(self._port.settings.asymmetry_ns),
                stamp=request.stamp,
            )
        )

    def _pace(self, period: int) -> None:
        if period != self._period_ns:
            self._period_ns = period
            if self._next_ns != NEVER:
                self._next_ns = self._sent_ns + self._random_ns(2 * period)

    def _random_ns(self, most: int) -> int:
        return self._port.random.randrange(most)

    def _answered(self, request: _Request, response: DelayResp, now_ns: int) -> None:
        self._misses = 0
        self._answered_ns = now_ns
        stated = stated_period_ns(response.log_interval)
        if stated is not None:
            self._pace(max(period_ns(self._port.settings.log_min_delay_req_interval), stated))
        if request.unicast and not self._unicast:
            self._unicast = True
            self._patience_ns = FIRST_RETRY_NS
            self._port.emit_event("unicast_restored", port=str(self._master.port), address=self._master.address)

    def _miss(self, sequence: int, request: _Request, now_ns: int) -> None:
        del self._waiting[sequence]
        if request.response is not None:
            self._port.drop("transmit_stamp_lost")
            return
        self._missed.append(sequence)
        self._port.counters["missed_delay_resp"] += 1
        if request.unicast and not self._unicast:
            if self._retry_ns == NEVER:  # the attempt, and not one from before the fallback
                self._retry_later(now_ns)
            return
        self._misses += 1
        if self._misses == MISSES_BEFORE_FALLBACK:
            self._delay.forget()  # the path may be longer now than every answer is waited for
            if self._unicast and self._port.settings.unicast is Unicast.HYBRID:
                self._fall_back(now_ns)

    def _fall_back(self, now_ns: int) -> None:
        self._unicast = False
        self._misses = 0
        self._answered_ns = now_ns
        self._retry_later(now_ns)
        self._port.emit_event(
            "unicast_fallback",
            port=str(self._master.port),
            address=self._master.address,
            reason=f"{MISSES_BEFORE_FALLBACK} unicast Delay_Req without an answer, though its multicast Syncs come: "
            "it does not answer unicast, or another PTP daemon on this host receives the answers; "
            "Delay_Req goes by multicast now",
        )

    def _retry_later(self, now_ns: int) -> None:
        self._retry_ns = now_ns + self._patience_ns
        self._patience_ns = min(2 * self._patience_ns, LONGEST_RETRY_NS)
