"""The command ``kernel``. What is heavy (numpy, trio, plugins) is imported by the command that needs it."""

from __future__ import annotations

import gc
import os
import sys

START_COLLECTION = 50_000
"""Objects that a command makes before a garbage collection: what a start makes stays until the end, and to look through
it a thousand times is a tenth of the CPU time. The engine sets the interpreter's own number for a run."""


def main() -> None:
    """Run the command line; ends the process with the contract's exit code."""
    gc.set_threshold(START_COLLECTION)
    for stream in (sys.stdout, sys.stderr):
        # A file name that is not text must not be the end of us.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # numpy's OpenBLAS starts a thread for every core, and each spins before it sleeps: a fifth of the CPU time that a
    # start takes, on cores that audio wants. No product of matrices here is large enough to be shared.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .._core.deferred_import import defer_import
    from .app import cli

    # All nodes use trio when they run. It takes a quarter of the CPU time of `kernel check`, which runs none.
    defer_import("trio")

    try:
        cli(prog_name="kernel")
    finally:
        discard_unread_output()
        gc.freeze()  # or the interpreter, at its end, looks through all that there is: 30 ms


def discard_unread_output() -> None:
    """Write what is left in the streams. What its reader does not want (``kernel runs | head -1``) is dropped."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # Python would report it again when it ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
