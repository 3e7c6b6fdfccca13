"""A limit on responses: to all senders together, and to each address, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

from .intervals import NS_PER_S

_ADDRESSES = 1024
_SHARE = 4
"""One address gets at most this part of the whole."""
_BURST_NS = NS_PER_S // 4


class ResponseRateLimit:
    """Allows ``per_s`` responses a second, and a burst of a quarter of a second."""

    def __init__(self, per_s: int) -> None:
        self._period_ns = NS_PER_S // max(1, per_s)
        self._due_ns = 0
        self._due_of: OrderedDict[str, int] = OrderedDict()

    def allows(self, address: str, now_ns: int) -> bool:
        """Whether an answer may be sent now; it counts as sent if so."""
        own = max(self._due_of.pop(address, 0), now_ns)
        everybody = max(self._due_ns, now_ns)
        allowed = own - now_ns <= _BURST_NS and everybody - now_ns <= _BURST_NS
        if allowed:
            own += _SHARE * self._period_ns
            self._due_ns = everybody + self._period_ns
        self._due_of[address] = own
        if len(self._due_of) > _ADDRESSES:
            self._due_of.popitem(last=False)
        return allowed
