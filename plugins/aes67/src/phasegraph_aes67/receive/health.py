"""Looking after what is received: memberships that a switch forgot, interfaces that come and go, a leg gone silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phasegraph import Metric, NodeError

from .diagnosis import late
from .receive_sockets import Subscription
from .stream_receiver import StreamReceiver

SILENT_NS = 1_000_000_000
"""After so long without a packet a leg is called silent."""
REJOIN_NS = 5_000_000_000
"""After so long, and then each time after twice as long, its group is joined again."""
MOST_REJOIN_NS = 60_000_000_000
UNPROTECTED_NS = 500_000_000
"""After so long on one leg alone a redundant stream is called unprotected."""
AGAIN_NS = 60_000_000_000
"""That packets come late is told again once none has for so long."""

Tell = Callable[[str, dict[str, Metric]], None]


class LegWatch:
    """Watches one leg. Called from the control plane."""

    def __init__(self, subscription: Subscription, label: dict[str, Metric], tell: Tell, now_ns: int) -> None:
        """``label`` is what every event of the leg says besides."""
        self.subscription = subscription
        self.rejoins = 0
        """How often its group was joined again."""
        self.why_silent = ""
        """Why nothing comes; empty where something does."""
        self._label = label
        self._tell = tell
        self._began_ns = now_ns
        self._silent = False
        self._lost = False
        self._next_rejoin_ns = REJOIN_NS

    def silent_ns(self, now_ns: int) -> int:
        """How long no packet has come."""
        return self._since(self.subscription.leg.last_arrival_ns, now_ns)

    def useless_ns(self, now_ns: int) -> int:
        """How long no packet has come that was in time."""
        return self._since(self.subscription.leg.last_in_time_ns, now_ns)

    def _since(self, last_ns: int | None, now_ns: int) -> int:
        return now_ns - max(self._began_ns, last_ns or self._began_ns)

    def look(self, now_ns: int) -> None:
        """Do what is due."""
        silent_ns = self.silent_ns(now_ns)
        if silent_ns < SILENT_NS:
            if self._silent:
                self._tell("stream_heard", self._label)
                self.why_silent = ""
            self._silent, self._next_rejoin_ns = False, REJOIN_NS
            return
        if not self._silent:
            self._silent = True
            self.why_silent = self.subscription.why_silent(now_ns - silent_ns)
            self._tell("stream_silent", {**self._label, "silent_ns": silent_ns, "reason": self.why_silent})
        if self.subscription.name and self.subscription.present == self._lost:
            self._lost = not self._lost
            name = "interface_lost" if self._lost else "interface_found"
            self._tell(name, {**self._label, "interface": self.subscription.name})
            if not self._lost:
                self._rejoin()
        if not self._lost and silent_ns >= self._next_rejoin_ns:
            self._next_rejoin_ns = silent_ns + min(self._next_rejoin_ns, MOST_REJOIN_NS)
            self._rejoin()

    def _rejoin(self) -> None:
        try:
            self.subscription.rejoin()
        except NodeError as error:  # tried again, later
            self._tell("rejoin_failed", {**self._label, "reason": str(error)})
        self.rejoins += 1


class Protection:
    """Tells when a redundant stream depends on one leg, and when it no longer does (ST 2022-7)."""

    def __init__(self, tell: Tell) -> None:
        self.state = "full"
        """``full``, ``leg a alone``, ``leg b alone``, or ``none`` where neither leg brings anything in time."""
        self._tell = tell

    def look(self, legs: Sequence[LegWatch], now_ns: int) -> None:
        """Compare the legs."""
        useless_ns = [leg.useless_ns(now_ns) for leg in legs]
        quiet = [useless >= UNPROTECTED_NS for useless in useless_ns]
        state = {(False, False): "full", (True, True): "none"}.get(
            (quiet[0], quiet[1]), "leg b alone" if quiet[0] else "leg a alone"
        )
        if state == self.state:
            return
        self.state = state
        if "alone" in state:
            which = 0 if quiet[0] else 1
            late = legs[which].silent_ns(now_ns) < UNPROTECTED_NS
            reason = "its packets come outside the window: too late for the link offset" if late else "no packet comes"
            fields: dict[str, Metric] = {"silent_leg": "ab"[which], "silent_ns": useless_ns[which], "reason": reason}
            self._tell("unprotected", fields)
        elif state == "full":
            self._tell("protected", {})


class LateWatch:
    """Tells when packets come later than the link offset."""

    def __init__(self, tell: Tell) -> None:
        self.trouble = ""
        """What is wrong, while they do."""
        self._tell = tell
        self._before = (0, 0)
        self._again_ns = 0

    def look(self, receiver: StreamReceiver, now_ns: int) -> None:
        """Compare the figures with those of the last look."""
        counted = (receiver.packets_late, receiver.packets_received)
        count, received = (now - before for now, before in zip(counted, self._before, strict=True))
        self._before = counted
        self.trouble = ""
        if count <= 0 or any(leg.trouble for leg in receiver.legs):
            return
        figures = receiver.metrics()
        if int(figures.get("lateness_max_ns", 0)) <= receiver.window_ns:
            return  # they count another time: that is for `StreamReceiver.outside_window` to tell
        self.trouble = late(receiver.window_ns, int(figures["lateness_p99_ns"]), int(figures["lateness_max_ns"]))
        if now_ns >= self._again_ns:
            self._tell("packets_come_late", {"late": count, "received": received, "reason": self.trouble})
        self._again_ns = now_ns + AGAIN_NS
