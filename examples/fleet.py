"""A fleet that shares one time, in virtual time: what it costs to simulate, and how well its nodes agree.

    python examples/fleet.py [--nodes 100] [--minutes 60] [--seed 1]

Every node is a machine with a crystal of its own, the protocol engine and the estimator of the ``ptp`` clock; a switch
carries the messages, with jitter. One node is the grandmaster, one is its spare. Of an hour, the grandmaster is silent
for ten minutes; a tenth of the nodes lose their network for three; eleven nodes restart, one every five minutes; the
switch is congested for two. Shorter runs have the same failures, shorter. Once a second each node's estimate is
compared with the time that the acting grandmaster tells. The nodes agree if one time lies within the bounds of all.
Exits with 1 if a node was outside its own bound, or if nodes disagreed.

Deterministic from the seed, apart from the CPU time.
"""

from __future__ import annotations

import argparse
import heapq
import math
import sys
import time
from collections.abc import Callable
from random import Random

import msgspec

from phasegraph import NS_PER_S, ClockEstimate, ClockState, StampKind
from phasegraph.ieee1588 import DelayReq, DelayResp, Message, PortIdentity
from phasegraph.testing import Oscillator
from phasegraph_ptp.estimators import make_estimator
from phasegraph_ptp.protocol import (
    NewMeasurement,
    OrdinaryClock,
    ParentChanged,
    PortRole,
    PortState,
    SendMessage,
    Settings,
    TimeProperties,
)

TAI_NS = 1_795_000_000_000_000_000
JITTER_NS, CONGESTED_NS = 2_000, 100_000
FEWEST = 15
"""Nodes: a grandmaster, a spare, and those that fail."""
RHYTHM = Settings(log_announce_interval=1, log_sync_interval=1, log_min_delay_req_interval=2)
"""A Sync every 2 s and a Delay_Req every 4 s."""
GRANDMASTER = msgspec.structs.replace(RHYTHM, role=PortRole.GRANDMASTER, priority1=100)
SPARE = msgspec.structs.replace(RHYTHM, role=PortRole.ORDINARY, priority1=120)
FOLLOWER = msgspec.structs.replace(RHYTHM, role=PortRole.FOLLOWER)


class Machine:
    """One node: a crystal, a port, an estimator."""

    def __init__(self, fleet: Fleet, number: int, settings: Settings) -> None:
        random = fleet.random
        self.fleet, self.settings = fleet, settings
        self.address = f"10.0.{number >> 8}.{number & 255}"
        self.identity = PortIdentity(0x02_00_00_00_00_00_0000 + number, 1)
        self.delay_ns = random.randrange(5_000, 50_000)
        """Between this node and the switch."""
        self.crystal = Oscillator(
            ppm=random.uniform(-50, 50), swing_ppm=random.uniform(0, 0.5), swing_period_ns=3600 * NS_PER_S
        )
        self.epoch_ns = number * 1000 * NS_PER_S
        self.connected = True
        self.wake = 0
        self.start()

    def start(self) -> None:
        """A new instance, as after a restart."""
        now_ns = self.local_ns
        self.estimator = make_estimator()
        self.clock = OrdinaryClock(self.settings, identity=self.identity, now_ns=now_ns, random=self.fleet.random)
        self.since_ns = self.fleet.now_ns
        self.leads = False
        self.due_ns = 0
        if self.settings.role is PortRole.GRANDMASTER:
            told = ClockEstimate(
                local_ns=now_ns,
                reference_ns=self.fleet.reference_ns(),
                rate_ppb=-1e9 * self.crystal.rate_ppb(self.fleet.now_ns) / (1e9 + self.crystal.rate_ppb(0)),
                state=ClockState.LOCKED,
            )
            self.serve(told)
        self.attend()

    def serve(self, told: ClockEstimate) -> None:
        """Tell a time, as far as this node is the master."""
        self.told = told
        self.clock.serve(told, TimeProperties())

    @property
    def local_ns(self) -> int:
        """Its counter, now."""
        return self.epoch_ns + self.crystal.elapsed(self.fleet.now_ns)

    def estimate(self) -> ClockEstimate:
        """Its clock, now."""
        return self.told if self.clock.state is PortState.MASTER else self.estimator.estimate(self.local_ns)

    def attend(self) -> None:
        """Carry out what its port wants done, and wake it when it wants to be."""
        for action in self.clock.actions():
            match action:
                case SendMessage(message=message, token=token, destination=destination):
                    self.fleet.carry(self, message, destination)
                    if token is not None:
                        self.clock.message_departed(token, self.local_ns, StampKind.HARDWARE)
                        self.fleet.at(self.fleet.now_ns, self.attend)
                case NewMeasurement(sample):
                    self.estimator.add_sample(sample)
                case ParentChanged(_, same_timescale):
                    self.estimator.reference_changed(self.local_ns, same_timescale=same_timescale)
        self._take_over()
        deadline_ns = self.clock.deadline_ns
        if deadline_ns >= 1 << 62 or deadline_ns == self.due_ns:
            return
        self.due_ns = deadline_ns
        self.wake += 1
        number = self.wake

        def wake() -> None:
            if self.wake == number:
                self.due_ns = 0
                self.clock.tick(self.local_ns)
                self.attend()

        due_ns = self.crystal.true_after(deadline_ns - self.epoch_ns) + 1
        self.fleet.at(max(self.fleet.now_ns, due_ns), wake)

    def hear(self, message: Message, source: str, unicast: bool) -> None:
        """A message arrives."""
        if self.connected:
            self.clock.handle_message(
                message, source=source, unicast=unicast, local_ns=self.local_ns, stamp=StampKind.HARDWARE
            )
            self.attend()

    def _take_over(self) -> None:
        # A spare goes on with the time that it followed, at the rate that it has measured.
        led, self.leads = self.leads, self.clock.state in (PortState.PRE_MASTER, PortState.MASTER)
        if self.leads and not led and self.settings.role is PortRole.ORDINARY:
            self.serve(self.estimator.estimate(self.local_ns))


class Fleet:
    """True time, a switch, and the machines at it."""

    def __init__(self, nodes: int, seed: int) -> None:
        self.now_ns = 0
        self.random = Random(seed)
        self.jitter_ns = JITTER_NS
        self.messages = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.machines: list[Machine] = []
        for number in range(1, nodes + 1):
            settings = GRANDMASTER if number == 1 else SPARE if number == 2 else FOLLOWER
            self.machines.append(Machine(self, number, settings))
        self._by_identity = {machine.identity: machine for machine in self.machines}

    def reference_ns(self) -> int:
        """TAI, as the first grandmaster tells it."""
        return TAI_NS + self.now_ns

    def at(self, true_ns: int, action: Callable[[], None]) -> None:
        """Have something happen."""
        self._count += 1
        heapq.heappush(self._events, (true_ns, self._count, action))

    def run(self, until_ns: int) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until_ns:
            self.now_ns, _, action = heapq.heappop(events)
            action()
        self.now_ns = until_ns

    def carry(self, source: Machine, message: Message, destination: object) -> None:
        """A message crosses the switch. What every other port would drop unread is given to the one that uses it."""
        if not source.connected:
            return
        unicast = isinstance(destination, str)
        if isinstance(message, DelayReq):
            to = [machine for machine in self.machines if machine.clock.state is PortState.MASTER]
        elif isinstance(message, DelayResp):
            to = [self._by_identity[message.requesting]]
        else:
            to = self.machines
        for machine in to:
            if machine is source or (unicast and machine.address != destination):
                continue
            self.messages += 1
            delay_ns = source.delay_ns + machine.delay_ns + int(self.random.random() * self.jitter_ns)
            self.at(self.now_ns + delay_ns, self._arrival(machine, message, source.address, unicast))

    @staticmethod
    def _arrival(machine: Machine, message: Message, source: str, unicast: bool) -> Callable[[], None]:
        return lambda: machine.hear(message, source, unicast)

    def acting(self) -> Machine | None:
        """The grandmaster that is heard; None between two, and while there are two."""
        masters = [each for each in self.machines if each.connected and each.clock.state is PortState.MASTER]
        return masters[0] if len(masters) == 1 else None


class Agreement:
    """How far the nodes are from the acting grandmaster, and from each other."""

    def __init__(self) -> None:
        self.compared = self.outside = self.seconds = self.disagreed = 0
        self.errors_ns: list[float] = []
        """Of locked nodes."""
        self.apart_ns: list[float] = []
        """Between the two locked nodes that are farthest apart."""

    def compare(self, fleet: Fleet) -> None:
        """Compare all followers that know the time with the grandmaster, and with each other."""
        acting = fleet.acting()
        if acting is None:
            return
        truth_ns = acting.told.reference_at(acting.local_ns)
        earliest, latest, errors = -math.inf, math.inf, []
        for machine in fleet.machines:
            estimate = machine.estimate()
            if machine is acting or estimate.state in (ClockState.UNLOCKED, ClockState.ACQUIRING):
                continue
            error = estimate.reference_at(machine.local_ns) - truth_ns
            self.compared += 1
            self.outside += abs(error) > estimate.bound_ns
            earliest, latest = max(earliest, error - estimate.bound_ns), min(latest, error + estimate.bound_ns)
            if estimate.state is ClockState.LOCKED:
                errors.append(error)
        self.seconds += 1
        self.disagreed += earliest > latest
        self.errors_ns += map(abs, errors)
        if len(errors) > 1:
            self.apart_ns.append(max(errors) - min(errors))

    def figures(self) -> dict[str, int | float]:
        """What was found. Times in ns; of no locked node there is no figure."""
        found: dict[str, int | float] = {
            "seconds_compared": self.seconds,
            "estimates": self.compared,
            "locked_percent": round(100 * len(self.errors_ns) / max(1, self.compared), 2),
            "outside_bound": self.outside,
            "seconds_disagreed": self.disagreed,
        }
        for name, values in (("error", self.errors_ns), ("farthest_apart", self.apart_ns)):
            ranked = sorted(values)
            for label, share in (("median", 0.5), ("p99", 0.99), ("max", 1.0)):
                if ranked:
                    found[f"{name}_{label}_ns"] = round(ranked[min(len(ranked) - 1, math.floor(share * len(ranked)))])
        return found


def failures(fleet: Fleet, seconds: int) -> None:
    """What goes wrong, and when."""

    def after(share: float, action: Callable[[], None], more_s: float = 0.0) -> None:
        fleet.at(round((share * seconds + more_s) * NS_PER_S), action)

    def connect(machines: list[Machine], connected: bool) -> None:
        for machine in machines:
            machine.connected = connected

    grandmaster, some = fleet.machines[0], fleet.machines[2 : 2 + len(fleet.machines) // 10]
    after(0.25, lambda: connect([grandmaster], False))
    after(0.25, lambda: connect([grandmaster], True), seconds / 6)
    after(0.60, lambda: connect(some, False))
    after(0.60, lambda: connect(some, True), seconds / 20)
    after(0.80, lambda: setattr(fleet, "jitter_ns", CONGESTED_NS))
    after(0.80, lambda: setattr(fleet, "jitter_ns", JITTER_NS), seconds / 30)
    for number in range(1, 12):
        after(number / 12, fleet.machines[-number].start)


def simulate(nodes: int, seconds: int, seed: int) -> tuple[Fleet, Agreement]:
    """A fleet, and how well it agreed."""
    fleet, agreement = Fleet(nodes, seed), Agreement()
    failures(fleet, seconds)
    for second in range(1, seconds + 1):
        fleet.run(second * NS_PER_S)
        agreement.compare(fleet)
    return fleet, agreement


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100, help="machines, the grandmaster included; 15 or more (100)")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the run (60)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.nodes < FEWEST or options.minutes < 1:
        parser.error(f"need --nodes of {FEWEST} or more and --minutes of 1 or more")
    began_s, seconds = time.process_time(), round(options.minutes * 60)
    fleet, agreement = simulate(options.nodes, seconds, options.seed)
    cpu_s = time.process_time() - began_s
    figures = {"cpu_s": round(cpu_s, 1), "messages": fleet.messages, **agreement.figures()}
    for name, value in figures.items():
        print(f"{name:26} {value}")
    return int(agreement.outside > 0 or agreement.disagreed > 0 or not agreement.compared)


if __name__ == "__main__":
    sys.exit(main())
