"""Child processes of a benchmark: each in a process group of its own, and always ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType

_PR_SET_PDEATHSIG = 1


def log(text: str) -> None:
    """Print one progress line on stderr, so that stdout carries nothing but the table."""
    print(text, file=sys.stderr, flush=True)


def die_with_parent() -> None:
    """For a child between fork and exec: if its parent is killed outright, no `finally` runs; the kernel ends it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Child:
    """A process that was started in a process group of its own, with its output in a file."""

    def __init__(self, args: Sequence[str], output: Path) -> None:
        self.output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                list(args),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def text(self) -> str:
        """Everything the process printed so far."""
        return self.output.read_text(errors="replace")

    def last_words(self) -> str:
        """The last line that the process printed, for an error message."""
        lines = [line.strip() for line in self.text().splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it printed nothing"

    def stop(self, number: int = signal.SIGTERM, patience: float = 5.0) -> None:
        """Ask the process to end, wait up to `patience` seconds, then kill what is left of its group."""
        if self.alive():
            self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self._signal(signal.SIGKILL)  # also reaches grandchildren that outlived the process
        self.process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Workshop:
    """A temporary folder and the children started in it; leaving it ends and removes all of them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="phasegraph-bench-"))
        self._children: list[Child] = []

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, args: Sequence[str], name: str) -> Child:
        """Start a process; its output goes to a file called after `name`."""
        child = Child(args, self.folder / f"{name}-{len(self._children)}.log")
        self._children.append(child)
        return child

    def stop_all(self) -> None:
        """End every child that still runs."""
        for child in reversed(self._children):
            child.stop(patience=1.0)


def end_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that the clean-up code runs as it does on Ctrl-C."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def build_c(source: Path, folder: Path) -> Path | str:
    """Compile a C file into `folder`; returns the program, or the reason why there is none."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return "no C compiler"
    program = folder / source.stem
    command = [compiler, "-O3", "-march=native", "-o", str(program), str(source), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return f"{source.name} does not compile: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    return program


def wait_until(deadline: float, child: Child) -> None:
    """Sleep until `deadline` (time.monotonic), or raise as soon as the child has ended."""
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.25))
        if not child.alive():
            code = child.process.returncode
            raise RuntimeError(f"ended early with status {code}: {child.last_words()}")
