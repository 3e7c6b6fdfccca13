"""The session description of a stream that we send, in versions that name the newest grandmaster. Sans-IO."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from phasegraph import NS_PER_S, ClockReader

from .. import sdp
from ..parameters import StreamParameters

if TYPE_CHECKING:
    from phasegraph.net import Interface

_ANY = "0.0.0.0"
_EUI64 = re.compile(r"[0-9A-F]{2}(-[0-9A-F]{2}){7}\Z")
NTP_EPOCH_S = 2_208_988_800
"""1970 since 1900: RFC 8866, 5.2, recommends the NTP time as version, which also rises when a sender starts again."""


class LocalDescription:
    """A description with a new version for each grandmaster and each change of the interfaces."""

    def __init__(
        self, clock: ClockReader, legs: Sequence[StreamParameters], *, name: str, session_id: int, preset: sdp.Preset
    ) -> None:
        """``legs`` are the stream, and its duplicate if there is one."""
        self._clock = clock
        self._legs = tuple(legs)
        self._name = name
        self._session_id = session_id
        self._preset = preset
        self._interfaces: tuple[Interface, ...] = ()
        self._published_interfaces: tuple[Interface, ...] = ()
        """As of the newest version."""
        self._published_words: tuple[str, sdp.Preset] = name, preset
        """Name and dialect of the newest version."""
        self._reference = self._newest_reference()
        self._version = 0
        self._written: tuple[object, str] = None, ""
        """What the newest text was made of, and the text: it is read with every status."""

    def set_interfaces(self, interfaces: Sequence[Interface]) -> None:
        """Set the interfaces that the legs are sent through."""
        self._interfaces = tuple(interfaces)

    def rename(self, name: str, preset: sdp.Preset) -> None:
        """Another name, or another dialect, from the next version on."""
        self._name, self._preset = name, preset

    def is_outdated(self) -> bool:
        """Whether the newest version has another name, dialect, reference of the clock, or address of an interface."""
        if (self._name, self._preset) != self._published_words:
            return True
        moved = _places(self._interfaces) != _places(self._published_interfaces)
        return moved or self._newest_reference() != self._reference

    def new_version(self, realtime_ns: int) -> str:
        """A new version of the present state; ``realtime_ns`` dates it."""
        self._reference = self._newest_reference()
        self._published_interfaces = self._interfaces
        self._published_words = self._name, self._preset
        self._version = max(self._version + 1, realtime_ns // NS_PER_S + NTP_EPOCH_S)
        return self.text()

    def _newest_reference(self) -> tuple[str, int | None]:
        estimate = self._clock.estimate()
        return estimate.grandmaster, estimate.domain

    def text(self) -> str:
        """The newest version."""
        made_of = self._name, self._preset, self._interfaces, self._reference, self._version
        if self._written[0] != made_of:
            self._written = made_of, self._write()
        return self._written[1]

    def _write(self) -> str:
        legs = [self._leg(index) for index in range(len(self._legs))]
        return sdp.write(
            legs[0],
            second=legs[1] if len(legs) > 1 else None,
            name=self._name,
            origin=self._address(0),
            session_id=self._session_id,
            version=self._version,
            preset=self._preset,
        )

    def _leg(self, index: int) -> StreamParameters:
        leg = msgspec.structs.replace(self._legs[index], ts_refclk=self._reference_clock(index))
        # A receiver that knows the source cannot be taken over by another sender. Dante hides such a session.
        address = self._address(index)
        if self._preset != "dante" and leg.multicast and address != _ANY:
            leg = msgspec.structs.replace(leg, source=address)
        return leg

    def _address(self, index: int) -> str:
        return self._interfaces[index].address if self._interfaces else _ANY

    def _reference_clock(self, index: int) -> str:
        # RFC 7273, 4.8; ST 2110-10, 8.2, knows PTP and the sender's own clock, by the interface's MAC.
        grandmaster, domain = self._reference
        if _EUI64.match(grandmaster):
            return f"ptp=IEEE1588-2008:{grandmaster}" + ("" if domain is None else f":{domain}")
        mac = self._interfaces[index].mac if self._interfaces else b""
        return f"localmac={mac.hex('-').upper()}" if self._preset == "st2110-30" and mac else "local"


def _places(interfaces: Sequence[Interface]) -> list[tuple[str, bytes]]:
    return [(interface.address, interface.mac) for interface in interfaces]
