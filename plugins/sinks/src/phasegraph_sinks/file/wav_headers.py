"""Headers of finished WAV files, which libsndfile leaves in a form that simple readers refuse. Blocking."""

from __future__ import annotations

import struct

_HEAD = struct.Struct("<4sI4s4sI24s4sIHHIIHH")
_EXTENSIBLE = 0xFFFE


def make_plain_wav(path: str) -> None:
    """Turn the header of a file that did not need RF64 into that of a plain WAV file.

    libsndfile keeps room for RF64 (a JUNK chunk of 24 bytes, EBU Tech 3306) and writes WAVE_FORMAT_EXTENSIBLE
    (a format chunk of 40 bytes), which simple readers, such as Python's `wave` before 3.12, refuse, and with it a
    speaker layout that was never given. The format chunk shrinks to 16 bytes and the JUNK chunk grows by the rest: no
    sample moves. A header of any other form stays as it is.
    """
    with open(path, "r+b") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        riff, size, wave, junk, room, _, fmt, length, tag, *shape = _HEAD.unpack(head)
        ids = (riff, wave, junk, fmt)
        if ids != (b"RIFF", b"WAVE", b"JUNK", b"fmt ") or (room, length, tag) != (24, 40, _EXTENSIBLE):
            return
        # Of the extension: its size, valid bits, channel mask, and a GUID that begins with the format's plain tag.
        (plain_tag,) = struct.unpack_from("<8xH", file.read(24))
        rest = struct.pack("<4sI48x4sIHHIIHH", b"JUNK", 48, b"fmt ", 16, plain_tag, *shape)
        file.seek(0)
        file.write(struct.pack("<4sI4s", riff, size, wave) + rest)
