"""Receivers and senders of the field, as their makers built them, on the simulated wire, without code of ours."""

from __future__ import annotations

import trio

from phasegraph.ieee1588 import (
    Announce,
    CancelUnicast,
    DelayReq,
    DelayResp,
    FollowUp,
    GrantUnicast,
    Message,
    MessageType,
    PortIdentity,
    RequestUnicast,
    Signaling,
    Sync,
    encode,
    understand,
)
from phasegraph.net import Arrival
from phasegraph.testing import SimLocalClock, SimNetwork, SimStampedSocket, SimWire
from phasegraph_airplay_timing.wire import apple, compose
from phasegraph_airplay_timing.wire.compose import AnnouncedDataset

S = 10**9
LOCK_NS = 2_300_000_000
"""A receiver accepts an anchor when it has exchanged messages for this long."""
NEGOTIATED = (MessageType.ANNOUNCE, MessageType.SYNC, MessageType.DELAY_RESP)


class SimReceiver:
    """A receiver that follows: it asks for the delay, end to end, at each Sync. This is what nearly all do."""

    priority1: int | None = None
    """Of its Announces before it has a leader; None sends none."""
    accuracy = 0xFE

    def __init__(self, wire: SimWire, nursery: trio.Nursery, *, clock: int = 0x5CAA_FD11_2233_0008) -> None:
        self.network = SimNetwork(SimLocalClock(ppm=-11.0), wire)
        interface = self.network.interface("eth0")
        self.address = interface.address
        self.port = PortIdentity(clock, 0x8005)
        self.event = self.network.stamped(319, interface)
        self.general = self.network.stamped(320, interface)
        self.server = ""
        """Address of the host that plays to it."""
        self.announced: list[Announce] = []
        self.sync_times: list[int] = []
        self.answers: list[DelayResp] = []
        self.offsets: list[int] = []
        self._first_exchange_ns = self._last_exchange_ns = -S
        self._arrivals: dict[int, int] = {}
        nursery.start_soon(self._listen, self.event)
        nursery.start_soon(self._listen, self.general)
        nursery.start_soon(self.speak)

    @property
    def locked(self) -> bool:
        """Whether it would accept an anchor, instead of answering 400."""
        now = self.network.local.now_ns()
        return self._last_exchange_ns - self._first_exchange_ns >= LOCK_NS and now - self._last_exchange_ns < S

    async def speak(self) -> None:
        """What it sends of its own accord."""
        sequence = 0
        while self.priority1 is not None:
            if self.server and not self.sync_times:
                sequence += 1
                data = AnnouncedDataset(
                    priority1=self.priority1, accuracy=self.accuracy, priority2=248, grandmaster=self.port.clock
                )
                self.send(compose.announce(self.port, sequence, data))
            await trio.sleep(0.25)

    def send(self, message: Message) -> None:
        """Send to the server."""
        event = isinstance(message, DelayReq | Sync)
        (self.event if event else self.general).send(encode(message), (self.server, 319 if event else 320))

    async def _listen(self, socket: SimStampedSocket) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival):
                    self.server = self.server or item.source[0]
                    self.receive(apple.decode(item.data), item.local_ns)

    def receive(self, message: Message, local_ns: int) -> None:
        """A message arrived."""
        match message:
            case Announce():
                self.announced.append(message)
            case Sync():
                self.sync_times.append(local_ns)
                self._arrivals[message.sequence] = local_ns
                self.send(compose.delay_req(self.port, message.sequence))
            case FollowUp() if message.sequence in self._arrivals:
                self.offsets.append(message.precise_origin_ns - self._arrivals.pop(message.sequence))
            case DelayResp() if message.requesting == self.port:
                self.answers.append(message)
                if local_ns - self._last_exchange_ns > 3 * S:
                    self._first_exchange_ns = local_ns
                self._last_exchange_ns = local_ns


class SimSonos(SimReceiver):
    """Announces itself (248/248/0xFE) until somebody leads, with an identity that is a proper EUI-64."""

    priority1 = 248

    def __init__(self, wire: SimWire, nursery: trio.Nursery) -> None:
        super().__init__(wire, nursery, clock=0x5CAA_FDFF_FE11_2233)


class SimAppleReceiver(SimReceiver):
    """Asks for each kind of message by unicast negotiation, takes none that was not granted, and asks again in time."""

    LEASE_S = 60

    def __init__(self, wire: SimWire, nursery: trio.Nursery) -> None:
        self.granted_until: dict[int, int] = {}
        self.unasked = 0
        self.leaving = False
        super().__init__(wire, nursery, clock=0x14C1_4E00_1122_0008)

    async def speak(self) -> None:
        sequence = 0
        while not self.leaving:
            left_ns = self.granted_until.get(MessageType.SYNC, 0) - self.network.local.now_ns()
            if self.server and left_ns < self.LEASE_S * S // 4:
                sequence += 1
                tlvs = tuple(RequestUnicast(kind, -3, self.LEASE_S).to_tlv() for kind in NEGOTIATED)
                self.send(self._signaling(sequence, tlvs))
            await trio.sleep(1)
        self.send(self._signaling(sequence + 1, tuple(CancelUnicast(kind).to_tlv() for kind in NEGOTIATED)))

    def _signaling(self, sequence: int, tlvs: tuple[object, ...]) -> Signaling:
        return Signaling(source=self.port, sequence=sequence, major_sdo=1, target=PortIdentity(0, 0), tlvs=tlvs)

    def receive(self, message: Message, local_ns: int) -> None:
        if isinstance(message, Signaling):
            for tlv in map(understand, message.tlvs):
                if isinstance(tlv, GrantUnicast):
                    self.granted_until[tlv.message_type] = local_ns + tlv.duration_s * S
        elif isinstance(message, Sync) and local_ns > self.granted_until.get(MessageType.SYNC, -1):
            self.unasked += 1
        else:
            super().receive(message, local_ns)


class SimTelevision(SimReceiver):
    """Advertises PTP, and never sends a packet."""

    def receive(self, message: Message, local_ns: int) -> None:
        if isinstance(message, Sync):
            self.sync_times.append(local_ns)


class SimStandaloneHomePod(SimReceiver):
    """A HomePod of OS 27 in no group: it never follows. It announces itself every 20 s while it is offered a clock.

    Two seconds after the last offer it announces itself at 4 Hz, and sends Sync and Follow_Up at 8 Hz.
    """

    EPOCH_NS = 555_000 * S

    def __init__(self, wire: SimWire, nursery: trio.Nursery) -> None:
        self.offered_ns = -10 * S
        self.questions = 0
        super().__init__(wire, nursery, clock=0x0499_B9B7_E0F1_0008)

    @property
    def leads(self) -> bool:
        return self.network.local.now_ns() - self.offered_ns > 2 * S

    def time_ns(self) -> int:
        return self.network.local.now_ns() + self.EPOCH_NS

    async def speak(self) -> None:
        sequence = 0
        announced_ns = -60 * S
        while True:
            await trio.sleep(0.125)
            now = self.network.local.now_ns()
            if not self.server:
                continue
            sequence += 1
            if now - announced_ns >= (S // 4 if self.leads else 20 * S):
                announced_ns = now
                data = AnnouncedDataset(priority1=248, accuracy=0x21, priority2=239, grandmaster=self.port.clock)
                self.send(compose.announce(self.port, sequence, data))
            if self.leads:
                origin_ns = self.time_ns()
                self.send(compose.sync(self.port, sequence))
                self.send(compose.follow_up(self.port, sequence, origin_ns))

    def receive(self, message: Message, local_ns: int) -> None:
        if isinstance(message, Sync | Announce):
            self.offered_ns = local_ns
            self.sync_times += [local_ns] * isinstance(message, Sync)
        elif isinstance(message, DelayReq) and self.leads:
            self.questions += 1
            self.send(compose.delay_resp(self.port, message, local_ns + self.EPOCH_NS))


class SimMusicAssistant:
    """A sender elsewhere that leads, and plays to a receiver when that has asked for the delay without a pause.

    A streak ends after 3 s without a question; it plays 2.3 s after the streak began.
    """

    EPOCH_NS = 91_000 * S

    def __init__(self, wire: SimWire, nursery: trio.Nursery, receiver: str) -> None:
        self.network = SimNetwork(SimLocalClock(ppm=4.0), wire)
        interface = self.network.interface("eth0")
        self.address = interface.address
        self.receiver = receiver
        self.questions: list[int] = []
        self.streak_ns: int | None = None
        self._port = PortIdentity(0x0A0B_0C0D_0E0F_0008, 0x8008)
        self._event, self._general = (self.network.stamped(port, interface) for port in (319, 320))
        nursery.start_soon(self._lead)
        nursery.start_soon(self._answer)

    @property
    def plays(self) -> bool:
        now = self.network.local.now_ns()
        if self.streak_ns is None or now - self.questions[-1] > 3 * S:
            return False
        return now - self.streak_ns >= LOCK_NS

    async def _lead(self) -> None:
        sequence = 0
        data = AnnouncedDataset(priority1=128, grandmaster=self._port.clock)
        while True:
            if sequence % 8 == 0:
                self._general.send(encode(compose.announce(self._port, sequence, data)), (self.receiver, 320))
            sequence += 1
            origin_ns = self.network.local.now_ns() + self.EPOCH_NS
            self._event.send(encode(compose.sync(self._port, sequence)), (self.receiver, 319))
            self._general.send(encode(compose.follow_up(self._port, sequence, origin_ns)), (self.receiver, 320))
            await trio.sleep(0.125)

    async def _answer(self) -> None:
        while True:
            for item in await self._event.receive():
                message = apple.decode(item.data) if isinstance(item, Arrival) else None
                if isinstance(item, Arrival) and isinstance(message, DelayReq):
                    if self.streak_ns is None or item.local_ns - self.questions[-1] > 3 * S:
                        self.streak_ns = item.local_ns
                    self.questions.append(item.local_ns)
                    answer = compose.delay_resp(self._port, message, item.local_ns + self.EPOCH_NS)
                    self._general.send(encode(answer), (item.source[0], 320))
