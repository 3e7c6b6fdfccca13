"""The rule for what two threads share: one of them writes it, and it publishes immutable values."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Published(Generic[T]):
    """A value that one thread replaces as a whole and that any thread reads.

    The value is immutable (a frozen struct, a tuple of numbers), so a reader gets figures of one moment that belong
    together. Replacing a reference is one step of the interpreter: neither side waits for the other. The writer may
    change only where one ends before the other begins: a node's step writes until it is detached, then the node's task.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def publish(self, value: T) -> None:
        """Replace the value. Called by the writing thread only."""
        self._value = value

    @property
    def latest(self) -> T:
        """The value that was published last. Called by any thread."""
        return self._value
