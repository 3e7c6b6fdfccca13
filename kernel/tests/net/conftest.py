"""A sender on the loopback interface, for tests of what only Linux has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from phasegraph import SystemLocalClock
from phasegraph.net import SystemNetwork

if TYPE_CHECKING:
    from phasegraph.net.batched.linux_sockets import LinuxSender


@pytest.fixture
def sender() -> Iterator[LinuxSender]:
    from phasegraph.net.batched.linux_sockets import LinuxSender

    network = SystemNetwork(SystemLocalClock())
    made = network.sender(network.interface("127.0.0.1"), ttl=1, dscp=0)
    assert isinstance(made, LinuxSender)
    yield made
    made.close()
