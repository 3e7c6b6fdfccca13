"""The lines of a session description, and the sections that they form (RFC 8866, section 5)."""

from __future__ import annotations

from collections.abc import Iterator

MAX_SDP_BYTES = 64 << 10


class MalformedSdp(ValueError):
    """A session description that no stream can be received from; the message says why."""


class Section:
    """Lines of the session, or of one medium."""

    def __init__(self, media: str = "") -> None:
        self.media = media
        """What follows ``m=``; empty for the session."""
        self.connection: str | None = None
        self.information = ""
        self.attributes: list[tuple[str, str]] = []

    def all(self, name: str) -> list[str]:
        """Every value of an attribute, in order."""
        return [value for key, value in self.attributes if key == name]

    def first(self, name: str) -> str | None:
        """The first value of an attribute."""
        return next(iter(self.all(name)), None)


class Lines:
    """A description taken apart: the session's own lines and its media."""

    def __init__(self, text: str) -> None:
        """Raises MalformedSdp where it is too long."""
        if len(text) > MAX_SDP_BYTES:
            raise MalformedSdp(f"longer than {MAX_SDP_BYTES >> 10} KiB: this is not a session description")
        self.session = Section()
        self.media: list[Section] = []
        self.name = ""
        self.origin = ""
        self.has_version = False
        for kind, value in _lines(text):
            section = self.media[-1] if self.media else self.session
            if kind == "m":
                self.media.append(Section(value))
            elif kind == "c":
                section.connection = value
            elif kind == "i":
                section.information = value
            elif kind == "a":
                key, _, argument = value.partition(":")
                section.attributes.append((key.strip().lower(), argument.strip()))
            elif kind == "s":
                self.name = value
            elif kind == "o":
                self.origin = value
            elif kind == "v":
                self.has_version = True


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace("\r", "\n").split("\n"):
        kind, equals, value = line.strip().partition("=")
        if equals and len(kind) == 1:
            yield kind, value.strip()
