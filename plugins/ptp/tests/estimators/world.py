"""A follower's view of a grandmaster, with known truth: true time is the first grandmaster's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from phasegraph import StampKind
from phasegraph_ptp.measurements import DelaySample, PeerDelaySample, Sample, SyncSample

from .links import Array, Path

EPOCH_NS = 1_795_316_000_000_000_000
BOOT_NS = 12_345_678_901_234
STAMP_SD_NS = 30.0
_GRID_S = 0.05


@dataclass(frozen=True)
class Oscillator:
    """How the local clock's rate behaves."""

    ppm: float = 18.0
    wander_ppb: float = 1.0
    """Random walk, in a square root of a second."""
    swing_ppm: float = 0.3
    """Of the temperature: its peak."""
    period_s: float = 900.0

    def gain_ns(self, random: np.random.Generator, seconds: float) -> tuple[Array, Array]:
        """Times on a grid, and how far it is ahead then; both in ns."""
        at = np.arange(int(seconds / _GRID_S) + 100) * _GRID_S
        walk = np.cumsum(random.normal(0, self.wander_ppb * math.sqrt(_GRID_S), len(at)))
        swing = 1e3 * self.swing_ppm * np.sin(2 * np.pi * at / self.period_s + random.uniform(0, 2 * np.pi))
        rate = 1e3 * self.ppm + walk + swing
        return at * 1e9, np.concatenate([[0.0], np.cumsum((rate[:-1] + rate[1:]) / 2 * _GRID_S)])


OSCILLATORS = {
    "ordinary": Oscillator(),
    "good": Oscillator(ppm=-7.0, wander_ppb=0.1, swing_ppm=0.02, period_s=3600.0),
    "bad": Oscillator(ppm=45.0, wander_ppb=10.0, swing_ppm=1.0, period_s=300.0),
}


@dataclass(frozen=True)
class Change:
    """Another grandmaster takes over, or the one there is jumps without a word."""

    at_s: float
    ahead_ns: int = 0
    """How far its time is ahead of the one before."""
    told: bool = True
    """Whether the estimator is told."""
    same_timescale: bool = True


@dataclass(frozen=True)
class World:
    """What is to be simulated."""

    path: Path
    oscillator: Oscillator = field(default_factory=Oscillator)
    seed: int = 1
    seconds: float = 300.0
    sync_s: float = 0.125
    delay_s: float = 0.125
    peer: bool = False
    """Peer delays instead of Delay_Reqs."""
    silences: tuple[tuple[float, float], ...] = ()
    """From when to when nothing is heard, in s."""
    one_way: tuple[tuple[float, float], ...] = ()
    """From when to when no delay is told, in s."""
    changes: tuple[Change, ...] = ()

    def play(self) -> Play:
        """Draw the packets."""
        return Play(self)


class Play:
    """The packets of a world, and its truth."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sync_s = world.sync_s
        self.asymmetry_ns = world.path.asymmetry_ns
        random = np.random.default_rng(world.seed)
        self._grid, self._gain = world.oscillator.gain_ns(random, world.seconds)
        interval = world.sync_s * 1e9
        sent = (np.arange(int(world.seconds / world.sync_s)) + 0.3) * interval
        asked = 1e9 * world.delay_s * np.cumsum(random.uniform(0, 2, int(world.seconds / world.delay_s)))
        sent, asked = self._heard(random, sent), self._heard(random, asked + interval)
        asked = asked[asked < (world.seconds - 1) * 1e9]
        for begin, end in world.one_way:
            asked = asked[(asked < begin * 1e9) | (asked > end * 1e9)]
        there, back = world.path.there(random, sent), world.path.back(random, asked)
        arrived = sent + there
        order = np.argsort(arrived)
        syncs = self._samples(random, arrived[order], sent[order])
        self.events: list[tuple[float, Sample | Change]] = [
            (at, SyncSample(reference_ns=reference, local_ns=local, interval_ns=round(interval)))
            for at, local, reference in syncs
        ]
        if world.peer:
            forth = world.path.there(random, asked)
            self.events += [
                (float(at), PeerDelaySample(local_ns=self.local_ns(at), delay_ns=float(a + b) / 2))
                for at, a, b in zip(asked + forth + back, forth, back, strict=True)
            ]
        else:
            self.events += [
                (at + 3e5, DelaySample(local_ns=local, reference_ns=reference))
                for at, local, reference in self._samples(random, asked, asked + back, known=asked + 2 * back)
            ]
        self.events += [(change.at_s * 1e9, change) for change in world.changes]
        self.events.sort(key=lambda event: event[0])

    def local_ns(self, true_ns: float) -> int:
        """The local clock at a true time."""
        return BOOT_NS + round(true_ns + float(np.interp(true_ns, self._grid, self._gain)))

    def reference_ns(self, true_ns: float, changes: int) -> int:
        """The time of the reference after a number of changes."""
        return EPOCH_NS + round(true_ns) + sum(change.ahead_ns for change in self._world.changes[:changes])

    def _heard(self, random: np.random.Generator, at: Array) -> Array:
        at = at[random.random(len(at)) >= self._world.path.loss]
        for begin, end in self._world.silences:
            at = at[(at < begin * 1e9) | (at > end * 1e9)]
        return at

    def _samples(
        self, random: np.random.Generator, local: Array, reference: Array, known: Array | None = None
    ) -> Iterator[tuple[float, int, int]]:
        noise = random.normal(0, STAMP_SD_NS, len(local))
        stamps = local + np.interp(local, self._grid, self._gain) + noise
        ahead = np.zeros(len(reference))
        for change in self._world.changes:
            ahead += np.where(reference >= change.at_s * 1e9, change.ahead_ns, 0.0)
        when = local if known is None else known
        for at, stamp, true, more in zip(when, stamps, reference, ahead, strict=True):
            yield float(at), BOOT_NS + round(float(stamp)), EPOCH_NS + round(float(true)) + round(float(more))


def with_stamp(sample: Sample, stamp: StampKind, late_ns: int = 0) -> Sample:
    """The sample as another kind of stamp would have made it, late on our side."""
    if isinstance(sample, PeerDelaySample):
        return PeerDelaySample(local_ns=sample.local_ns, delay_ns=sample.delay_ns + late_ns / 2, stamp=stamp)
    if isinstance(sample, SyncSample):
        return SyncSample(
            reference_ns=sample.reference_ns,
            local_ns=sample.local_ns + late_ns,
            interval_ns=sample.interval_ns,
            stamp=stamp,
        )
    return DelaySample(local_ns=sample.local_ns + late_ns, reference_ns=sample.reference_ns, stamp=stamp)
