"""Quantities with units, as a graph writes them: ``"3ms"``, ``"48kHz"``, ``"-20dBFS"``.

A field of a node's configuration says which quantity it holds by its type; the decoder turns the text into
the number that the field's docstring names.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([A-Za-zµ]+)\s*\Z", re.ASCII)
_UNITS: dict[str, dict[str, Fraction]] = {
    "duration": {
        "ns": Fraction(1),
        "us": Fraction(10**3),
        "µs": Fraction(10**3),
        "ms": Fraction(10**6),
        "s": Fraction(10**9),
        "min": Fraction(60 * 10**9),
        "h": Fraction(3600 * 10**9),
        "d": Fraction(86400 * 10**9),
    },
    "frequency": {"Hz": Fraction(1), "kHz": Fraction(1000)},
    "level": {"dBFS": Fraction(1), "dB": Fraction(1)},
    "rate": {"ppm": Fraction(1000), "ppb": Fraction(1)},
}
_EXAMPLES = {"duration": "3ms", "frequency": "48kHz", "level": "-20dBFS", "rate": "50ppm"}


class Quantity(msgspec.Struct, frozen=True):
    """Marks a field of a configuration as a number with a unit."""

    name: Literal["duration", "frequency", "level", "rate"]
    whole: bool = False
    """The number must be whole in its base unit."""

    @property
    def example(self) -> str:
        """A value as a graph would write it."""
        return _EXAMPLES[self.name]

    @property
    def units(self) -> list[str]:
        """The units that may be written."""
        return list(_UNITS[self.name])

    @property
    def pattern(self) -> str:
        """A regular expression for the text, in the dialect of JSON Schema."""
        return rf"^\s*[+-]?\d+(\.\d+)?\s*({'|'.join(self.units)})\s*$"

    def text(self, value: int | float) -> str:
        """A number in the base unit as a graph would write it: in the largest unit that makes it whole."""
        exact = Fraction(value)
        unit, factor = next(iter(_UNITS[self.name].items()))
        for name, size in _UNITS[self.name].items():
            if exact and size > factor and exact % size == 0:
                unit, factor = name, size
        scaled = exact / factor
        # Never with an exponent, which `parse` does not take.
        number = str(scaled) if scaled.denominator == 1 else f"{Decimal(repr(float(scaled))):f}"
        return f"{number}{unit}"

    def parse(self, text: object) -> int | float:
        """The number in the base unit (ns, Hz, dBFS, ppb).

        Raises ValueError with a sentence that says what is expected.
        """
        expected = f"expected a {self.name} with a unit, such as {self.example!r}"
        if not isinstance(text, str):
            raise ValueError(f"{expected}, got {text!r}")
        match = _NUMBER.match(text)
        if match is None:
            raise ValueError(f"{expected}, got {text!r}")
        factor = _UNITS[self.name].get(match[2])
        if factor is None:
            raise ValueError(f"unknown unit {match[2]!r}: use one of {', '.join(self.units)}")
        value = Fraction(match[1]) * factor
        if self.name == "duration" or self.whole:
            if value.denominator != 1:
                base = next(iter(_UNITS[self.name]))
                raise ValueError(f"{text!r} is not a whole number of {base}")
            return int(value)
        return float(value)


Duration = Annotated[int, Quantity("duration")]
"""Nanoseconds; written ``"3ms"``."""
SampleRate = Annotated[int, Quantity("frequency", whole=True)]
"""Frames per second; written ``"48kHz"``."""
Frequency = Annotated[float, Quantity("frequency")]
"""Hertz; written ``"997Hz"``."""
Level = Annotated[float, Quantity("level")]
"""Decibels relative to full scale; written ``"-20dBFS"``."""
RateOffset = Annotated[float, Quantity("rate")]
"""Parts per billion; written ``"50ppm"``."""


def parse_duration(text: object) -> int:
    """Nanoseconds of a duration as people write it: ``"35s"``. Raises ValueError with what is expected."""
    return int(Quantity("duration").parse(text))


_UNITS_OF_DURATION = tuple(
    (unit, size, 0.9995 * size)  # 999.6 ms are 1 s
    for unit, size in (("h", 3.6e12), ("min", 6e10), ("s", 1e9), ("ms", 1e6), ("µs", 1e3))
)


@lru_cache(maxsize=1024)
def format_duration(ns: int | float) -> str:
    """A duration for people: the largest unit that keeps the number at one or more, three digits."""
    # Cached: those of a status are edges of bins and link offsets, the same over and over.
    magnitude = abs(ns)
    for unit, size, least in _UNITS_OF_DURATION:
        if magnitude >= least:
            number = ns / size
            return f"{number:.0f} {unit}" if abs(number) >= 99.95 else f"{number:.3g} {unit}"
    return f"{ns:.0f} ns"
