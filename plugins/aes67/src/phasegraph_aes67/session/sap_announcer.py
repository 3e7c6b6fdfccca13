"""When a session is announced, and by which packets (RFC 2974, section 3). Sans-IO."""

from __future__ import annotations

import random

from phasegraph import NS_PER_S

from .sap import Announcement, encode, message_hash

TTL = 255
"""What announcements are sent with (RFC 2974, 3); the groups bound their scope."""
MEAN_INTERVAL_S = 22.5
"""With a third of it more, a session is announced every 30 s at the latest, as devices expect; the standard's 300 s are
too long for users."""
LIMIT_BITS_PER_S = 4000
"""Bandwidth of all announcements of a group (RFC 2974, 3.1)."""
SPREAD = 1 / 3
"""How far an interval may be from its mean, so that announcers do not synchronise."""
DELETIONS = 3
"""How often a deletion is sent, since it is not repeated later."""


class SapAnnouncer:
    """One session: its newest description is announced when it is new, and then again and again."""

    def __init__(self, origin: str, seed: int) -> None:
        """``origin`` is the address that announces; the seed is of the intervals."""
        self.origin = origin
        self._random = random.Random(seed)
        self._text = ""
        self.octets = 0
        """Size of an announcement."""
        self.due_ns: int | None = None
        """When it is to be announced next; None while there is nothing to announce."""

    def announce(self, text: str, now_ns: int) -> None:
        """Announce a description from now on; each version has a hash of its own."""
        self._text = text
        self.octets = len(self._packet())
        self.due_ns = now_ns

    def is_due(self, now_ns: int) -> bool:
        """Whether it is to be announced."""
        return self.due_ns is not None and now_ns >= self.due_ns

    def next_packet(self, now_ns: int, total_octets: int) -> bytes:
        """The announcement, to be sent now; sets when the next is due.

        ``total_octets`` is the size of all announcements that share the group, which sets the interval.
        """
        mean_s = max(MEAN_INTERVAL_S, 8 * total_octets / LIMIT_BITS_PER_S)
        self.due_ns = now_ns + round(mean_s * self._random.uniform(1 - SPREAD, 1 + SPREAD) * NS_PER_S)
        return self._packet()

    def deletion_packet(self) -> bytes:
        """The deletion of what was announced last (RFC 2974, 4)."""
        self.due_ns = None
        return self._packet(deletion=True)

    def _packet(self, *, deletion: bool = False) -> bytes:
        return encode(Announcement(self.origin, message_hash(self._text), self._text, deletion))
