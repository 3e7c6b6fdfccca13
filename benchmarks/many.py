"""Many streams into one run on one core, for some time: what is lost, what it costs, and whether the sender was late.

    sudo python benchmarks/many.py [--streams 256] [--seconds 600]

The sender (load.c) and the run get a core each: the machine's last and its first. Both ask for real-time priority. A
packet time is late where the sender began it more than a packet time late: what follows comes in a burst.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import _measure
import _options
import _proc
import _table
import _wire

PORT, CHANNELS, FRAMES, RATE = 5408, 8, 48, 48_000
KERNEL = (sys.executable, "-m", "phasegraph")
TAIL_S = 4.0
COUNTS = ("packets_received", "packets_lost", "packets_late", "frames_concealed")


def graph(streams: int) -> str:
    """A source and a sink that reads it, for each stream."""
    nodes = (
        f'[sources.s{i}]\nkind = "aes67"\ninterface = "{_wire.LOOPBACK}"\n'
        f'group = "239.70.{i // 200 + 1}.{i % 200 + 1}"\nport = {PORT}\npayload-type = 96\n'
        f'encoding = "L24"\nrate = "48kHz"\nchannels = {CHANNELS}\npacket-time = "1ms"\nlink-offset = "500ms"\n'
        f'[sinks.n{i}]\nkind = "null"\nmeter = false\ninput = "s{i}"\n'
        for i in range(streams)
    )
    return "\n".join(['schema = 1\n[clocks.house]\nkind = "system"\n', *nodes])


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=256, help="streams of 8 channels, up to 1000 (256)")
    parser.add_argument("--seconds", type=float, default=600, help="length (600)")
    options = parser.parse_args()
    if not 1 <= options.streams <= 1000 or options.seconds <= 0:
        parser.error("need 1 to 1000 --streams and positive --seconds")
    cores = sorted(os.sched_getaffinity(0))
    with _proc.Workshop() as shop:
        program = _proc.build_c(Path(__file__).parent / "load.c", shop.folder)
        if isinstance(program, str):
            parser.error(program)
        path, report = shop.folder / "graph.toml", shop.folder / "report.json"
        path.write_text(graph(options.streams))
        where = [str(PORT), _wire.LOOPBACK, str(CHANNELS), str(FRAMES), "0", str(options.streams)]
        length_s = options.seconds + TAIL_S + options.streams / 64
        run = [*KERNEL, "run", str(path), "--for", f"{length_s:.0f}s", "--report", str(report), "--no-control"]
        receiver = shop.start(["taskset", "-c", str(cores[0]), *run, "--status", "none"], "run")
        time.sleep(2.0 + options.streams / 64)
        load = ["taskset", "-c", str(cores[-1]), "chrt", "--fifo", "10", str(program), *where]
        sender = shop.start(load, "load")
        time.sleep(1.0)
        before_ns, began = _measure.cpu_ns(receiver.pid), time.monotonic()
        _proc.wait_until(time.monotonic() + options.seconds - 1.0, receiver)
        cpu_s, wall_s = (_measure.cpu_ns(receiver.pid) - before_ns) / 1e9, time.monotonic() - began
        sender.process.terminate()
        sender.process.wait(10)
        receiver.process.wait(30)
        sent = json.loads(sender.text().splitlines()[-1])
        sums = _options.report_sums(report, COUNTS, "source")
    if sums is None:
        parser.exit(1, f"the run left no report: {receiver.last_words()}\n")
    rate = options.streams * RATE / FRAMES
    print(
        f"{options.streams} streams of {CHANNELS} channels, {options.seconds:g} s, a core each: {_options.machine()}\n"
    )
    head = ["sent", "refused", "late packet times", "the latest, ms", *COUNTS, "of a core", "us CPU/packet"]
    row = [str(sent["packets"]), str(sent["refused"]), str(sent["late"]), _table.number(sent["latest_us"] / 1e3, 1)]
    row += [f"{sums[name]:.0f}" for name in COUNTS]
    row += [_table.percent(cpu_s / wall_s), _table.number(1e6 * cpu_s / wall_s / rate, 2)]
    print(_table.markdown(head, [row]))
    return 0


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
