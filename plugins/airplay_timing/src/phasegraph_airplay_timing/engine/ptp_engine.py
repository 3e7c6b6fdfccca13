"""Mode ``ptp``: Apple's dialect, as a follower, as the leader, or as whichever of both the others make of us."""

from __future__ import annotations

from collections.abc import Iterable

from phasegraph.ieee1588 import (
    Announce,
    DelayReq,
    DelayResp,
    FollowUp,
    MalformedMessage,
    Message,
    PDelayReq,
    PDelayResp,
    PortIdentity,
    Signaling,
    Sync,
    format_clock_identity,
)

from ..filters import ExchangeSample, Sample
from ..wire import apple, compose
from ..wire.compose import Dataset
from ..wire.errors import MalformedPacket
from .actions import Followed, Measured, Peer, Role, Send
from .base import Engine
from .choice import Candidate, Choice
from .following import Following
from .leading import Leading

PORT = 0x8008
"""Our portNumber: Apple's are 0x8000 and something."""
LISTEN_NS = 3_000_000_000
"""Before it leads, ``auto`` listens for so long whether somebody else does."""
LEAD_PRIORITY, AUTO_PRIORITY = 128, 250
"""priority1: one that every device takes for its leader, and one (macOS has it) that HomePods, with 248, outrank."""
LOOK_NS = 500_000_000
YIELD_NS = 2_500_000_000
"""How long a leading ``auto`` is silent, to see whether a clock that outranks it takes over. A HomePod of OS 27 does so
2 s after the last Announce and Sync of another clock."""


class PtpEngine(Engine):
    """See the module."""

    def __init__(
        self,
        role: Role,
        identity: int,
        peers: Iterable[Peer],
        now_ns: int,
        *,
        ports: tuple[int, int] = (319, 320),
        number: int = PORT,
    ) -> None:
        """``ports`` are those of UDP that peers have who were not named (event, general).

        ``number`` is our portNumber: engines that share sockets have different ones, else they take each other's
        answers for their own.
        """
        self._choice = Choice(identity)
        super().__init__(peers, now_ns)
        self.role = role
        self.following: Following | None = None
        """The leader that is followed."""
        self._ports = ports
        self._port = PortIdentity(identity, number)
        priority = LEAD_PRIORITY if role is Role.LEAD else AUTO_PRIORITY
        self._own = Dataset(priority1=priority, grandmaster=identity)
        self._leading = Leading(self._port, self._own, self._todo_send, self._remember)
        self._silent_until_ns = now_ns
        """Until then ``auto`` leads without a word."""
        self._lead_from_ns = now_ns + (0 if role is Role.LEAD else LISTEN_NS)

    def set_peers(self, peers: Iterable[Peer]) -> None:
        """See `Engine.set_peers`. A leader who is not among them is followed no longer."""
        super().set_peers(peers)
        if self._named:
            self._choice.forget_others(self._named.keys())

    @property
    def one_way(self) -> bool:
        """See `Engine.one_way`."""
        return self.following is not None and self.following.one_way

    def receive(self, data: bytes, source: tuple[str, int], local_ns: int, now_ns: int) -> None:
        """See `Engine.receive`."""
        try:
            message = apple.decode(data)
        except (MalformedMessage, MalformedPacket) as refusal:
            self._drop(refusal.reason.value)
            return
        if message.source.clock == self._port.clock:
            self._drop("own")
            return
        peer = self._peer_at(source, now_ns, self._ports)
        if peer is None:
            self._drop("stranger")
            return
        self._dispatch(message, peer, local_ns, now_ns)

    def departed(self, token: int, local_ns: int) -> None:
        """See `Engine.departed`."""
        match self._tokens.pop(token, None):
            case int() as sequence if self.following is not None:
                self._measured(self.following.departed(sequence, local_ns), local_ns)
            case (Peer() as peer, int() as sequence):
                self._leading.sync_departed((peer, sequence), local_ns)
            case (Peer() as peer, PDelayResp() as response):
                self._leading.neighbour_departed(peer, response, local_ns)

    def tick(self, now_ns: int) -> None:
        """See `Engine.tick`."""
        self._forget_silent(now_ns)
        self._choose(now_ns)
        due = now_ns + LOOK_NS
        if self.leads:
            due = min(due, self._lead(now_ns))
        following = self.following
        if following is not None:
            leader = following.leader
            for change in following.wake_ups(now_ns):
                self.counters["wake_ups"] += 1
                priority = max(0, min(255, leader.data.priority1 + change))
                data = Dataset(priority1=priority, priority2=leader.data.priority2, grandmaster=self._port.clock)
                self._leading.general(leader.peer, compose.wake_up(self._port, self._leading.next_announce(), data))
            self._look(following)
            following.nudge(now_ns)
            due = min(due, following.due_ns(now_ns))
        self.deadline_ns = due

    def _dispatch(self, message: Message, peer: Peer, local_ns: int, now_ns: int) -> None:
        match message:
            case Announce():
                reason = "rival" if self.role is Role.LEAD else self._choice.announce(message, peer, now_ns)
                if reason is not None:
                    self._drop(reason)
                self._choose(now_ns)
            case Sync() | FollowUp():
                candidate = self._choice.sync(message.source.clock, peer, now_ns)
                self._choose(now_ns)
                following = self._of_leader(candidate)
                if following is not None:
                    if isinstance(message, Sync):
                        sample = following.sync(message, local_ns, now_ns)
                    else:
                        sample = following.follow_up(message, local_ns, now_ns)
                    self._measured(sample, now_ns)
            case DelayResp():
                following = self.following
                if following is None or message.source.clock != following.leader.clock or peer != following.leader.peer:
                    self._drop("other_leader")
                else:
                    self._measured(following.delay_resp(message), now_ns)
            case DelayReq() if self.leads:
                self._choice.asked(message.source.clock, now_ns)
                self._leading.answer(peer, message, local_ns)
                if self.readiness.note(peer.address, now_ns):
                    self._notice("peer_ready", peer=peer.address)
            case PDelayReq():
                self._leading.answer_neighbour(peer, message, local_ns)
            case Signaling():
                self.counters["signaling"] += 1
                try:
                    lease_s = self._leading.negotiate(peer, message, self.leads)
                except MalformedMessage:
                    self._drop("tlv")
                else:
                    self._lease(peer, now_ns, lease_s)
            case _:
                self._drop("unused")

    def _of_leader(self, candidate: Candidate | None) -> Following | None:
        following = self.following
        if candidate is None or following is None or candidate.clock != following.leader.clock:
            self._drop("other_leader")
            return None
        return following

    def _measured(self, sample: Sample | None, now_ns: int) -> None:
        following = self.following
        if sample is None or following is None:
            return
        self._todo.append(Measured(sample))
        if isinstance(sample, ExchangeSample):
            self.counters["exchanges"] += 1
            if self.readiness.note(following.leader.peer.address, now_ns):
                self._notice("ready", leader=format_clock_identity(following.grandmaster))
        else:
            self.counters["syncs"] += 1
        self._look(following)

    def _look(self, following: Following) -> None:
        if following.turned():
            self._notice("one_way" if following.one_way else "two_way", leader=str(following.leader.peer.address))

    def _choose(self, now_ns: int) -> None:
        may_lead = self.role is not Role.FOLLOW and now_ns >= self._lead_from_ns
        best = self._choice.best(now_ns, self._own if self.role is Role.AUTO else None, syncing=self.leads)
        if best is None:
            if self.following is not None and self.role is Role.FOLLOW:
                self.following = None
                self._todo.append(Followed(""))
            if may_lead and not self.leads:
                self.following, self.leads = None, True
                self._todo.append(Followed(format_clock_identity(self._port.clock), own=True))
            return
        following = self.following
        same = following is not None and following.leader.clock == best.clock
        if following is not None and same and following.grandmaster == best.data.grandmaster:
            return
        self.leads = False
        self.following = Following(best, self._port, self._todo_send, self._remember, self._drop, now_ns)
        self.deadline_ns = now_ns
        self._todo.append(Followed(format_clock_identity(best.data.grandmaster)))

    def _lead(self, now_ns: int) -> int:
        # Whatever is due is sent; returns when something is due again.
        if now_ns < self._silent_until_ns:
            return self._silent_until_ns
        rival = self._choice.insistent(now_ns, self._own) if self.role is Role.AUTO else None
        if rival is None:
            return self._leading.tick(self.peers, now_ns)
        rival.yielded_to = True
        self._silent_until_ns = now_ns + YIELD_NS
        self._notice("yielding", leader=format_clock_identity(rival.clock))
        return self._silent_until_ns

    def _todo_send(self, send: Send) -> None:
        self._todo.append(send)
