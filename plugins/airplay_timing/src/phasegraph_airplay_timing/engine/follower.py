"""The follower's side of PTP, with one leader: pairs, questions, and a nudge when it has fallen asleep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from phasegraph.ieee1588 import DelayResp, FollowUp, PortIdentity, Sync, SyncPairing, TimedSync, encode

from ..filters import LeaderSync, TimingSample
from ..wire import apple, compose
from .delay_requests import DelayRequests
from .engine_actions import SendDatagram
from .leader_election import LeaderCandidate

ASK_NS = 100_000_000
"""Delay requests are not asked more often, whatever the rate of Syncs."""
SPARE_NS, SPARE_SPAN_NS = 40_000_000, 20_000_000_000
"""Interval of additional requests after a Sync, and for how long from the leader's first Sync."""
ASK_AGAIN_NS = 1_000_000_000
"""How often one is asked that does not answer."""
NUDGE_NS, NUDGES = 400_000_000, 3
"""Pause before, and number of, repeated requests to a leader that stops unless asked, as HomePods do: a request, or
what was to be answered, may have been lost."""
FIRST_NUDGE_NS = 150_000_000
"""Pause before the first request to a leader whose Syncs were over before its Announce came."""
QUIET_NS = 2_000_000_000
"""A leader is woken after this long without its time."""
WAKE_NS = 10_000_000_000
"""It is not woken more often."""
WAKE_PAUSE_NS = 150_000_000


class PtpFollower:
    """The leader that is followed."""

    def __init__(
        self,
        leader: LeaderCandidate,
        port: PortIdentity,
        send: Callable[[SendDatagram], None],
        remember: Callable[[object], int],
        drop: Callable[[str], None],
        now_ns: int,
        *,
        spares: int,
    ) -> None:
        """``spares`` is the number of additional requests after a Sync, 2 at most."""
        self.leader = leader
        self.grandmaster = leader.data.grandmaster
        self.one_way = False
        """Whether the leader does not answer, so that only Syncs are measured."""
        self._port = port
        self._send = send
        self._remember = remember
        self._drop = drop
        self._pairing: SyncPairing[int] = SyncPairing(drop)
        """Matches by sequence number alone: port numbers mean nothing in Apple's dialect."""
        self._questions = DelayRequests(drop)
        self._last: LeaderSync | None = None
        self._sequence = 0
        """Of the last Sync that was used."""
        self._nudges = 0
        self._most_spares, self._spares = spares, 0
        """Additional requests for each Sync, and since the last one."""
        self._first_ns: int | None = None
        """When the leader's first Sync was used."""
        self._told_ns = now_ns
        """When the leader's time was seen to go on."""
        self._asked_ns = now_ns - ASK_AGAIN_NS
        self._woken_ns = now_ns - WAKE_NS
        self._second_wake_ns: int | None = None

    def sync(self, message: Sync, local_ns: int, now_ns: int) -> TimingSample | None:
        """A Sync of the leader came."""
        return self._timed(self._pairing.add_sync(message, local_ns), local_ns, now_ns)

    def follow_up(self, message: FollowUp, local_ns: int, now_ns: int) -> TimingSample | None:
        """A Follow_Up of the leader came."""
        return self._timed(self._pairing.add_follow_up(message), local_ns, now_ns)

    def delay_resp(self, message: DelayResp, local_ns: int) -> TimingSample | None:
        """A Delay_Resp of the leader came."""
        if message.requesting != self._port:
            self._drop("other_requester")
            return None
        return self._questions.answered(message.sequence, apple.arrival_ns(message), answered_ns=local_ns)

    def departed(self, sequence: int, local_ns: int) -> TimingSample | None:
        """A Delay_Req left."""
        return self._questions.departed(sequence, local_ns)

    def turned(self) -> bool:
        """Whether the leader has begun, or ceased, to answer since the last call."""
        before, self.one_way = self.one_way, self._questions.silent
        return before != self.one_way

    def wake_ups(self, now_ns: int) -> Iterator[int]:
        """Changes of the leader's priority1 in the Announces that are due to wake it: -1, and then +1."""
        self._questions.expire(now_ns)
        if self._second_wake_ns is not None and now_ns >= self._second_wake_ns:
            self._second_wake_ns = None
            yield +1
        if now_ns - self._told_ns >= QUIET_NS and now_ns - self._woken_ns >= WAKE_NS:
            self._woken_ns, self._second_wake_ns = now_ns, now_ns + WAKE_PAUSE_NS
            yield -1

    def nudge(self, now_ns: int) -> None:
        """Ask once more: while the leader is new, or if it has paused."""
        if self._new and self._spares < self._most_spares and now_ns - self._told_ns >= SPARE_NS * (self._spares + 1):
            # A number of its own, as below.
            sequence = (self._sequence + (0x4000, 0xC000)[self._spares]) % 2**16
            self._spares += 1
            self._ask(sequence, now_ns, spare=True)
        if self._may_nudge and now_ns >= self._nudge_ns:
            self._nudges += 1
            # A number of its own: the answer to the last question may still come.
            self._ask((self._sequence + 0x8000 + self._nudges) % 2**16, now_ns, spare=self._last is None)

    def due_ns(self, now_ns: int) -> int:
        """Next due time of `wake_ups` and `nudge`."""
        if self._second_wake_ns is not None:
            return self._second_wake_ns
        wake_ns = max(self._told_ns + QUIET_NS, self._woken_ns + WAKE_NS, now_ns + ASK_NS)
        if self._new:
            return min(wake_ns, now_ns + SPARE_NS)
        return min(wake_ns, self._nudge_ns) if self._may_nudge else wake_ns

    @property
    def _new(self) -> bool:
        # Whether additional requests are sent: to one that answers, in its first seconds.
        first_ns = self._first_ns
        early = first_ns is not None and self._told_ns - first_ns < SPARE_SPAN_NS
        return early and self._most_spares > 0 and self._questions.answers and not self.one_way

    @property
    def _may_nudge(self) -> bool:
        # The request before the first Sync is an additional one.
        return self._nudges < NUDGES and not self.one_way and (self._last is not None or self._most_spares > 0)

    @property
    def _nudge_ns(self) -> int:
        pause_ns = FIRST_NUDGE_NS if self._last is None else NUDGE_NS
        return self._told_ns + pause_ns * (self._nudges + 1)

    def _timed(self, timed: TimedSync[int] | None, told_ns: int, now_ns: int) -> LeaderSync | None:
        if timed is None:
            return None
        sequence = timed.sequence
        sample = LeaderSync(
            origin_ns=timed.origin_ns,
            correction=timed.follow_up_correction,
            sync_correction=timed.sync_correction,
            arrived_ns=timed.arrival,
            told_ns=told_ns,
        )
        if self._last is not None and sample.departed_ns == self._last.departed_ns:
            self._drop("stopped")  # its clock stands still
            return None
        self._last, self._told_ns, self._sequence, self._nudges, self._spares = sample, now_ns, sequence, 0, 0
        if self._first_ns is None:
            self._first_ns = now_ns
        if now_ns - self._asked_ns >= (ASK_AGAIN_NS if self.one_way else ASK_NS):
            self._ask(sequence, now_ns)
        return sample

    def _ask(self, sequence: int, now_ns: int, *, spare: bool = False) -> None:
        if not spare:
            self._asked_ns = now_ns
        self._questions.ask(sequence, now_ns, self._last, spare=spare)
        peer = self.leader.peer
        request = encode(compose.delay_req(self._port, sequence))
        self._send(
            SendDatagram(data=request, destination=(peer.address, peer.event_port), token=self._remember(sequence))
        )
