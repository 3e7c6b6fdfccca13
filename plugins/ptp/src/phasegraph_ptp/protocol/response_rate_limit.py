"""A limit on responses: to all senders together, and to each address, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

from .intervals import NS_PER_S

_ADDRESSES = 1024


class ResponseRateLimit:
    """Allows ``per_s`` responses a second, and as many at once as fall into ``burst_ns``."""

    def __init__(self, per_s: int, *, burst_ns: int = NS_PER_S // 4, share: int = 4) -> None:
        """One address gets at most ``1 / share`` of the whole."""
        self._burst_ns = burst_ns
        self._share = share
        self._period_ns = NS_PER_S // max(1, per_s)
        self._due_ns = 0
        self._due_of: OrderedDict[str, int] = OrderedDict()

    def allows(self, address: str, now_ns: int) -> bool:
        """Whether an answer may be sent now; it counts as sent if so."""
        own = max(self._due_of.pop(address, 0), now_ns)
        everybody = max(self._due_ns, now_ns)
        allowed = own - now_ns <= self._burst_ns and everybody - now_ns <= self._burst_ns
        if allowed:
            own += self._share * self._period_ns
            self._due_ns = everybody + self._period_ns
        self._due_of[address] = own
        if len(self._due_of) > _ADDRESSES:
            self._due_of.popitem(last=False)
        return allowed
