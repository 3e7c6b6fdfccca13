"""The command ``kernel``. What is heavy (numpy, trio, plugins) is imported by the command that needs it."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the process with the contract's exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that is not text must not be the end of us.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from .app import cli

    cli(prog_name="kernel")
