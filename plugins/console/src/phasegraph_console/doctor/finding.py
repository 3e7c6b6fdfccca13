"""One line of the doctor: a fact, whether it stands in the way, and a remedy."""

from __future__ import annotations

import enum

import msgspec


class Severity(enum.StrEnum):
    """What a fact means for a run."""

    OK = "ok"
    ATTENTION = "attention"
    """A run works, but less well than it could, or some graphs do not."""
    WRONG = "wrong"
    """A run does not work like this."""


class Finding(msgspec.Struct, frozen=True):
    """One checked fact."""

    check: str
    """What was checked, in a word or two: ``eth0``, ``port 319``, ``clocks.house``."""
    severity: Severity
    text: str
    """The fact, as a sentence."""
    remedy: str = ""
    """What to do; empty where nothing is to be done."""
