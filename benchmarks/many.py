"""Many streams into one run on one core, for some time: what is lost, what it costs, and whether the sender was late.

    sudo python benchmarks/many.py [--streams 256] [--seconds 600]

The sender (load.c) and the run get a core each: the machine's last and its first. Both ask for real-time priority. A
packet time is late where the sender began it more than a packet time late: what follows comes in a burst. Beside them
stand the machine's own stalls of more than 5 ms (_stalls.py), and the packets that full sockets dropped.
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
import _stalls
import _table
import _wire

PORT, CHANNELS, FRAMES, RATE = 5408, 8, 48, 48_000
KERNEL = (sys.executable, "-m", "phasegraph")
TAIL_S = 4.0
COUNTS = ("packets_received", "packets_lost", "packets_late", "frames_concealed")


def group(stream: int) -> str:
    """The multicast group of a stream, counted from 0, as load.c has it."""
    return f"239.70.{stream // 200 + 1}.{stream % 200 + 1}"


def graph(streams: int, *, channels: int = CHANNELS, link_offset: str = "500ms") -> str:
    """A source and a sink that reads it, for each stream."""
    nodes = (
        f'[sources.s{i}]\nkind = "aes67"\ninterface = "{_wire.LOOPBACK}"\n'
        f'group = "{group(i)}"\nport = {PORT}\npayload-type = 96\n'
        f'encoding = "L24"\nrate = "48kHz"\nchannels = {channels}\npacket-time = "1ms"\nlink-offset = "{link_offset}"\n'
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
        stalls = _stalls.StallWatch(shop, options.seconds - 1.0)
        time.sleep(1.0)
        before_ns, began = _measure.cpu_ns(receiver.pid), time.monotonic()
        _proc.wait_until(time.monotonic() + options.seconds - 1.0, receiver)
        processes, drops = len(_measure.group_members(receiver.pid)), _measure.socket_drops(receiver.pid)
        cpu_s, wall_s = (_measure.cpu_ns(receiver.pid) - before_ns) / 1e9, time.monotonic() - began
        sender.process.terminate()
        sender.process.wait(10)
        receiver.process.wait(30)
        stalled = stalls.result()
        sent = json.loads(sender.text().splitlines()[-1])
        sums = _options.report_sums(report, COUNTS, "source")
    if sums is None:
        parser.exit(1, f"the run left no report: {receiver.last_words()}\n")
    rate = options.streams * RATE / FRAMES
    print(
        f"{options.streams} streams of {CHANNELS} channels, {options.seconds:g} s, a core each: {_options.machine()}\n"
    )
    head = ["sent", "refused", "late packet times", "the latest, ms", *COUNTS, "dropped by sockets"]
    head += ["processes", "of a core", "us CPU/packet", "stalls", "the longest, ms"]
    row = [str(sent["packets"]), str(sent["refused"]), str(sent["late"]), _table.number(sent["latest_us"] / 1e3, 1)]
    row += [f"{sums[name]:.0f}" for name in COUNTS]
    row += [str(drops), str(processes), _table.percent(cpu_s / wall_s), _table.number(1e6 * cpu_s / wall_s / rate, 2)]
    row += [f"{stalled['count']:.0f}", str(stalled["longest_ms"])]
    print(_table.markdown(head, [row]))
    return 0


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
