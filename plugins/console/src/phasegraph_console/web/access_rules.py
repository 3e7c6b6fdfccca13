"""Who may do what: tokens, roles, and addresses that have shown too many wrong tokens. Sans-IO.

Reading needs no token while the console listens to the loopback interface alone. Everything else does. The two roles:
``read-only`` reads, ``operator`` also changes runs.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict, deque
from collections.abc import Mapping
from enum import StrEnum

MOST_FAILURES = 10
FAILURE_WINDOW_S = 60.0
MOST_ADDRESSES = 4096
"""Addresses whose failures are remembered; the oldest is forgotten for a new one."""


class AccessRole(StrEnum):
    """What a caller may do. The words of the token file."""

    OPERATOR = "operator"
    READ_ONLY = "read-only"


class AccessRules:
    """Decides about requests by their token."""

    def __init__(self, tokens: Mapping[AccessRole, str], *, open_for_reading: bool) -> None:
        """``open_for_reading``: a request without a token may read."""
        self._tokens = {role: token.encode() for role, token in tokens.items()}
        self.open_for_reading = open_for_reading

    def role_of(self, authorization: str | None) -> AccessRole | None:
        """The role of an Authorization header (RFC 6750); None for a wrong one, or where none is not enough.

        Every token is compared, each in constant time.
        """
        if authorization is None:
            return AccessRole.READ_ONLY if self.open_for_reading else None
        scheme, _, shown = authorization.partition(" ")
        shown_bytes = shown.strip().encode("utf-8", "surrogateescape")
        fitting = [role for role, token in self._tokens.items() if hmac.compare_digest(token, shown_bytes)]
        return fitting[0] if fitting and scheme.lower() == "bearer" else None


class FailureLimit:
    """Refuses addresses that have shown too many wrong tokens in the last minute. Bounded in memory."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def add_failure(self, address: str, now_s: float) -> None:
        """Record a wrong token."""
        self._failures.setdefault(address, deque(maxlen=MOST_FAILURES)).append(now_s)
        self._failures.move_to_end(address)
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def wait_s(self, address: str, now_s: float) -> float:
        """Seconds until this address may try again; 0 where it may now."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < MOST_FAILURES:
            return 0.0
        return max(0.0, failures[0] + FAILURE_WINDOW_S - now_s)
