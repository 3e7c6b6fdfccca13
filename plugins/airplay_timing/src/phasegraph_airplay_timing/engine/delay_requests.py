"""Delay requests that are under way: when each left, when it arrived, and which were never answered."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..filters import PATH_LIMIT_NS, DelayExchange, LeaderSync

ANSWER_NS = 1_000_000_000
"""An answer that takes longer is not waited for."""
PATIENCE = 8
"""Unanswered requests in a row after which the leader counts as one that does not answer."""
_MOST = 32
_EARLY_NS = 100_000
"""Stamps of this much error make a round trip that took no time look negative."""


class _DelayRequest(msgspec.Struct):
    since_ns: int
    sync: LeaderSync | None
    spare: bool = False
    """It may stay without an answer."""
    asked_ns: int | None = None
    reached_ns: int | None = None
    answered_ns: int | None = None


class DelayRequests:
    """The questions to one leader. A key is a sequence number, or the question's own time where that is the mark."""

    def __init__(self, drop: Callable[[str], None]) -> None:
        """``drop`` counts each unused answer, by reason."""
        self._drop = drop
        self._waiting: dict[int, _DelayRequest] = {}
        self._missed = 0
        self._plausible = False
        """Whether an exchange took as long by local time as it did by both clocks' stamps: if the leader stamps our
        questions later than it answers them, none does, and the arrival of an answer shows nothing."""
        self.answers = False
        """Whether the leader has ever answered."""

    @property
    def silent(self) -> bool:
        """Whether the leader does not answer."""
        return self._missed >= PATIENCE

    def ask(self, key: int, now_ns: int, sync: LeaderSync | None = None, *, spare: bool = False) -> None:
        """A question is being sent. That a ``spare`` one has no answer does not make the leader a silent one."""
        self.expire(now_ns)
        if len(self._waiting) >= _MOST:
            self._give_up(next(iter(self._waiting)))
        self._waiting[key] = _DelayRequest(now_ns, sync, spare)

    def departed(self, key: int, local_ns: int) -> DelayExchange | None:
        """It left. Returns the exchange, should the answer have been here before."""
        question = self._waiting.get(key)
        if question is None:
            return None
        question.asked_ns = local_ns
        return self._finish(key, question)

    def answered(
        self, key: int, reached_ns: int, sync: LeaderSync | None = None, *, answered_ns: int | None = None
    ) -> DelayExchange | None:
        """It arrived at ``reached_ns`` by the leader's clock, says the answer. Returns the exchange, if it is whole.

        ``answered_ns`` is the local time of the answer's arrival.
        """
        question = self._waiting.get(key)
        if question is None or question.reached_ns is not None:
            self._drop("unasked")
            return None
        question.reached_ns, question.sync, question.answered_ns = reached_ns, sync or question.sync, answered_ns
        return self._finish(key, question)

    def expire(self, now_ns: int) -> None:
        """Give up what has waited for too long."""
        while self._waiting:
            key, first = next(iter(self._waiting.items()))
            if now_ns - first.since_ns <= ANSWER_NS:
                return
            self._give_up(key)

    def _give_up(self, key: int) -> None:
        self._missed += not self._waiting.pop(key).spare

    def _finish(self, key: int, question: _DelayRequest) -> DelayExchange | None:
        if question.asked_ns is None or question.reached_ns is None or question.sync is None:
            return None
        del self._waiting[key]
        self._missed, self.answers = 0, True
        sample = DelayExchange(
            sync=question.sync,
            asked_ns=question.asked_ns,
            reached_ns=question.reached_ns,
            answered_ns=question.answered_ns,
            spare=question.spare,
        )
        if not -_EARLY_NS <= sample.round_trip_ns <= 2 * PATH_LIMIT_NS:
            self._drop("round_trip")
            return None
        if sample.answered_ns is not None:
            self._plausible |= sample.answered_ns - sample.asked_ns >= sample.round_trip_ns
        return sample if self._plausible else msgspec.structs.replace(sample, answered_ns=None)
