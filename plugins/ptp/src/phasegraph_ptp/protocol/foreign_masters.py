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

from .intervals import NEVER, NS_PER_S, MessageInterval

FOREIGN_MASTER_WINDOW = 4
"""foreignMasterTimeWindow in announce intervals (9.3.2.4.5), of the master's own."""
CAPACITY = 16
SYNC_TIMEOUTS = 4
"""syncReceiptTimeout, in Sync intervals (at least 1 s each)."""
RETURN_TIMEOUTS = 2
"""The same, from the first Announce after the last Sync: a master that was away may announce itself first."""
_FIRST_DEMOTION_NS = 30 * NS_PER_S
_LONGEST_DEMOTION_NS = 480 * NS_PER_S


class ForeignMaster:
    """A port that announces itself, and how reliable it was."""

    def __init__(self, announce: Announce, address: str, receiver: PortIdentity, assumed_interval_ns: int) -> None:
        self.interval = MessageInterval(assumed_interval_ns)
        self.demoted_until_ns = 0
        self.demotion_reason = ""
        self.silent = False
        """Demoted for missing Syncs, and none was received since."""
        self.last_ns: int | None = None
        self._syncs = MessageInterval(NS_PER_S)
        self._synced: int | None = None
        self._followed_up: int | None = None
        self._last_sync_ns: int | None = None
        self._unsynced_announce_ns: int | None = None
        """The first Announce since its last Sync, once that is over: it announces itself, and sends no Sync."""
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
        over = self._last_sync_ns is not None and now_ns - self._last_sync_ns >= max(2 * self._syncs.ns, NS_PER_S)
        if over and self._unsynced_announce_ns is None:  # an earlier one may be sent just before both cease
            self._unsynced_announce_ns = now_ns
        self._set_announce(announce, address)
        return True

    def record_other_message(self, message: Message, now_ns: int) -> bool:
        """A message of it arrived while it is not followed. Returns whether a Sync and its time are complete, which
        proves that it works."""
        if isinstance(message, Sync):
            self._synced = message.sequence
            timed = not message.two_step or message.sequence == self._followed_up
            self.record_sync_interval(message, now_ns)
        elif isinstance(message, FollowUp):
            self._followed_up = message.sequence
            timed = message.sequence == self._synced
        else:
            return False
        if timed:
            self.record_timed_sync(now_ns)
        return timed

    def record_sync_interval(self, message: Sync, now_ns: int) -> int:
        """A Sync of it arrived. Returns the interval of its Syncs."""
        self._syncs.record_arrival(message.log_interval, now_ns)
        return self._syncs.ns

    def record_timed_sync(self, now_ns: int) -> None:
        """A Sync of it and its time arrived: it works."""
        self.silent = False
        self._last_sync_ns = now_ns
        self._unsynced_announce_ns = None

    def sync_receipt_deadline_ns(self, since_ns: int, *, least_ns: int = NS_PER_S) -> int:
        """When its sync receipt timeout expires: it announces itself, and sends no Sync. NEVER while it sends neither,
        which is the announce receipt timeout's matter.

        ``since_ns`` is when Syncs were first expected; ``least_ns`` is the least interval that is counted.
        """
        if self._last_sync_ns is None or self._last_sync_ns < since_ns:
            # None yet. No profile for media has Syncs less often than every 2 s.
            return since_ns + SYNC_TIMEOUTS * max(self._syncs.ns, 2 * NS_PER_S)
        if self._unsynced_announce_ns is None:
            return NEVER
        interval_ns = max(self._syncs.ns, least_ns)
        return max(
            self._last_sync_ns + SYNC_TIMEOUTS * interval_ns,
            self._unsynced_announce_ns + RETURN_TIMEOUTS * max(self._syncs.ns, NS_PER_S),
        )

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

    def works(self, now_ns: int) -> bool:
        """Whether its Syncs arrive."""
        return self._last_sync_ns is not None and now_ns - self._last_sync_ns <= max(2 * self._syncs.ns, NS_PER_S)

    def demote(self, now_ns: int, *, silent: bool, reason: str = "") -> int:
        """Pass it over for a while, each time longer; a ``silent`` one also until it sends a Sync. Returns the time."""
        lasting = self._demotion_ns
        self.demoted_until_ns = now_ns + lasting
        self._demotion_ns = min(2 * lasting, _LONGEST_DEMOTION_NS)
        self.silent = silent
        self.demotion_reason = reason
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

    def demoted(self, now_ns: int, timeout: int) -> ForeignMaster | None:
        """One that announces itself, but is demoted."""
        there = (master for master in self._masters.values() if now_ns < master.expires_ns(timeout))
        return next((master for master in there if master.silent or now_ns < master.demoted_until_ns), None)

    def best(
        self, now_ns: int, incumbent: ForeignMaster | None, timeout: int, *, provisional: bool = False
    ) -> ForeignMaster | None:
        """The best that may be chosen (Erbest): of those that are present the incumbent and all that are qualified.

        Where there is none of these, ``provisional`` also admits one whose Syncs arrive after a single Announce.
        """
        present = [master for master in self._masters.values() if master.present(now_ns, timeout)]
        able = [master for master in present if master is incumbent or master.qualified(now_ns)]
        if provisional and not able:
            able = [master for master in present if master.works(now_ns)]
        choice = best_data_set(master.data_set for master in able)
        return None if choice is None else self._masters[choice.sender]
