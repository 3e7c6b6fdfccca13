"""Why a port follows no master: what arrives instead, and what to set. In bounded memory, whatever arrives.

Of each kind of message that cannot be used the newest is remembered. The sentence is about the kind that is nearest to
being right: a master that misses one thing comes before one of another domain, and that before silence.
"""

from __future__ import annotations

import enum

import msgspec

from phasegraph.ieee1588 import Announce, FollowUp, Message, Sync, format_clock_identity

from .intervals import NS_PER_S, period_ns
from .settings import Settings, Unicast

FRESH_NS = 20 * NS_PER_S
"""How long a message counts as present: longer than the longest Announce interval of the profiles, 16 s."""
SETTLING_NS = 3 * NS_PER_S
"""How long a port has listened before messages that it cannot use are called the reason."""
_GPTP = 1


class Cause(enum.StrEnum):
    """Why no master is followed, the most telling first."""

    NOT_AUTHENTICATED = "not_authenticated"
    NOT_ACCEPTED = "not_accepted"
    NOT_A_SERVER = "not_a_server"
    ALTERNATE_MASTER = "alternate_master"
    STEPS_REMOVED = "steps_removed"
    SYNC_WITHOUT_ANNOUNCE = "sync_without_announce"
    OTHER_DOMAIN = "other_domain"
    OTHER_PROFILE = "other_profile"
    OTHER_VERSION = "other_version"
    NO_GRANDMASTER = "no_grandmaster"
    SILENCE = "silence"
    # These depend on the state of the port, and not on messages that are dropped.
    INTERFACE = "interface"
    DEMOTED = "demoted"
    TWO_STEP_FLAG = "two_step_flag"
    PASSIVE = "passive"
    NO_TIME = "no_time"


_PATIENT = (Cause.SYNC_WITHOUT_ANNOUNCE, Cause.NO_GRANDMASTER, Cause.SILENCE)
"""Only after the announce receipt timeout: Announces are less frequent than other messages."""


class Trouble(msgspec.Struct, frozen=True):
    """Why a port does not do its work."""

    cause: Cause
    reason: str
    """With a remedy."""


class _Seen(msgspec.Struct, frozen=True):
    at_ns: int
    address: str
    clock: str
    value: int | str


class ReceptionDiagnosis:
    """Remembers what a port cannot use."""

    def __init__(self, settings: Settings, place: str) -> None:
        """``place`` names the interface."""
        self._settings = settings
        self._place = place or "the interface"
        self._seen: dict[Cause, _Seen] = {}

    def record(self, cause: Cause, message: Message, address: str, now_ns: int, value: int | str = "") -> None:
        """A message arrived that cannot be used. Only a master's messages say something of masters."""
        if isinstance(message, Announce | Sync | FollowUp):
            clock = message.grandmaster if isinstance(message, Announce) else message.source.clock
            self._seen[cause] = _Seen(now_ns, address, format_clock_identity(clock), value)
        else:
            name = type(message).__name__
            self._seen[Cause.NO_GRANDMASTER] = _Seen(now_ns, address, format_clock_identity(message.source.clock), name)

    def record_version(self, version: int, address: str, now_ns: int) -> None:
        """A datagram of another PTP version arrived."""
        self._seen[Cause.OTHER_VERSION] = _Seen(now_ns, address, "", version)

    def clear(self) -> None:
        """A master is followed: start over."""
        self._seen.clear()

    def find_trouble(self, now_ns: int, since_ns: int) -> Trouble | None:
        """Why a port that listens since then finds no master; None while it is too early to say."""
        settings, waited_ns = self._settings, now_ns - since_ns
        timeout_ns = settings.announce_receipt_timeout * period_ns(settings.log_announce_interval)
        for cause in Cause:
            seen = self._seen.get(cause)
            if cause is Cause.SILENCE:
                seen = _Seen(now_ns, "", "", "")
            if seen is None or now_ns - seen.at_ns > FRESH_NS:
                continue
            if waited_ns >= (timeout_ns if cause in _PATIENT else SETTLING_NS):
                return Trouble(cause, self._sentence(cause, seen))
            if cause is not Cause.OTHER_VERSION:
                return None  # too early for this one, and so for what is less telling
        return None

    def _sentence(self, cause: Cause, seen: _Seen) -> str:
        settings = self._settings
        if cause is Cause.SILENCE and settings.unicast is Unicast.NEGOTIATED:
            servers = ", ".join(settings.servers)
            return f"no PTP message on {self._place}: {servers} (unicast-servers) answers no request for unicast"
        value = seen.value
        if cause is Cause.OTHER_PROFILE and isinstance(value, int):
            value = f"{value:#x}" + (", as gPTP (IEEE 802.1AS) does" if value == _GPTP << 8 else "")
        return _SENTENCES[cause].format(
            who=f"{seen.clock} ({seen.address})",
            nothing=f"no Announce in domain {settings.domain} on {self._place}",
            address=seen.address,
            place=self._place,
            value=value,
        )


_SENTENCES = {
    Cause.NOT_AUTHENTICATED: "messages of {who} are dropped ({value}): give both clocks the same keys (sa-file)",
    Cause.NOT_ACCEPTED: "grandmaster {who} announces itself, but is not in accept: add it to accept, or leave "
    "accept out",
    Cause.NOT_A_SERVER: "grandmaster {who} announces itself, but {address} is not in unicast-servers: add it",
    Cause.ALTERNATE_MASTER: "{who} announces itself as an alternate master only: make it the master, or add a "
    "grandmaster",
    Cause.STEPS_REMOVED: "Announces of grandmaster {who} have passed {value} clocks: look for a loop of boundary "
    "clocks",
    Cause.SYNC_WITHOUT_ANNOUNCE: "{nothing}, though {who} sends Sync: let it send Announce, and let its general "
    "messages (general-port) pass",
    Cause.OTHER_DOMAIN: "{nothing}; grandmaster {who} is in domain {value}: set domain = {value}",
    Cause.OTHER_PROFILE: "{nothing}; {who} sends sdoId {value}: set the grandmaster to an IEEE 1588 profile, or let "
    "ptp4l follow it and use kind = 'ptp4l'",
    Cause.OTHER_VERSION: "no PTP version 2 on {place}; {address} sends version {value}: switch a Dante device to AES67 "
    "mode, or add a grandmaster of version 2",
    Cause.NO_GRANDMASTER: "{nothing}; {address} sends {value} only, and is no grandmaster: add one",
    Cause.SILENCE: "no PTP message on {place}: is a grandmaster there, is this its network, and does the switch "
    "forward multicast?",
}
"""What to say of each cause, with a remedy. Values of strangers are numbers, or words of ours."""
