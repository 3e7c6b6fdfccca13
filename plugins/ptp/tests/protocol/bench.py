"""One `OrdinaryClock` on a bench: fed by hand, at times that the test says."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from phasegraph import ClockEstimate, StampKind
from phasegraph.ieee1588 import Announce, DelayResp, Flag, FollowUp, Message, MessageType, PortIdentity, Sync
from phasegraph_ptp.measurements import Sample
from phasegraph_ptp.protocol import (
    NewMeasurement,
    OrdinaryClock,
    ParentChanged,
    PortEvent,
    SendMessage,
    Settings,
    TimeProperties,
)

MS = 1_000_000
S = 1_000_000_000
US = PortIdentity(0x02_00_00_00_00_00_00_01, 1)
GM = PortIdentity(0x02_00_00_00_00_00_00_AA, 1)
OTHER = PortIdentity(0x02_00_00_00_00_00_00_BB, 1)
GM_ADDRESS = "10.0.0.170"
ESTIMATE = ClockEstimate(local_ns=0, reference_ns=1_795_000_000 * S)


def announce(source: PortIdentity = GM, **fields: Any) -> Announce:
    """An Announce of a grandmaster with the default attributes, every second."""
    values: dict[str, Any] = {
        "sequence": 0,
        "log_interval": 0,
        "flags": Flag.PTP_TIMESCALE,
        "utc_offset_s": 37,
        "priority1": 128,
        "clock_class": 248,
        "clock_accuracy": 0xFE,
        "clock_variance": 0xFFFF,
        "priority2": 128,
        "grandmaster": source.clock,
        "steps_removed": 0,
        "time_source": 0xA0,
    }
    return Announce(source=source, **(values | fields))


class Bench:
    """The clock, what it was last asked to do, and all that it has ever measured and told."""

    def __init__(self, settings: Settings | None = None, *, serving: bool = False, seed: int = 1) -> None:
        self.now_ns = 0
        self.clock = OrdinaryClock(settings or Settings(), identity=US, now_ns=0, random=Random(seed), place="eth0")
        self.sent: list[SendMessage] = []
        self.samples: list[Sample] = []
        self.followed: list[ParentChanged] = []
        self.notices: list[PortEvent] = []
        self.stamping = True
        """Whether transmit stamps come; the tokens of those that do not are in ``unstamped``."""
        self.unstamped: list[int] = []
        self.answers: Callable[[SendMessage], bool] = lambda send: False
        """Which of our Delay_Reqs the grandmaster answers, at once."""
        self.answer: dict[str, Any] = {}
        """What it answers, where that is not the usual."""
        if serving:
            self.clock.serve(ESTIMATE, TimeProperties())
        self._obey()

    def at(self, now_ns: int) -> None:
        """Let time pass up to ``now_ns``: the clock ticks whenever it wants to, and its packets leave at once."""
        while self.clock.deadline_ns <= now_ns:
            self.now_ns = max(self.now_ns, self.clock.deadline_ns)
            self.clock.tick(self.now_ns)
            self._obey()
        self.now_ns = now_ns

    def receive(
        self, message: Message, *, source: str = GM_ADDRESS, unicast: bool = False, at_ns: int | None = None
    ) -> None:
        """A message comes in, now."""
        local_ns = self.now_ns if at_ns is None else at_ns
        self.clock.handle_message(message, source=source, unicast=unicast, local_ns=local_ns, stamp=StampKind.KERNEL)
        self._obey()

    def announced(self, source: PortIdentity = GM, **fields: Any) -> None:
        """Two Announces, a second apart, the second one now: enough to be chosen."""
        self.receive(announce(source, sequence=1, **fields), at_ns=self.now_ns - S)
        self.receive(announce(source, sequence=2, **fields))

    def synced(self, sequence: int, *, correction: int = 0, source: PortIdentity = GM) -> None:
        """A two-step Sync and its Follow_Up, from a grandmaster whose time is ours."""
        sync = Sync(source=source, sequence=sequence, flags=Flag.TWO_STEP, log_interval=-3)
        self.receive(sync)
        self.receive(FollowUp(source=source, sequence=sequence, precise_origin_ns=self.now_ns, correction=correction))

    def delay_resp(self, send: SendMessage, **fields: Any) -> DelayResp:
        """What the grandmaster answers to a Delay_Req that we sent."""
        values: dict[str, Any] = {"source": GM, "requesting": US, "receive_ns": self.now_ns, "log_interval": 0}
        return DelayResp(sequence=send.message.sequence, **(values | fields))

    def carry_on(self, seconds: float) -> None:
        """Time passes, with eight Syncs a second."""
        for step in range(round(seconds * 8)):
            self.at(self.now_ns + S // 8)
            self.synced((self.now_ns // (S // 8) + step) & 0xFFFF)

    def stamp(self, local_ns: int, kind: StampKind = StampKind.KERNEL) -> None:
        """The transmit stamps of all that was sent come now."""
        tokens, self.unstamped = self.unstamped, []
        for token in tokens:
            self.clock.message_departed(token, local_ns, kind)
        self._obey()

    def last(self, kind: MessageType) -> SendMessage:
        """The last message of a type that we sent."""
        return self.all(kind)[-1]

    def all(self, kind: MessageType) -> list[SendMessage]:
        """All messages of a type that we sent."""
        return [send for send in self.sent if send.message.type is kind]

    def dropped(self, reason: str) -> int:
        """How many were dropped for it."""
        return self.clock.counters.get(f"dropped_{reason}", 0)

    def told(self, name: str) -> list[PortEvent]:
        """What the operator was told under a name."""
        return [notice for notice in self.notices if notice.name == name]

    def _obey(self) -> None:
        for action in self.clock.actions():
            match action:
                case SendMessage():
                    self.sent.append(action)
                    if action.token is not None:
                        self.unstamped.append(action.token)
                    if action.message.type is MessageType.DELAY_REQ and self.answers(action):
                        self.receive(self.delay_resp(action, **self.answer))
                case NewMeasurement():
                    self.samples.append(action.sample)
                case ParentChanged():
                    self.followed.append(action)
                case PortEvent():
                    self.notices.append(action)
        if self.stamping and self.unstamped:
            self.stamp(self.now_ns)
