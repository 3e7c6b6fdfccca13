"""What every check gives: a figure beside a published limit, and PASS or FAIL."""

from __future__ import annotations

import enum

import msgspec


class CheckVerdict(enum.StrEnum):
    """The result of a check."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOTE = "-"
    """Nothing to pass or fail: a figure, or what could not be measured."""


class Check(msgspec.Struct, frozen=True):
    """One figure beside its limit."""

    standard: str
    """Who set the limit, and where."""
    name: str
    verdict: CheckVerdict
    measured: str
    limit: str = ""


class Subject(msgspec.Struct, frozen=True):
    """A stream or a PTP domain, with its checks."""

    name: str
    description: str
    checks: list[Check]
    plots: list[Plot] = []

    @property
    def verdict(self) -> CheckVerdict:
        """FAIL if any check failed."""
        verdicts = {check.verdict for check in self.checks}
        return next((one for one in (CheckVerdict.FAIL, CheckVerdict.PASS) if one in verdicts), CheckVerdict.NOTE)


class Plot(msgspec.Struct, frozen=True):
    """A curve for the page."""

    title: str
    unit: str
    x_s: list[float]
    y: list[float]
    limits: list[tuple[str, float]] = []


def judged(standard: str, name: str, passed: bool, measured: str, limit: str) -> Check:
    """A check that passed or failed."""
    return Check(standard, name, CheckVerdict.PASS if passed else CheckVerdict.FAIL, measured, limit)
