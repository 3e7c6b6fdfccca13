"""Programs that a test runs: each with a time-out, its output in files, and an end that nothing survives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

POLL_S = 0.02
START_S = 60.0
"""How long anything that a test waits for may take on a busy machine."""


class Running:
    """A program that was started. Its output can be read while it runs."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, stdout: Path, stderr: Path) -> None:
        self.process = process
        self.name = name
        self._stdout = stdout
        self._stderr = stderr

    @property
    def stdout(self) -> str:
        """Standard output so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return self._stderr.read_text(errors="replace")

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; returns the exit code. Raises AssertionError with the output if it takes too long."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still ran after {timeout_s:g} s\n{self.told()}") from None

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
        """Wait for a condition that this program brings about. Raises AssertionError if it ends before, or is late."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None and not condition():
                raise AssertionError(f"{self.name} ended before {what}\n{self.told()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: not {what} after {timeout_s:g} s\n{self.told()}")
            time.sleep(POLL_S)

    def signal(self, number: int) -> None:
        """Send a signal to the program alone, as a service manager does."""
        self.process.send_signal(number)

    def told(self) -> str:
        """Both outputs, for messages."""
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], folder: Path, *, name: str = "", environment: dict[str, str] | None = None
) -> Iterator[Running]:
    """Run a program in ``folder``, in a process group of its own that is killed when the block ends."""
    name = name or Path(str(command[0])).name
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob("*.stdout")))
    stdout, stderr = folder / f"{number}-{name}.stdout", folder / f"{number}-{name}.stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield Running(process, name, stdout, stderr)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def udp_listener(port: int, group: str | None = None) -> Callable[[], bool]:
    """A condition: some process of this machine is bound to a UDP port and, if one is given, listens to a group."""
    bound = f":{port:04X} "
    member = "" if group is None else "".join(f"{int(part):02X}" for part in reversed(group.split(".")))

    def listens() -> bool:
        sockets = Path("/proc/net/udp").read_text().splitlines()[1:]
        if not any(bound in line.split(":", 1)[1][:16] for line in sockets):
            return False
        return member in Path("/proc/net/igmp").read_text()

    return listens
