"""What clients of the control socket cost a run that receives N streams.

One run receives 64 streams. Windows follow each other in rounds: no client; one client that asks for the status once a
second; 20 clients that subscribe at the shortest interval and never read, connected when the window begins. Of each
window the processor time is taken, that of the control plane's thread apart from the engine's, and packets lost. The
clients' own time is in no row. The cost of a kind of window is its median less that of the windows without a client.

Examples:
  python benchmarks/control_clients.py
  python benchmarks/control_clients.py --streams 64 --rounds 5 --seconds 20
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import _load
import _options
import _peers
import _proc
import _table
import _wire

from phasegraph.control import ControlError, connect

_LOAD = Path(__file__).parent / "_load.py"
_SUBSCRIBE = b'{"request": "subscribe", "id": 1, "interval_s": 0.2, "events": true}\n'
_LAZY_CLIENTS = 20
_UNREAD_S = 11.0
"""A run that was read samples its counters as often as before for 10 s."""


class Seen(NamedTuple):
    """One window."""

    control: float
    """Share of a core that the control plane's thread took."""
    process: float
    lost: int


def thread_times(pid: int) -> tuple[int, int]:
    """Nanoseconds on a processor: of the main thread, and of all threads."""
    times = {task: int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) for task in _tasks(pid)}
    return times[pid], sum(times.values())


def _tasks(pid: int) -> list[int]:
    return [int(task) for task in os.listdir(f"/proc/{pid}/task")]


def no_client(path: Path, seconds: float, stack: ExitStack) -> None:
    """Nothing but time passes."""
    time.sleep(seconds)


def one_a_second(path: Path, seconds: float, stack: ExitStack) -> None:
    """One client that asks once a second."""
    with connect(path) as run:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            run.status()
            time.sleep(max(0.0, min(1.0, end - time.monotonic())))


def lazy_clients(path: Path, seconds: float, stack: ExitStack) -> None:
    """Clients that subscribe and never read."""
    for _ in range(_LAZY_CLIENTS):
        client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.connect(os.fspath(path))
        client.sendall(_SUBSCRIBE)
    time.sleep(seconds)


WINDOWS: dict[str, Callable[[Path, float, ExitStack], None]] = {
    "no client": no_client,
    "status, once a second": one_a_second,
    f"{_LAZY_CLIENTS} clients that never read": lazy_clients,
}


def measure(pid: int, path: Path, window: Callable[[Path, float, ExitStack], None], seconds: float) -> Seen:
    """One window."""
    lost = _lost(path)
    if window is no_client:
        time.sleep(_UNREAD_S)
    (control, whole), began = thread_times(pid), time.monotonic()
    with ExitStack() as stack:
        window(path, seconds, stack)
        (control_now, whole_now), passed = thread_times(pid), (time.monotonic() - began) * 1e9
    return Seen((control_now - control) / passed, (whole_now - whole) / passed, _lost(path) - lost)


def _lost(path: Path) -> int:
    with connect(path) as run:
        metrics = [node.metrics for node in run.status().nodes.values()]
    names = ("packets_lost", "packets_late", "packets_early")
    return sum(int(figures.get(name, 0)) for figures in metrics for name in names)


def table(seen: dict[str, list[Seen]]) -> str:
    """The medians as Markdown."""
    base = seen["no client"]
    rows = []
    for name, windows in seen.items():
        row = [name]
        for field in ("control", "process"):
            middle = _table.median(getattr(each, field) for each in windows)
            before = _table.median(getattr(each, field) for each in base)
            added = None if middle is None or before is None or windows is base else middle - before
            row += [_table.percent(middle, 2), "-" if added is None else f"{100 * added:+.2f} %"]
        rows.append([*row, str(sum(each.lost for each in windows))])
    head = ["clients", "control plane, of a core", "added", "whole process", "added", "lost packets"]
    return _table.markdown(head, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    options = _options.parse("control_clients.py", __doc__ or "", "64", "239.69.203", argv)
    seen: dict[str, list[Seen]] = {name: [] for name in WINDOWS}
    with _proc.Workshop() as shop:
        streams = _wire.Streams(options.streams[0], options.prefix, options.port)
        job = _peers.Job(options.form, streams, shop.folder, 3600)
        _options.refuse_shared(streams)
        counter_path = shop.folder / "counter"
        _load.Counter(counter_path)
        what = [str(v) for v in (streams.count, job.form.channels, job.form.frames, options.prefix, options.port)]
        shop.start([sys.executable, str(_LOAD), *what, str(counter_path)], "load")
        path = shop.folder / "run.sock"
        peer = _peers.receivers(shop.folder, options.link_offset)[_peers.OURS]
        child = shop.start([*peer.command(job), "--control", str(path), "--status", "none"], "ours")
        _options.await_joins(child, streams)
        _proc.wait_until(time.monotonic() + 15, child)  # rates over 10 s are known from then on
        for turn in range(options.rounds):
            for name, window in WINDOWS.items():
                _proc.log(f"{name}, round {turn + 1} of {options.rounds}")
                try:
                    seen[name].append(measure(child.pid, path, window, options.seconds))
                except ControlError as error:
                    raise SystemExit(f"{error}: {child.last_words()}") from error
        print(f"{streams.count} received streams of {options.caption()}\n")
        print(table(seen))
    return 0


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
