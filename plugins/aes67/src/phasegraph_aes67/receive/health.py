"""Watches what is received, once or a few times a second: silence, lost interfaces, protection, late packets, rivals.

The control plane calls it. It reads published figures, and the two times of each leg that any thread may read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phasegraph import Metric, NodeError

from .diagnosis import is_other_kind, why_late, why_numbers_differ, why_rival
from .receive_sockets import Subscription
from .stream_figures import LegFigures, StreamFigures
from .stream_receiver import StreamReceiver

SILENT_NS = 1_000_000_000
"""A leg is silent after this time without a packet."""
REJOIN_NS = 5_000_000_000
"""The group of a silent leg is joined again after this time, and then each time after twice as long."""
MOST_REJOIN_NS = 60_000_000_000
UNPROTECTED_NS = 500_000_000
"""A redundant stream is unprotected after this time on one leg alone."""
REPEAT_NS = 60_000_000_000
"""An event about packets that go on coming (late, of a rival) is repeated only after this time without any."""
OTHER_REASON_NS = 10_000_000_000
"""How long after an event of silence another reason of it may be reported."""
RIVAL_PACKETS = 20
"""Packets of another sender between two checks, twice in a row, that are reported; fewer may be of a restart."""

Emit = Callable[[str, dict[str, Metric]], None]


class LegWatch:
    """Watches one leg."""

    def __init__(self, subscription: Subscription, label: dict[str, Metric], emit: Emit, now_ns: int) -> None:
        """``label`` are the fields that every event of the leg has."""
        self.subscription = subscription
        self.rejoins = 0
        """How often its group was joined again."""
        self.silence_reason = ""
        """Why the leg is silent; empty where it is not."""
        self._label = label
        self._emit = emit
        self._began_ns = now_ns
        self._reported_reason = ""
        self._reported_ns = 0
        self._interface_lost = False
        self._next_rejoin_ns = REJOIN_NS

    @property
    def trouble(self) -> str:
        """Why the leg's packets are not played; empty where they are."""
        figures = self.subscription.receiver.figures.latest.legs[self.subscription.leg.number]
        return self.silence_reason or figures.trouble

    def silent_ns(self, now_ns: int) -> int:
        """Time since the last packet."""
        return self._since(self.subscription.receiver.last_arrival_ns(self.subscription.leg), now_ns)

    def useless_ns(self, now_ns: int) -> int:
        """Time since the last packet that was in time."""
        return self._since(self.subscription.receiver.last_in_time_ns(self.subscription.leg), now_ns)

    def _since(self, last_ns: int | None, now_ns: int) -> int:
        return now_ns - max(self._began_ns, last_ns or self._began_ns)

    def check_silence(self, now_ns: int) -> None:
        """Do what is due."""
        silent_ns = self.silent_ns(now_ns)
        if silent_ns < SILENT_NS:
            if self.silence_reason:
                self._emit("stream_heard", self._label)
            self.silence_reason = self._reported_reason = ""
            self._next_rejoin_ns = REJOIN_NS
            return
        # Whatever keeps packets away may be another by now: the reason is looked for at every check.
        self.silence_reason = self.subscription.why_silent(now_ns)
        repeat = now_ns - self._reported_ns >= OTHER_REASON_NS
        if is_other_kind(self.silence_reason, self._reported_reason) and (repeat or not self._reported_reason):
            self._reported_reason, self._reported_ns = self.silence_reason, now_ns
            self._emit("stream_silent", {**self._label, "silent_ns": silent_ns, "reason": self.silence_reason})
        if self.subscription.name and self.subscription.present == self._interface_lost:
            self._interface_lost = not self._interface_lost
            name = "interface_lost" if self._interface_lost else "interface_found"
            self._emit(name, {**self._label, "interface": self.subscription.name})
            if not self._interface_lost:
                self._rejoin()
        if not self._interface_lost and silent_ns >= self._next_rejoin_ns:
            self._next_rejoin_ns = silent_ns + min(self._next_rejoin_ns, MOST_REJOIN_NS)
            self._rejoin()

    def _rejoin(self) -> None:
        try:
            self.subscription.rejoin()
        except NodeError as error:  # tried again, later
            self._emit("rejoin_failed", {**self._label, "reason": str(error)})
        self.rejoins += 1


class Protection:
    """Whether a redundant stream depends on one leg (ST 2022-7)."""

    def __init__(self, emit: Emit) -> None:
        self.state = "full"
        """``full``, ``leg a alone``, ``leg b alone``, or ``none`` where neither leg brings anything in time."""
        self._emit = emit

    def compare_legs(self, legs: Sequence[LegWatch], now_ns: int) -> None:
        """Compare the legs, and report a change."""
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
            self._emit("unprotected", fields)
        elif state == "full":
            self._emit("protected", {})


class _Watch:
    """Watches packets that go on coming, and reports what is wrong with them once each time it begins."""

    def __init__(self, emit: Emit) -> None:
        self.trouble = ""
        """What is wrong, while it is."""
        self._emit = emit
        self._repeat_ns = 0

    def _report(self, name: str, now_ns: int, fields: dict[str, Metric]) -> None:
        if now_ns >= self._repeat_ns:
            self._emit(name, {**fields, "reason": self.trouble})
        self._repeat_ns = now_ns + REPEAT_NS


class LatenessWatch(_Watch):
    """Whether packets come later than the link offset."""

    _before = (0, 0)

    def check_lateness(self, receiver: StreamReceiver, drift: str, now_ns: int) -> None:
        """Compare the figures with those of the last check. ``drift`` is a better reason than a short link offset."""
        figures = receiver.figures.latest
        counted = (figures.packets_late, figures.packets_received)
        count, received = (now - before for now, before in zip(counted, self._before, strict=True))
        self._before = counted
        self.trouble = ""
        if count <= 0 or any(leg.trouble for leg in figures.legs):
            return
        lateness = figures.lateness
        if lateness.largest_ns is None or lateness.largest_ns <= receiver.link_offset_ns:
            return  # they count another time, which `timestamps_outside_window` reports
        self.trouble = drift or why_late(receiver.link_offset_ns, lateness.percentile(0.99), lateness.largest_ns)
        self._report("packets_come_late", now_ns, {"late": count, "received": received})


class DriftWatch(_Watch):
    """Whether the sender's clock runs at another rate than the graph's: who runs fast or slow, and what to do."""

    _before: StreamFigures | None = None

    def check_rate(self, receiver: StreamReceiver, now_ns: int) -> None:
        """Look at the newest figures."""
        figures, before = receiver.figures.latest, self._before
        self._before = figures
        self.trouble = ""
        if figures is before:
            return  # nothing comes
        self.trouble = receiver.drift_reason(figures.legs[0].rate_windows)
        rate = figures.legs[0].rate_windows.rate
        if self.trouble and rate is not None:
            fields: dict[str, Metric] = {"rate_ppb": round(rate.ppb), "sigma_ppb": round(rate.sigma_ppb)}
            self._report("sender_drifts", now_ns, fields)


class NumbersWatch(_Watch):
    """Whether a sender's sequence numbers and timestamps belong together."""

    _before: StreamFigures | None = None

    def check_numbers(self, receiver: StreamReceiver, now_ns: int) -> None:
        """Compare the figures with those of the last check."""
        figures, before = receiver.figures.latest, self._before
        self._before = figures
        self.trouble = ""
        if before is None or before is figures or len(figures.legs) != len(before.legs):
            return
        now, then = figures.legs[0], before.legs[0]
        if now.sender != then.sender:
            return
        self.trouble = why_numbers_differ(
            now.packets_received - then.packets_received,
            figures.packets_lost - before.packets_lost,
            now.packets_duplicate - then.packets_duplicate,
            now.timestamp_jumps - then.timestamp_jumps,
            figures.frames_concealed - before.frames_concealed,
        )
        if self.trouble:
            self._report("numbers_differ", now_ns, {})


class RivalWatch(_Watch):
    """Whether another sender sends to the address of a leg all the time: who is followed and who is ignored."""

    def __init__(self, emit: Emit, label: dict[str, Metric]) -> None:
        super().__init__(emit)
        self._label = label
        self._before = LegFigures()
        self._checks = 0
        """Checks in a row between which both have sent."""

    def check_rivals(self, receiver: StreamReceiver, leg: int, now_ns: int) -> None:
        """Compare the figures with those of the last check."""
        figures, before = receiver.figures.latest.legs[leg], self._before
        self._before = figures
        count = figures.packets_foreign - before.packets_foreign
        both = count >= RIVAL_PACKETS and figures.packets_received - before.packets_received >= RIVAL_PACKETS
        self._checks = self._checks + 1 if both and figures.sender == before.sender else 0
        self.trouble = ""
        if self._checks < 2 or figures.sender is None or figures.rival is None:
            return
        same_host = figures.sender.address == figures.rival.address
        self.trouble = why_rival(str(figures.sender), str(figures.rival), same_host=same_host)
        followed, ignored = str(figures.sender), str(figures.rival)
        fields: dict[str, Metric] = {"followed": followed, "ignored": ignored, "packets": count}
        self._report("rival_sender", now_ns, {**self._label, **fields})
