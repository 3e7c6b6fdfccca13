"""One control session (IS-12): text messages of a controller in, text messages out. It opens no socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .control_objects import MethodStatus
from .device_model import DeviceModel, PropertyChange

COMMAND, COMMAND_RESPONSE, NOTIFICATION, SUBSCRIPTION, SUBSCRIPTION_RESPONSE, ERROR = range(6)
"""Message types (IS-12, "Protocol messaging")."""
MOST_MESSAGE_BYTES = 1 << 16
MOST_COMMANDS = 100
"""Commands of one message: a controller sends the rest in another one."""
MOST_SUBSCRIPTIONS = 4096
"""Oids of one subscription message."""


class _MethodId(msgspec.Struct, frozen=True):
    level: Annotated[int, Meta(ge=1)]
    index: Annotated[int, Meta(ge=1)]


class _Command(msgspec.Struct, frozen=True, rename="camel"):
    handle: Annotated[int, Meta(ge=1, le=65535)]
    oid: Annotated[int, Meta(ge=1)]
    method_id: _MethodId
    arguments: dict[str, Any] | None = None


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    message_type: int
    commands: Annotated[list[_Command], Meta(min_length=1, max_length=MOST_COMMANDS)] | None = None
    subscriptions: Annotated[list[int], Meta(max_length=MOST_SUBSCRIPTIONS)] | None = None


_decode_message = msgspec.json.Decoder(_Message).decode


class ControlSession:
    """What one controller has subscribed to, and the answers to what it sends."""

    def __init__(self, model: DeviceModel) -> None:
        self._model = model
        self._subscribed: frozenset[int] = frozenset()
        self.malformed = 0
        """Messages that were none of IS-12."""

    def receive_message(self, text: str | bytes) -> tuple[str, list[PropertyChange]]:
        """The answer to a message, and what it has changed, which all sessions are to be notified of."""
        try:
            if len(text) > MOST_MESSAGE_BYTES:
                raise ValueError(f"a message has at most {MOST_MESSAGE_BYTES} bytes")
            message = _decode_message(text)
            if message.message_type == COMMAND and message.commands is not None:
                return self._run_commands(message.commands)
            if message.message_type == SUBSCRIPTION and message.subscriptions is not None:
                return self._subscribe(message.subscriptions), []
            if message.message_type in (COMMAND, SUBSCRIPTION):
                raise ValueError("a command message has `commands`, a subscription message `subscriptions`")
            raise ValueError(f"messages of type {message.message_type} are not sent to devices")
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            self.malformed += 1
            problem = {"status": int(MethodStatus.BAD_COMMAND_FORMAT), "errorMessage": str(error)[:500]}
            return _encode({"messageType": ERROR, **problem}), []

    def notification(self, changes: Sequence[PropertyChange]) -> str | None:
        """The message about what has changed; None where nothing of it is subscribed to."""
        wanted = [change.as_notification() for change in changes if change.oid in self._subscribed]
        return _encode({"messageType": NOTIFICATION, "notifications": wanted}) if wanted else None

    def _run_commands(self, commands: Sequence[_Command]) -> tuple[str, list[PropertyChange]]:
        responses, changes = [], []
        for command in commands:
            method_id = (command.method_id.level, command.method_id.index)
            result, changed = self._model.call(command.oid, method_id, command.arguments or {})
            responses.append({"handle": command.handle, "result": result})
            changes += changed
        return _encode({"messageType": COMMAND_RESPONSE, "responses": responses}), changes

    def _subscribe(self, oids: Sequence[int]) -> str:
        # Oids that do not exist are left out of the answer.
        self._subscribed = self._model.oids.intersection(oids)
        accepted = [oid for oid in dict.fromkeys(oids) if oid in self._subscribed]
        return _encode({"messageType": SUBSCRIPTION_RESPONSE, "subscriptions": accepted})


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
