"""Compare what receiving AES67 streams costs in Phasegraph, GStreamer, ffmpeg and a C loop.

One trial: a sender process of the benchmark multicasts N streams over the loopback interface, evenly paced;
one program receives them; after a warm-up the CPU time of that program (all threads and children, user and
system) is taken over a window. The trials of all programs follow each other in rounds and the table shows
medians.

Every fourth stream comes twice, by two legs (SMPTE ST 2022-7). Phasegraph merges them; to the others, which cannot, the
second leg is one more stream. Concealment, statistics and the window of Phasegraph are on, as they are by default.

  ours           kernel run: N aes67 sources, N null sinks (put in order and checked; not converted)
  ours-decode    the same with meter = true: converted to float, and the peak of every block looked for
  gst            gst-launch-1.0: N x udpsrc ! rtpjitterbuffer ! rtpL24depay ! fakesink (not converted)
  ffmpeg         N SDP inputs, -c copy to the null muxer (not converted)
  floor          floor.c: recvmmsg every 4 ms, header check, L24 to float (no jitter handling: a lower bound)
  ffmpeg-decode  as ffmpeg, but converted to float (only with --only)

Work that the kernel does while the sender is in its system call (loopback delivers packets there) is in no
row. "Lost" are packets that found no room in the program's sockets or that the program itself reports
missing; the CPU per packet counts those that arrived. "Other work" is what the rest of the machine used.

Examples:
  python benchmarks/receive.py
  python benchmarks/receive.py --streams 1,64 --rounds 5 --json receive.json
  python benchmarks/receive.py --only ours,gst --streams 1 --packet-time 125us
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import _load
import _measure
import _options
import _peers
import _proc
import _table
import _wire

_DEFAULT = (_peers.OURS, _peers.OURS_DECODE, _peers.GSTREAMER, _peers.FFMPEG, _peers.FLOOR)
_LOAD = Path(__file__).parent / "_load.py"


@dataclasses.dataclass(frozen=True)
class Trial:
    """The outcome of one trial; figures are absent when it failed."""

    peer: str
    streams: int
    turn: int
    us_per_packet: float | None = None
    core: float | None = None
    lost: int | None = None
    sent: int | None = None
    threads: int | None = None
    steal: float | None = None
    others: float | None = None
    note: str = ""


def _lost_inside(peer: _peers.Peer, job: _peers.Job, printed: str, due: int) -> tuple[int, str]:
    """Packets that the program itself says it missed, and a remark if its own count contradicts ours."""
    if peer.key.startswith(_peers.FFMPEG):
        return sum(int(n) for n in re.findall(r"RTP: missed (\d+) packets", printed)), ""
    if peer.key == _peers.FLOOR:
        found = re.search(r"\{.*\}", printed)
        return (int(json.loads(found[0])["lost"]), "") if found else (0, "printed no counts")
    if peer.key.startswith(_peers.OURS):
        names = ("packets_received", "leg_b_packets_received", "packets_lost", "packets_late", "packets_malformed")
        sums = _options.report_sums(_peers.report_path(job), names, "source")
        if sums is None:
            return 0, "left no readable report"
        lost = int(sums["packets_lost"] + sums["packets_late"])
        # The report is about the whole run, so it has to hold at least the packets of the window. A cost per
        # packet would mean nothing if they were read and thrown away, say as malformed.
        # What came on both legs counts once in packets_received.
        received = sums["packets_received"] + sums["leg_b_packets_received"]
        if received + lost < 0.99 * due:
            kept = f"{received:.0f} received, {sums['packets_malformed']:.0f} malformed"
            raise RuntimeError(f"its report counts fewer packets than were sent: {kept}")
        return lost, ""
    return 0, ""


def _trial(options: _options.Options, peer: _peers.Peer, count: int, turn: int, shop: _proc.Workshop) -> Trial:
    streams = _wire.Streams(count, options.prefix, options.port, redundant=True)
    form = options.form
    # Our own run gets an end of its own, far enough away: 30 s are for starting.
    job = _peers.Job(form, streams, shop.folder, options.warm_up + options.seconds + 30)
    _options.refuse_shared(streams)
    counter_path = shop.folder / "counter"
    counter_path.unlink(missing_ok=True)
    counter = _load.Counter(counter_path)
    what = [str(v) for v in (count, form.channels, form.frames, options.prefix, options.port, counter_path)]
    load = shop.start([sys.executable, str(_LOAD), *what], "load")
    child = shop.start(peer.command(job), peer.key)
    try:
        _options.await_joins(child, streams)
        _proc.wait_until(time.monotonic() + options.warm_up, child)
        printed_before = len(child.text())
        skipped_before = counter.read()[1]
        first = _measure.snapshot(child.pid, load.pid, counter.read()[0])
        _proc.wait_until(time.monotonic() + options.seconds, child)
        last = _measure.snapshot(child.pid, load.pid, counter.read()[0])
        threads = _measure.thread_count(child.pid)
        printed = child.text()[printed_before:]
        if not load.alive():
            raise RuntimeError(f"the sender ended: {load.last_words()}")
    finally:
        _options.stop_peer(child, peer.key)
        load.stop()
    seen = _measure.between(first, last)
    if peer.key == _peers.FLOOR:
        printed = child.text()
    inside, note = _lost_inside(peer, job, printed, seen.sent)
    lost = max(seen.drops, inside)
    received = seen.sent - lost
    if received <= 0:
        raise RuntimeError("received nothing")
    notes = [note] if note else []
    if seen.delivered < 0.98 * (seen.sent - seen.drops):
        notes.append(f"read only {100 * seen.delivered / seen.sent:.0f} % of the packets")
    if seen.sent < 0.98 * form.rate_of_packets(streams.flows) * seen.seconds or counter.read()[1] > skipped_before:
        notes.append("the sender could not keep its rate")
    return Trial(
        peer=peer.key,
        streams=count,
        turn=turn,
        us_per_packet=seen.cpu_seconds * 1e6 / received,
        core=seen.cpu_seconds / seen.seconds,
        lost=lost,
        sent=seen.sent,
        threads=threads,
        steal=seen.steal,
        others=seen.others,
        note="; ".join(notes),
    )


def _say(trial: Trial) -> None:
    if trial.us_per_packet is None:
        _proc.log(f"  failed: {trial.note}")
        return
    cost = f"{trial.us_per_packet:.2f} us/packet, {_table.percent(trial.core)} of a core, lost {trial.lost}"
    rest = f"steal {_table.percent(trial.steal)}, other work {_table.percent(trial.others)}"
    _proc.log(f"  {cost}, {trial.threads} threads, {rest}{'; ' + trial.note if trial.note else ''}")


def table(peers: Sequence[_peers.Peer], counts: Sequence[int], done: Sequence[Trial]) -> str:
    """The medians as Markdown."""
    head = ["streams", "receiver", "us CPU/packet", "% of a core", "of GStreamer", "lost packets"]
    head += ["steal", "other work", "remarks"]
    rows: list[list[str]] = []
    for count in counts:
        here = [t for t in done if t.streams == count]
        base = _table.median(t.us_per_packet for t in here if t.peer == _peers.GSTREAMER)
        for peer in peers:
            mine = [t for t in here if t.peer == peer.key]
            cost = _table.median(t.us_per_packet for t in mine)
            ratio = None if cost is None or not base else cost / base
            share = _table.median(None if t.lost is None or not t.sent else t.lost / t.sent for t in mine)
            lost = "-" if share is None else "0" if share == 0 else _table.percent(share, 3)
            notes = _table.remarks(t.note for t in mine) or peer.missing or ""
            row = [str(count), peer.label, _table.number(cost, 2)]
            row += [_table.percent(_table.median(t.core for t in mine)), _table.number(ratio, 2), lost]
            row += [_table.percent(_table.median(t.steal for t in mine))]
            rows.append([*row, _table.percent(_table.median(t.others for t in mine)), notes])
    return _table.markdown(head, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    options = _options.parse("receive.py", __doc__ or "", "1,16,64", "239.69.200", argv)
    done: list[Trial] = []
    with _proc.Workshop() as shop:
        all_peers = _peers.receivers(shop.folder, options.link_offset)
        peers = options.chosen(all_peers, _DEFAULT)
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
            print(f"Receiving {options.caption()}\n")
            print(table(peers, options.streams, done))
            _options.save(options.json, "receive", options, [dataclasses.asdict(t) for t in done])
    return 0 if any(t.us_per_packet is not None for t in done) else 1


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
