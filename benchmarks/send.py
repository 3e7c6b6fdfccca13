"""Compare what sending AES67 streams costs, and how evenly the packets leave.

One trial: one program multicasts N streams over the loopback interface; a receiver process of the benchmark
joins all of them and keeps each packet's kernel receive stamp. The window starts after a warm-up. The table
shows the CPU time of the sending program: all threads and children, user and system. With loopback this
includes the delivery to the receiver's socket, for all alike. For the first stream it shows the delay
of each packet over the fastest one (on an ideal grid of packet times, with its rate fitted) and the share of
packets that follow the one before within a tenth of the packet time. Trials of all programs follow each other
in rounds; the table shows medians over rounds, in column "max" the median of each round's largest delay.
A sender that leaves packet times out instead of catching up gets a slower grid, and a remark how much slower.
With many streams a burst shows in the delays only: packets of other streams lie between those of the first.

  ours     kernel run: one tone source, N aes67 sinks, pacing = "thread"; its engine asks for real-time priority, and
           has it as root
  ours-io-uring  the same with pacing = "io-uring": the system sends each packet at its time, handed over in batches
  ours-normal  as ours, where that priority is not permitted
  gst      gst-launch-1.0: N x audiotestsrc ! audioconvert ! rtpL24pay ! udpsink
  gst-rt   the same with the same real-time priority
  ffmpeg   -re, one sine source in frames of one packet, N rtp outputs
  pipewire a daemon of its own: one audiotestsrc, N rtp-sinks, a quantum of one packet (packets of 1 ms only; root,
           to add a route for its groups)
  pipewire-rt  the same with real-time priority, which its usual configuration asks for
  floor    floor_send.c: clock_nanosleep, float to L24 and one sendmmsg per packet time (a lower bound)
  floor-rt the same with real-time priority
and only when --only names them:
  gst-tee      as gst with one audiotestsrc and a tee
  ffmpeg-10ms  as ffmpeg with frames of 10 ms

Examples:
  python benchmarks/send.py
  python benchmarks/send.py --streams 1 --packet-time 125us --channels 2
  python benchmarks/send.py --only ours,floor --streams 1,16,64 --rounds 5 --json send.json
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import _measure
import _options
import _peers
import _proc
import _spacing
import _table
import _wire
import numpy as np
import numpy.typing as npt

_DEFAULT = (
    *(_peers.OURS, _peers.OURS_IO_URING, _peers.OURS_NORMAL, _peers.GSTREAMER, _peers.GSTREAMER_RT, _peers.FFMPEG),
    *(_peers.PIPEWIRE, _peers.PIPEWIRE_RT, _peers.FLOOR, _peers.FLOOR_RT),
)
_SLOW_PPM = 500.0
_SPY = Path(__file__).parent / "_spy.py"


@dataclasses.dataclass(frozen=True)
class Trial:
    """The outcome of one trial; figures are absent when it failed."""

    peer: str
    streams: int
    turn: int
    us_per_packet: float | None = None
    core: float | None = None
    packets: int | None = None
    missing: int | None = None
    threads: int | None = None
    steal: float | None = None
    others: float | None = None
    spacing: _spacing.Spacing | None = None
    note: str = ""


def _await_rate(child: _proc.Child, rate: float, patience: float) -> None:
    """Wait until packets arrive at nearly the full rate, so that starting up is outside of the window."""
    deadline = time.monotonic() + patience
    seen = 0.0
    while time.monotonic() < deadline:
        before, at = _measure.datagrams_read(), time.monotonic()
        _proc.wait_until(at + 0.5, child)
        seen = (_measure.datagrams_read() - before) / (time.monotonic() - at)
        if seen > 0.9 * rate:
            return
    got = f"{seen:.0f} packets a second after {patience:g} s instead of {rate:.0f}"
    raise RuntimeError(f"{got}: {child.last_words()}")


def _trial(options: _options.Options, peer: _peers.Peer, count: int, turn: int, shop: _proc.Workshop) -> Trial:
    streams = _wire.Streams(count, options.prefix, options.port)
    _options.refuse_shared(streams)
    patience = 15 + 0.3 * count
    job = _peers.Job(options.form, streams, shop.folder, patience + options.warm_up + options.seconds + 30)
    records = shop.folder / "records.npy"
    records.unlink(missing_ok=True)
    where = [str(count), options.prefix, str(options.port)]
    spy = shop.start([sys.executable, str(_SPY), *where, str(records)], "spy")
    _options.await_joins(spy, streams)
    child = shop.start(peer.command(job), peer.key)
    try:
        _await_rate(child, options.form.rate_of_packets(count), patience)
        _proc.wait_until(time.monotonic() + options.warm_up, child)
        drops = _measure.socket_drops(spy.pid)
        first = _measure.snapshot(child.pid, spy.pid)
        _proc.wait_until(time.monotonic() + options.seconds, child)
        last = _measure.snapshot(child.pid, spy.pid)
        drops = _measure.socket_drops(spy.pid) - drops
        threads = _measure.thread_count(child.pid)
        if not spy.alive():
            raise RuntimeError(f"the benchmark's receiver ended: {spy.last_words()}")
    finally:
        _options.stop_peer(child, peer.key)
        spy.stop()
    seen = _measure.between(first, last)
    if peer.key in (_peers.OURS, _peers.OURS_IO_URING):
        sums = _options.report_sums(_peers.report_path(job), ("send_errors",), "sink")
        remark = "left no readable report" if sums is None else ""
        if sums and sums["send_errors"]:
            remark = f"reports {sums['send_errors']:.0f} send errors"
    else:
        remark = ""
    return _outcome(Trial(peer.key, count, turn, threads=threads), options.form, seen, records, drops, remark)


def _outcome(trial: Trial, form: _wire.Format, seen: _measure.Window, records: Path, drops: int, remark: str) -> Trial:
    if not records.exists():
        raise RuntimeError("the benchmark's receiver left no records")
    packets: npt.NDArray[np.void] = np.load(records)
    packets = packets[(packets["stamp"] >= seen.start_ns) & (packets["stamp"] < seen.end_ns)]
    if packets.size == 0:
        raise RuntimeError("no packet arrived in the window")
    sequences = [packets["sequence"][packets["stream"] == i].astype(np.int64) for i in range(trial.streams)]
    one = packets[packets["stream"] == 0]
    notes = [remark] if remark else []
    silent = sum(s.size == 0 for s in sequences)
    share = packets.size / (form.rate_of_packets(trial.streams) * seen.seconds)
    if silent:
        notes.append(f"{silent} streams are silent")
    exact = 1e9 * form.frames / form.rate
    even = _spacing.spacing(one["stamp"].astype(np.int64), one["sequence"].astype(np.int64), exact)
    if not 0.98 < share < 1.02:
        notes.append(f"sent {100 * share:.0f} % of the packets due")
    elif even is not None and even.rate_ppm < -_SLOW_PPM:
        notes.append(f"falls {-even.rate_ppm / 1000:.1f} ms behind each second")
    if drops:
        notes.append(f"the benchmark's receiver lost {drops} packets")
    return dataclasses.replace(
        trial,
        us_per_packet=seen.cpu_seconds * 1e6 / (packets.size + drops),
        core=seen.cpu_seconds / seen.seconds,
        packets=int(packets.size),
        missing=max(0, sum(_spacing.missing(s) for s in sequences) - drops),
        steal=seen.steal,
        others=seen.others,
        spacing=even,
        note="; ".join(notes),
    )


def _say(trial: Trial) -> None:
    if trial.us_per_packet is None:
        _proc.log(f"  failed: {trial.note}")
        return
    cost = f"{trial.us_per_packet:.2f} us/packet, {_table.percent(trial.core)} of a core"
    even = ""
    if trial.spacing is not None:
        s = trial.spacing
        even = f", delay {s.p50_us:.0f}/{s.p99_us:.0f}/{s.max_us:.0f} us"
        even += f", {_table.percent(s.back_to_back)} back to back"
    rest = f"{trial.threads} threads, steal {_table.percent(trial.steal)}"
    rest += f", other work {_table.percent(trial.others)}"
    _proc.log(f"  {cost}{even}, {rest}{'; ' + trial.note if trial.note else ''}")


def table(peers: Sequence[_peers.Peer], counts: Sequence[int], done: Sequence[Trial]) -> str:
    """The medians as Markdown."""
    head = ["streams", "sender", "us CPU/packet", "% of a core", "of GStreamer", "delay p50 us", "p99", "max"]
    head += ["back to back", "missing", "steal", "other work", "remarks"]
    rows: list[list[str]] = []
    for count in counts:
        here = [t for t in done if t.streams == count]
        base = _table.median(t.us_per_packet for t in here if t.peer == _peers.GSTREAMER)
        for peer in peers:
            mine = [t for t in here if t.peer == peer.key]
            even = [t.spacing for t in mine if t.spacing is not None]
            cost = _table.median(t.us_per_packet for t in mine)
            ratio = None if cost is None or not base else cost / base
            notes = _table.remarks(t.note for t in mine) or peer.missing or ""
            row = [str(count), peer.label, _table.number(cost, 2)]
            row += [_table.percent(_table.median(t.core for t in mine)), _table.number(ratio, 2)]
            row += [_table.number(_table.median(s.p50_us for s in even))]
            row += [_table.number(_table.median(s.p99_us for s in even))]
            row += [_table.number(_table.median(s.max_us for s in even))]
            row += [_table.percent(_table.median(s.back_to_back for s in even), 2)]
            row += [_table.number(_table.median(t.missing for t in mine), 0)]
            row += [_table.percent(_table.median(t.steal for t in mine))]
            rows.append([*row, _table.percent(_table.median(t.others for t in mine)), notes])
    return _table.markdown(head, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    options = _options.parse("send.py", __doc__ or "", "1,16", "239.69.201", argv)
    done: list[Trial] = []
    with _proc.Workshop() as shop:
        peers = options.chosen(_peers.senders(shop.folder), _DEFAULT)
        try:
            for count, turn, peer in _options.trials(options, peers):
                _proc.log(f"{peer.label}, {count} streams, round {turn + 1} of {options.rounds}")
                try:
                    trial = _trial(options, peer, count, turn, shop)
                except (RuntimeError, OSError) as error:
                    trial = Trial(peer.key, count, turn, note=str(error))
                finally:
                    shop.stop_all()
                _say(trial)
                done.append(trial)
        finally:
            # Also after Ctrl-C: what was measured so far is worth printing.
            print(f"Sending {options.caption()}\n")
            print(table(peers, options.streams, done))
            _options.save(options.json, "send", options, [dataclasses.asdict(t) for t in done])
    return 0 if any(t.us_per_packet is not None for t in done) else 1


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
