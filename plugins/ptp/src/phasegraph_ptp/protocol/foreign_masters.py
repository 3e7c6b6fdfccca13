"""Other ports that announce themselves (foreignMasterDS, 9.3.2.4), in bounded memory."""

from __future__ import annotations

from functools import cmp_to_key

from phasegraph.ieee1588 import (
    Announce,
    ComparedDataSet,
    FollowUp,
    Message,
    PortIdentity,
    Sync,
    best_data_set,
    compare_data_sets,
)

from .intervals import NS_PER_S, MessageInterval

FOREIGN_MASTER_WINDOW = 4
"""foreignMasterTimeWindow in announce intervals (9.3.2.4.5), of the master's own."""
CAPACITY = 16
SYNC_TIMEOUTS = 4
"""syncReceiptTimeout, in Sync intervals (at least 1 s each)."""
_FIRST_DEMOTION_NS = 30 * NS_PER_S
_LONGEST_DEMOTION_NS = 480 * NS_PER_S


def sync_receipt_deadline_ns(since_ns: int, last_sync_ns: int | None, interval_ns: int) -> int:
    """When the sync receipt timeout of a master expires, from its last Sync, or from when one was first expected."""
    if last_sync_ns is None:  # no profile for media has Syncs less often than every 2 s
        return since_ns + SYNC_TIMEOUTS * max(interval_ns, 2 * NS_PER_S)
    return last_sync_ns + SYNC_TIMEOUTS * max(interval_ns, NS_PER_S)


class ForeignMaster:
    """A port that announces itself, and how reliable it was."""

    def __init__(self, announce: Announce, address: str, receiver: PortIdentity, assumed_interval_ns: int) -> None:
        self.interval = MessageInterval(assumed_interval_ns)
        self.demoted_until_ns = 0
        self.silent = False
        """Demoted for missing Syncs, and none was received since."""
        self.last_ns: int | None = None
        self._syncs = MessageInterval(NS_PER_S)
        self._synced: int | None = None
        self._followed_up: int | None = None
        self._timed_ns = 0
        self._before_ns: int | None = None
        self._demotion_ns = _FIRST_DEMOTION_NS
        self._receiver = receiver
        self._set_announce(announce, address)

    def record_announce(self, announce: Announce, address: str, now_ns: int) -> bool:
        """Record its next Announce; False for a second copy of the last one."""
        if self.last_ns is not None:
            if announce.sequence == self.announce.sequence and now_ns - self.last_ns < self.interval.ns // 2:
                return False
            self._before_ns = self.last_ns
        self.last_ns = now_ns
        self.interval.record_arrival(announce.log_interval, now_ns)
        self._set_announce(announce, address)
        return True

    def record_other_message(self, message: Message, now_ns: int) -> None:
        """A message of it arrived while it is not followed: a Sync and its Follow_Up prove that it works."""
        if isinstance(message, Sync):
            self._synced = message.sequence
            self._syncs.record_arrival(message.log_interval, now_ns)
            timed = not message.two_step or message.sequence == self._followed_up
        elif isinstance(message, FollowUp):
            self._followed_up = message.sequence
            timed = message.sequence == self._synced
        else:
            return
        if timed:
            self.silent = False
            self._timed_ns = now_ns

    def sync_receipt_deadline_ns(self, since_ns: int) -> int:
        """When its sync receipt timeout expires for a port that does not follow it, but defers to it since then.

        That is later than for a slave: to become a master because of a few lost packets would be worse.
        """
        return sync_receipt_deadline_ns(max(since_ns, self._timed_ns), None, self._syncs.ns)

    def _set_announce(self, announce: Announce, address: str) -> None:
        self.announce = announce
        self.address = address
        self.data_set = ComparedDataSet.from_announce(announce, self._receiver)

    @property
    def port(self) -> PortIdentity:
        """Its sourcePortIdentity."""
        return self.announce.source

    def expires_ns(self, intervals: int) -> int:
        """When ``intervals`` of its announce intervals have passed since its last Announce."""
        return (self.last_ns or 0) + intervals * self.interval.ns

    def present(self, now_ns: int, timeout: int) -> bool:
        """Whether it still announces itself, and is not demoted."""
        return now_ns < self.expires_ns(timeout) and now_ns >= self.demoted_until_ns and not self.silent

    def qualified(self, now_ns: int) -> bool:
        """FOREIGN_MASTER_THRESHOLD Announces, two, within the window (9.3.2.4.4)."""
        return self._before_ns is not None and now_ns - self._before_ns <= FOREIGN_MASTER_WINDOW * self.interval.ns

    def demote(self, now_ns: int, *, silent: bool) -> int:
        """Pass it over for a while, each time longer; a ``silent`` one also until it sends a Sync. Returns the time."""
        lasting = self._demotion_ns
        self.demoted_until_ns = now_ns + lasting
        self._demotion_ns = min(2 * lasting, _LONGEST_DEMOTION_NS)
        self.silent = silent
        return lasting

    def forgive(self) -> None:
        """It works: the next demotion is a short one again."""
        self._demotion_ns = _FIRST_DEMOTION_NS


class ForeignMasters:
    """All ports that announce themselves, the best of them if they are more than `CAPACITY`."""

    def __init__(self, receiver: PortIdentity) -> None:
        self._receiver = receiver
        self._masters: dict[PortIdentity, ForeignMaster] = {}

    def __len__(self) -> int:
        return len(self._masters)

    def get(self, port: PortIdentity) -> ForeignMaster | None:
        """What is known of a port."""
        return self._masters.get(port)

    def record_announce(self, announce: Announce, address: str, now_ns: int, assumed_interval_ns: int) -> bool:
        """Record an Announce; False for a second copy. ``assumed_interval_ns`` is for senders that state none."""
        master = self._masters.get(announce.source)
        if master is None:
            master = ForeignMaster(announce, address, self._receiver, assumed_interval_ns)
            self._masters[announce.source] = master
        return master.record_announce(announce, address, now_ns)

    def make_place(self, now_ns: int, keep: ForeignMaster | None) -> ForeignMaster | None:
        """Forget those that fell silent and, if there are still too many, the worst. Returns the worst.

        ``keep`` is neither: the port that is followed has its own, longer or shorter, time to live.
        """
        others = [master for master in self._masters.values() if master is not keep]
        for master in others:
            if now_ns >= master.expires_ns(FOREIGN_MASTER_WINDOW):
                del self._masters[master.port]
        if len(self._masters) <= CAPACITY:
            return None
        order = cmp_to_key(compare_data_sets)
        worst = min(
            (master for master in others if master.port in self._masters), key=lambda each: order(each.data_set)
        )
        del self._masters[worst.port]
        return worst

    def best(self, now_ns: int, incumbent: ForeignMaster | None, timeout: int) -> ForeignMaster | None:
        """The best that may be chosen (Erbest): of those that are present the incumbent and all that are qualified."""
        choice = best_data_set(
            master.data_set
            for master in self._masters.values()
            if master.present(now_ns, timeout) and (master is incumbent or master.qualified(now_ns))
        )
        return None if choice is None else self._masters[choice.sender]
