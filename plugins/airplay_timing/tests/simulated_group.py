"""A simulated AirPlay group with known truth: leaders that behave like HomePods and phones, and one follower of ours.

For tests and the benchmark. No sockets and no real time: a list of events, as fast as they can be worked off, the
same for the same seed. The leaders do not share code with the plugin's own leader.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol

import msgspec

from phasegraph import ClockEstimate, ClockState
from phasegraph.ieee1588 import Announce, DelayReq, Message, PortIdentity, encode, format_clock_identity
from phasegraph.testing import Oscillator, SimLocalClock
from phasegraph_airplay_timing.engine import (
    LeaderChanged,
    LeaderClock,
    PtpEngine,
    SampleTaken,
    SendDatagram,
    TimingPeer,
    TimingRole,
)
from phasegraph_airplay_timing.filters import FILTERS, SPARES
from phasegraph_airplay_timing.wire import apple, compose
from phasegraph_airplay_timing.wire.compose import AnnouncedDataset

MS = 1_000_000
S = 1_000_000_000
SWING_NS = 3_600 * S
RESENT_NS = 5 * MS
_TICK_NS = 50 * MS


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """One direction between a leader and the follower. Packets of an address keep their order."""

    delay_ns: int = 200_000
    jitter_ns: int = 0
    """Mean of an exponential delay on top."""
    loss: float = 0.0
    resent: float = 0.0
    """Share of packets that the radio sends again, with further waits of `RESENT_NS` on average."""

    def take(self, random: Random) -> int | None:
        """How long a packet takes; None if it gets lost."""
        if random.random() < self.loss:
            return None
        jitter_ns = round(random.expovariate(1 / self.jitter_ns)) if self.jitter_ns else 0
        if self.resent and random.random() < self.resent:
            jitter_ns += round(random.expovariate(1 / RESENT_NS))
        return self.delay_ns + jitter_ns


class World(Protocol):
    """Where a simulated leader lives."""

    now_ns: int
    """True time."""
    random: Random

    def after(self, delay_ns: int, do: Callable[[], None]) -> None:
        """Have something done after a while."""

    def every(self, interval_ns: int, do: Callable[[], None]) -> None:
        """Have something done again and again, from now on."""

    def to_follower(self, leader: SimLeader, message: Message) -> None:
        """A leader sends something."""


class SimLeader:
    """A device that leads: Sync eight times a second, in bursts of four that stop unless somebody answers."""

    def __init__(
        self,
        clock: int,
        address: str,
        *,
        epoch_ns: int,
        ppm: float = 0.0,
        swing_ppm: float = 0.0,
        priority1: int = 248,
        corrections: tuple[int, int] = (MS // 10, 110 * MS),
        gap_ns: tuple[int, int] = (MS // 10, 2 * MS),
        answer_ns: tuple[int, int] = (MS // 10, MS),
        answers: bool = True,
    ) -> None:
        """``epoch_ns`` is what its clock shows at true time 0; ``gap_ns`` how long its Follow_Ups come after Syncs,
        and ``answer_ns`` its answers after questions.

        By ``swing_ppm`` its rate goes up and down about ``ppm`` in an hour, as the temperature does.
        """
        self.address = address
        self.name = format_clock_identity(clock)
        self.data = AnnouncedDataset(priority1=priority1, accuracy=0x21, priority2=239, grandmaster=clock)
        self.epoch_ns = epoch_ns
        self.answers = answers
        self.present = True
        self.sequence = 0
        self._clock = clock
        self._oscillator = Oscillator(ppm=ppm, swing_ppm=swing_ppm, swing_period_ns=SWING_NS)
        self._corrections = corrections
        self._gap_ns, self._answer_ns = gap_ns, answer_ns
        self._left = 4
        self._deep = False
        self._asleep_ns = 0

    def time_ns(self, true_ns: int) -> int:
        """What its clock shows."""
        return self.epoch_ns + self._oscillator.elapsed(true_ns)

    def sleep(self) -> None:
        """Cease to send Syncs, and to answer, until an Announce wakes it."""
        self._left, self._deep = 0, True

    def start(self, world: World) -> None:
        """Begin to send."""
        world.every(250 * MS, lambda: self._announce(world))
        world.every(125 * MS, lambda: self._sync(world))

    def receive(self, message: Message, world: World) -> None:
        """Something came from the follower."""
        if not self.present:
            return
        if isinstance(message, Announce) and message.priority1 < self.data.priority1:
            self._left, self._deep = 4, False
        if isinstance(message, DelayReq) and not self._deep:
            self._left = 4
            if self.answers:
                correction = self._correction(world)
                reached_ns = self.time_ns(world.now_ns) - correction
                answer = compose.delay_resp(PortIdentity(self._clock, 0x8010), message, reached_ns)
                answer = msgspec.structs.replace(answer, correction=correction << 16)
                world.after(world.random.randint(*self._answer_ns), lambda: world.to_follower(self, answer))

    def _correction(self, world: World) -> int:
        return world.random.randint(*self._corrections)

    def _announce(self, world: World) -> None:
        if self.present:
            world.to_follower(self, compose.announce(PortIdentity(self._clock, 0x8005), self.sequence, self.data))

    def _sync(self, world: World) -> None:
        if not self.present:
            return
        if self._left == 0:
            # A burst every five seconds, if nothing wakes it.
            self._asleep_ns += 125 * MS
            if self._deep or self._asleep_ns < 5 * S:
                return
            self._left, self._asleep_ns = 4, 0
        self._left -= 1
        self.sequence = (self.sequence + 1) % 2**16
        sequence, port = self.sequence, PortIdentity(self._clock, 0x800C)
        correction = self._correction(world)
        origin_ns = self.time_ns(world.now_ns) - correction
        follow_up = compose.follow_up(port, sequence, origin_ns)
        world.to_follower(self, compose.sync(PortIdentity(self._clock, 0x8005), sequence))
        late = msgspec.structs.replace(follow_up, correction=correction << 16)
        world.after(world.random.randint(*self._gap_ns), lambda: world.to_follower(self, late))


class Look(msgspec.Struct, frozen=True):
    """What a filter's clock said at a true time, and what it should have said."""

    true_ns: int
    estimate: ClockEstimate
    error_ns: int | None
    """None as long as no known leader is followed."""


class SimGroup:
    """One follower of ours, with every filter at once, and its leaders. `run` goes on."""

    def __init__(
        self,
        leaders: Iterable[SimLeader],
        *,
        here: Path,
        there: Path,
        ppm: float = 0.0,
        seed: int = 1,
        role: TimingRole = TimingRole.FOLLOW,
        filters: Iterable[str] = tuple(FILTERS),
    ) -> None:
        """``here`` is the way from the leaders to the follower; ``ppm`` is by how much local time runs fast."""
        self.random = Random(seed)
        self.now_ns = 0
        self.leaders = {leader.address: leader for leader in leaders}
        self.looks: dict[str, list[Look]] = {name: [] for name in filters}
        self.here, self.there = here, there
        self.notices: list[str] = []
        self.followed: list[str] = []
        self._local = SimLocalClock(ppm=ppm, epoch_ns=7_000 * S)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._last: dict[str, int] = {}
        peers = [TimingPeer(address, 319, 320) for address in self.leaders]
        spares = max(SPARES[name] for name in self.looks)
        self.engine = PtpEngine(role, 0x02AA_BBCC_DDEE_0008, peers, self.local_ns(), spares=spares)
        self.trackers = {
            name: LeaderClock(FILTERS[name], silence_ns=2 * S, now_ns=self.local_ns()) for name in self.looks
        }
        for leader in self.leaders.values():
            leader.start(self)
        self.every(_TICK_NS, self._tick)

    def local_ns(self, true_ns: int | None = None) -> int:
        """Local time of the follower."""
        return self._local.at(self.now_ns if true_ns is None else true_ns)

    def after(self, delay_ns: int, do: Callable[[], None]) -> None:
        """Have something done after a while."""
        heapq.heappush(self._events, (self.now_ns + delay_ns, next(self._order), do))

    def every(self, interval_ns: int, do: Callable[[], None]) -> None:
        """Have something done again and again, from now on."""

        def again() -> None:
            do()
            self.after(interval_ns, again)

        self.after(self.random.randrange(interval_ns), again)

    def run(self, seconds: float) -> None:
        """Let so much true time pass."""
        end_ns = self.now_ns + round(seconds * 1e9)
        while self._events and self._events[0][0] <= end_ns:
            self.now_ns, _, do = heapq.heappop(self._events)
            do()
        self.now_ns = end_ns

    def to_follower(self, leader: SimLeader, message: Message) -> None:
        """A leader sends something."""
        self.inject(encode(message), (leader.address, 461))

    def inject(self, data: bytes, source: tuple[str, int]) -> None:
        """Somebody sends something to the follower."""
        delay_ns = self.here.take(self.random)
        if delay_ns is not None:
            arrival_ns = max(self.now_ns + delay_ns, self._last.get(source[0], 0) + 1)
            self._last[source[0]] = arrival_ns
            self.after(arrival_ns - self.now_ns, lambda: self._receive(data, source))

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        self.engine.receive(data, source, self.local_ns(), self.local_ns())
        self._act()

    def _tick(self) -> None:
        now = self.local_ns()
        if self.engine.deadline_ns <= now:
            self.engine.tick(now)
        self._act()
        for name, tracker in self.trackers.items():
            estimate = tracker.publish(now)
            leader = next((each for each in self.leaders.values() if each.name == estimate.grandmaster), None)
            truth = None if leader is None else leader.time_ns(self.now_ns)
            error = None if truth is None else estimate.reference_at(now) - truth
            self.looks[name].append(Look(self.now_ns, estimate, error))

    def _act(self) -> None:
        for action in self.engine.actions():
            match action:
                case SendDatagram():
                    self._send(action)
                case SampleTaken(sample):
                    for tracker in self.trackers.values():
                        tracker.add_sample(sample)
                case LeaderChanged(leader, own):
                    self.followed.append(leader)
                    for tracker in self.trackers.values():
                        tracker.set_leader(leader, own=own)
                case _:
                    self.notices.append(action.name)

    def _send(self, action: SendDatagram) -> None:
        token, sent_ns = action.token, self.local_ns()
        leader = self.leaders.get(action.destination[0])
        delay_ns = self.there.take(self.random)
        if leader is not None and delay_ns is not None:
            message = apple.decode(action.data)
            self.after(delay_ns, lambda: leader.receive(message, self))
        if token is not None:
            self.after(0, lambda: self._departed(token, sent_ns))

    def _departed(self, token: int, sent_ns: int) -> None:
        self.engine.departed(token, sent_ns)
        self._act()


class SimRooms:
    """Followers in several rooms, each with a path and an oscillator of its own, and the one leader of them all."""

    PPM = (18.0, -25.0, 7.0, 40.0, -3.0, -14.0)

    def __init__(self, path: Path, *, count: int = 6, seed: int = 1) -> None:
        self._path = path
        self._seed = seed
        self._restarts = 0
        self.rooms = [self._room(number) for number in range(count)]
        self.began_ns = [0] * count
        """True time of the start of each room's follower."""

    def _room(self, number: int) -> SimGroup:
        leader = SimLeader(0x0499_B9B7_E0F1_0008, "10.0.0.1", epoch_ns=1_173_601 * S, ppm=-12.0)
        seed = self._seed * 10_000 + self._restarts * 100 + number
        ppm = self.PPM[number % len(self.PPM)]
        return SimGroup([leader], here=self._path, there=self._path, ppm=ppm, seed=seed, filters=("envelope",))

    def restart(self, number: int) -> None:
        """A room's follower begins again without what it knew. Its leader's epoch stays."""
        self._restarts += 1
        now_ns = self.began_ns[number] + self.rooms[number].now_ns
        self.rooms[number] = room = self._room(number)
        for leader in room.leaders.values():
            leader.epoch_ns = leader.time_ns(now_ns)
        self.began_ns[number] = now_ns

    def run(self, seconds: float) -> None:
        """Let so much true time pass in all rooms."""
        for room in self.rooms:
            room.run(seconds)

    def error_ns(self, number: int) -> int | None:
        """The error of a room's clock now; None while it has none."""
        room = self.rooms[number]
        estimate = room.trackers["envelope"].estimate
        (leader,) = room.leaders.values()
        if not estimate.grandmaster:
            return None
        return estimate.reference_at(room.local_ns()) - leader.time_ns(room.now_ns)

    def locked(self, number: int) -> bool:
        """Whether a room's clock is locked now."""
        return self.rooms[number].trackers["envelope"].estimate.state is ClockState.LOCKED
