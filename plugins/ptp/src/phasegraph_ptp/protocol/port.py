"""What the parts of an instance share: its identity, the time it serves, counters, events, and its way to send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from phasegraph import ClockEstimate, StampKind
from phasegraph.ieee1588 import Flag, Message, MessageType, PortIdentity, Signaling, Tlv, TransmitTokens
from phasegraph.ieee1588.messages import LOG_INTERVAL_UNKNOWN

from ..measurements import Sample
from .data_sets import TimeProperties
from .intervals import NS_PER_S
from .port_actions import Action, Destination, NewMeasurement, PortEvent, SendMessage
from .reception_diagnosis import ReceptionDiagnosis
from .response_rate_limit import ResponseRateLimit
from .settings import Settings

Departed = Callable[[int, StampKind], None]
"""Called with the time when a message left, in local time."""

_LAST_TIME_NS = 2**48 * NS_PER_S - 1
_WAITING = 1024
_QUIET_NS = 60 * NS_PER_S


class Port:
    """The one port of an instance."""

    def __init__(self, settings: Settings, identity: PortIdentity, random: Random, place: str = "") -> None:
        self.settings = settings
        self.identity = identity
        self.random = random
        self.actions: list[Action] = []
        self.counters: Counter[str] = Counter()
        self.estimate: ClockEstimate | None = None
        self.properties = TimeProperties()
        self.diagnosis = ReceptionDiagnosis(settings, place)
        self.answers = ResponseRateLimit(settings.answers_per_s)
        self._sequences = {kind: random.randrange(0x10000) for kind in MessageType}
        self._departing: TransmitTokens[Departed] = TransmitTokens(_WAITING)
        self._noticed: dict[str, int] = {}

    def drop(self, reason: str) -> None:
        """Count a message, or a measurement, that is not used."""
        self.counters[f"dropped_{reason}"] += 1

    def emit_event(self, name: str, **fields: int | float | str) -> None:
        """Report something to the operator."""
        self.actions.append(PortEvent(name, fields))

    def emit_event_rarely(self, now_ns: int, name: str, *, kind: str = "", **fields: int | float | str) -> None:
        """Report it, at most once a minute under this name; kinds of one name count apart, and there are few."""
        key = name + kind
        if now_ns - self._noticed.get(key, now_ns - _QUIET_NS) >= _QUIET_NS:
            self._noticed[key] = now_ns
            self.emit_event(name, **fields)

    def queue_measurement(self, sample: Sample) -> None:
        """Hand a sample to the estimator."""
        self.actions.append(NewMeasurement(sample))

    def reference_at(self, local_ns: int) -> int:
        """The time that is served, within what a timestamp can hold. Only for masters: they have an estimate."""
        assert self.estimate is not None
        return min(max(0, self.estimate.reference_at(local_ns)), _LAST_TIME_NS)

    def header(
        self,
        kind: MessageType,
        destination: Destination | str,
        *,
        sequence: int | None = None,
        log_interval: int = LOG_INTERVAL_UNKNOWN,
        flags: int = 0,
        correction: int = 0,
    ) -> dict[str, Any]:
        """Fields of the common header (13.3). Without a sequence it is the next of its type's pool."""
        if sequence is None:
            sequence = self._sequences[kind] = (self._sequences[kind] + 1) & 0xFFFF
        return {
            "source": self.identity,
            "sequence": sequence,
            "domain": self.settings.domain,
            "major_sdo": self.settings.major_sdo,
            "minor_sdo": self.settings.minor_sdo,
            "minor_version": self.settings.minor_version,
            "flags": flags | (Flag.UNICAST if isinstance(destination, str) else 0),
            "log_interval": log_interval,
            "correction": correction,
        }

    def send_general(self, message: Message, destination: Destination | str) -> None:
        """Send a general message."""
        self._queue_send(message, destination, None)

    def send_event(self, message: Message, destination: Destination | str, departed: Departed) -> None:
        """Send an event message; ``departed`` is called with its transmit stamp, if that ever comes."""
        lost, token = self._departing.lost, self._departing.issue(departed)
        if self._departing.lost > lost:
            self.drop("transmit_stamp_lost")
        self._queue_send(message, destination, token)

    def send_signaling(self, target: PortIdentity, address: str, *tlvs: Tlv) -> None:
        """Send TLVs to one port at an address."""
        message = Signaling(**self.header(MessageType.SIGNALING, address), target=target, tlvs=tlvs)
        self.send_general(message, address)

    def stamp_departure(self, token: int, local_ns: int, stamp: StampKind) -> None:
        """A transmit stamp arrived."""
        departed = self._departing.redeem(token)
        if departed is None:
            self.drop("transmit_stamp_unknown")
        else:
            departed(local_ns, stamp)

    def forget_departures(self) -> None:
        """Drop what waits for transmit stamps."""
        self._departing.clear()

    def _queue_send(self, message: Message, destination: Destination | str, token: int | None) -> None:
        self.counters[f"sent_{message.type.name.lower()}"] += 1
        self.actions.append(SendMessage(message=message, event=token is not None, destination=destination, token=token))
