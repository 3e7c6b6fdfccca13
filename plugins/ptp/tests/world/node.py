"""One machine of the simulated world: an oscillator, an `OrdinaryClock`, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from phasegraph import ClockEstimate, ClockState, StampKind
from phasegraph.ieee1588 import Message, PortIdentity
from phasegraph.testing import Oscillator
from phasegraph_ptp.measurements import Sample
from phasegraph_ptp.protocol import (
    NewMeasurement,
    OrdinaryClock,
    ParentChanged,
    PortEvent,
    PortState,
    SendMessage,
    Settings,
    TimeProperties,
)

if TYPE_CHECKING:
    from .world import World

TAI_NS = 1_795_000_000_000_000_000
S = 1_000_000_000


class Node:
    """A host with one PTP instance. What an estimator would be given goes to ``on_sample`` and ``on_followed``: lists,
    unless a test puts something else there.
    """

    def __init__(
        self,
        world: World,
        settings: Settings,
        *,
        number: int,
        oscillator: Oscillator,
        identity: PortIdentity | None = None,
        local_epoch_ns: int | None = None,
    ) -> None:
        self.world = world
        self.settings = settings
        self.address = f"10.0.0.{number}"
        self.identity = identity or PortIdentity(0x02_00_00_00_00_00_0000 + number, 1)
        self.oscillator = oscillator
        self.local_epoch_ns = number * 1000 * S if local_epoch_ns is None else local_epoch_ns
        self.samples: list[Sample] = []
        self.on_sample: Callable[[Sample], object] = self.samples.append
        self.followed: list[ParentChanged] = []
        self.on_followed: Callable[[ParentChanged], object] = self.followed.append
        self.notices: list[PortEvent] = []
        self.passes: Callable[[Message], bool] = lambda message: True
        """Which of its messages leave it."""
        self.alters: Callable[[Message], Message] = lambda message: message
        """What becomes of those."""
        self.stamps: Callable[[Message], bool] = lambda message: True
        """Which of its event messages get a transmit stamp at all."""
        self.stamp_kind = StampKind.KERNEL
        self.stamp_delay_ns = 50_000
        """How long after its departure a message's transmit stamp comes."""
        self.alive = True
        self.wake = 0
        self.switch_on()

    def switch_on(self) -> None:
        """A new instance, as after a restart."""
        self.alive = True
        random = Random(self.world.random.getrandbits(64))
        self.clock = OrdinaryClock(self.settings, identity=self.identity, now_ns=self.local_ns, random=random)
        self.world.attend(self)

    def switch_off(self) -> None:
        """Gone, without a word."""
        self.alive = False

    def serve(self, *, reference_ns: int | None = None, properties: TimeProperties | None = None) -> None:
        """Tell its own oscillator's time, begun at true time or at ``reference_ns``."""
        reference_ns = TAI_NS + self.world.now_ns if reference_ns is None else reference_ns
        self.told = ClockEstimate(local_ns=self.local_ns, reference_ns=reference_ns, state=ClockState.LOCKED)
        self.clock.serve(self.told, properties or TimeProperties())
        self.world.attend(self)

    @property
    def local_ns(self) -> int:
        """Its counter, now."""
        return self.local_at(self.world.now_ns)

    def local_at(self, true_ns: int) -> int:
        """Its counter at a true time."""
        return self.local_epoch_ns + self.oscillator.elapsed(true_ns)

    def true_at(self, local_ns: int) -> int:
        """The true time of its counter, right to a nanosecond or so."""
        return self.oscillator.true_after(local_ns - self.local_epoch_ns)

    @property
    def state(self) -> PortState:
        """State of its port."""
        return self.clock.state

    @property
    def parent(self) -> PortIdentity:
        """Whom it follows, or itself."""
        return self.clock.data.parent.port

    def told_names(self) -> list[str]:
        """What its operator was told, in order."""
        return [notice.name for notice in self.notices]

    def notice(self, name: str) -> PortEvent:
        """The last one of this name."""
        return [notice for notice in self.notices if notice.name == name][-1]

    def obey(self) -> None:
        """Carry out what its instance wants done."""
        for action in self.clock.actions():
            match action:
                case SendMessage():
                    self.world.send(self, action)
                case NewMeasurement():
                    self.on_sample(action.sample)
                case ParentChanged():
                    self.on_followed(action)
                case PortEvent():
                    self.notices.append(action)
