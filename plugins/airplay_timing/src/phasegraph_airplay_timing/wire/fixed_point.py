"""Times as fractions of a second in fixed point: 48.16 (the compact packet), 32.32 (NTP), 64.64 (SETRATEANCHORTIME).

A number "a.b" counts seconds in its upper a bits and 2**-b seconds in its lower b bits. Both wrap; `expand_48_16`
and `ntp_difference_ns` see through it.
"""

from __future__ import annotations

NS_PER_S = 1_000_000_000
COMPACT_BITS = 48
"""Bits of a 48.16 time that the compact packet carries: the lower ones, so 32 bits of seconds."""
_COMPACT_SPAN = 1 << COMPACT_BITS
_WORD = 1 << 64


def to_48_16(time_ns: int) -> int:
    """Nanoseconds -> 48.16, 64 bits; the fraction is cut off, to 15.26 us, and seconds wrap at 2**48.

    Raises ValueError for a negative time.
    """
    if time_ns < 0:
        raise ValueError(f"{time_ns} ns is before the epoch")
    seconds, rest = divmod(time_ns, NS_PER_S)
    return (seconds << 16 | (rest << 16) // NS_PER_S) % _WORD


def from_48_16(value: int) -> int:
    """48.16 -> whole nanoseconds, cut off."""
    return (value >> 16) * NS_PER_S + ((value & 0xFFFF) * NS_PER_S >> 16)


def expand_48_16(low_bits: int, near_ns: int) -> int:
    """The time in nanoseconds whose 48.16 form ends in these 48 bits, and which is nearest to ``near_ns``.

    The packet's seconds wrap every 136 years: only a clock whose epoch is long ago gets there, but 1 January 1970
    is one (in February 2106). Never negative: near the epoch there is nothing before it.
    """
    near = to_48_16(max(0, near_ns))
    distance = (low_bits - near) % _COMPACT_SPAN
    if distance >= _COMPACT_SPAN // 2:
        distance -= _COMPACT_SPAN
    found = near + distance
    return from_48_16(found if found >= 0 else found + _COMPACT_SPAN)


def to_ntp(time_ns: int) -> int:
    """Nanoseconds -> 32.32, rounded to the nearest 0.23 ns; seconds wrap at 2**32. Any time, negative too."""
    return (((time_ns << 33) + NS_PER_S) // (2 * NS_PER_S)) % _WORD


def from_ntp(value: int) -> int:
    """32.32 -> whole nanoseconds, rounded to nearest."""
    return (value * NS_PER_S + (1 << 31)) >> 32


def ntp_difference_ns(later: int, earlier: int) -> int:
    """``later - earlier`` in nanoseconds for two 32.32 times less than 68 years apart, across a wrap too."""
    difference = (later - earlier) % _WORD
    if difference >= _WORD // 2:
        difference -= _WORD
    return (difference * NS_PER_S + (1 << 31)) >> 32


def from_64_64(seconds: int, fraction: int) -> int:
    """64.64 in two words -> whole nanoseconds, cut off; a property list may show either word as a negative number."""
    return (seconds % _WORD) * NS_PER_S + ((fraction % _WORD >> 32) * NS_PER_S >> 32)


def to_64_64(time_ns: int) -> tuple[int, int]:
    """Nanoseconds -> the words (seconds, fraction) of 64.64, of which `from_64_64` makes the same nanoseconds."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    return seconds % _WORD, -(-(rest << 32) // NS_PER_S) << 32
