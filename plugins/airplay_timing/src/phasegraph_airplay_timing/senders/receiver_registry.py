"""The receivers that senders of this computer play to. One may be named by several, and stays until all remove it."""

from __future__ import annotations

from collections import Counter

from ..peer_address import plain_address
from .airptp import AirptpCommand
from .cliairplay import ControlRequest, ControlVerb

MOST_RECEIVERS = 64


class ReceiverRegistry:
    """Receivers by address. Both interfaces have a way of their own to name them."""

    def __init__(self) -> None:
        self.changed = False
        """Set by every change, for the one who stores the receivers."""
        self.refused = 0
        """Receivers beyond `MOST_RECEIVERS`."""
        self._airptp: dict[int, str] = {}
        """By the client's number."""
        self._registered: Counter[str] = Counter()
        """How many streams of cliairplay have named an address."""

    @property
    def addresses(self) -> frozenset[str]:
        """Addresses of all receivers."""
        return frozenset({*self._airptp.values(), *self._registered})

    def metrics(self) -> dict[str, int]:
        """How many receivers there are, and how many were refused."""
        return {"receivers": len(self.addresses), "receivers_refused": self.refused}

    @property
    def insists_alone(self) -> bool:
        """Whether the only receiver may lead: clients of airptp take the server's clock for the leader."""
        return len(self.addresses) == 1 and not self._airptp

    def to_lines(self) -> str:
        """All receivers as lines: ``NUMBER ADDRESS`` of airptp, ``R ADDRESS`` once a stream of cliairplay."""
        lines = [f"{number} {address}" for number, address in self._airptp.items()]
        return "\n".join(lines + [f"R {address}" for address in self._registered.elements()])

    def load(self, text: str) -> None:
        """Add the receivers of `to_lines`. Lines of another form are skipped."""
        for line in text.splitlines()[: 4 * MOST_RECEIVERS]:
            number, _, address = line.partition(" ")
            try:
                address = plain_address(address)
                if number == "R":
                    self.apply_control(ControlRequest(ControlVerb.REGISTER, (address,)))
                else:
                    self.apply_airptp(AirptpCommand(int(number) % 2**32, address))
            except ValueError:
                continue

    def apply_airptp(self, command: AirptpCommand) -> None:
        """Add or remove a receiver of an airptp client."""
        self.changed = True
        if command.address is None:
            self._airptp.pop(command.peer, None)
        elif self._has_room(command.address, len(self._airptp)) or command.peer in self._airptp:
            self._airptp[command.peer] = command.address

    def apply_control(self, request: ControlRequest) -> None:
        """Add or remove receivers of a stream of cliairplay."""
        self.changed |= bool(request.addresses)
        for address in request.addresses:
            if request.verb is ControlVerb.UNREGISTER:
                self._registered[address] -= 1
                if self._registered[address] <= 0:
                    del self._registered[address]
            elif self._has_room(address, len(self._registered)):
                self._registered[address] += 1

    def _has_room(self, address: str, names: int) -> bool:
        room = names < MOST_RECEIVERS and (address in self.addresses or len(self.addresses) < MOST_RECEIVERS)
        self.refused += not room
        return room
