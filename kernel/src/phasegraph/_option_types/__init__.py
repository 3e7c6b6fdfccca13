"""The options of a configuration struct, as shapes: read from a graph, explained, and described by a JSON Schema."""

from __future__ import annotations

from .from_struct import record_of

__all__ = ["record_of"]
