"""Compare how well PTP followers tell the time, against the truth: Phasegraph, ptp4l, chrony and GStreamer.

All hosts are network namespaces of this machine, so that they share CLOCK_REALTIME. The grandmaster, ptp4l, serves that
very clock: the true offset of a follower is zero at every instant. Each program has a path of its own, alike for all,
with its own grandmaster; by default all run at the same time. Nothing touches the machine's clock.

  ours           kernel run with a ptp clock: what its trace says, 20 times a second
  ours-linear    the same with estimator = "linear-regression"
  ours-median    the same with estimator = "median"
  ptp4l          ptp4l with software stamps and free_running: the offset that it measures at each Sync
  chrony         chronyd -x with NTP over PTP, 8 times a second, from a chronyd of its own: the time it keeps, which
                 a reference clock that it does not select holds against CLOCK_REALTIME
  gst            GStreamer's GstPtpClock, read 20 times a second between two readings of CLOCK_REALTIME

8 Syncs and 8 Delay_Reqs a second, an Announce a second. "Told" counts from the start of the program until it first
tells the time, "converged" until the error stays for 2 s within what the condition sets; ptp4l's and chrony's clocks
begin with the true time.

It needs Linux and root (network namespaces), linuxptp, and for its rows chrony and GStreamer (gst-ptp-helper).

Examples:
  sudo python benchmarks/ptp_accuracy.py
  sudo python benchmarks/ptp_accuracy.py --conditions jitter,bulk --only ours,chrony --seconds 20 --rounds 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _measure
import _options
import _proc
from _ptp_figures import Trial, table, write_trials
from _ptp_paths import CONDITIONS, netns
from _ptp_peers import FOLLOWERS, Follower
from _ptp_plot import Curve, plot, write_curves
from _ptp_trial import Timing, side_by_side

_DEFAULT_CONDITIONS = "quiet,jitter,exponential,asymmetric,load,bulk"


@dataclass(frozen=True)
class Options:
    """The parsed command line."""

    conditions: list[str]
    only: list[str]
    rounds: int
    timing: Timing
    apart: bool
    seed: int
    out: Path | None
    patience: float


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return parse


def parse(argv: Sequence[str] | None) -> Options:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="ptp_accuracy.py", description=__doc__, formatter_class=form)
    add = parser.add_argument
    conditions, programs = _names(list(CONDITIONS)), _names(list(FOLLOWERS))
    told = "; ".join(f"{name}: {each.about}" for name, each in CONDITIONS.items()).replace("%", "%%")
    add("--conditions", type=conditions, default=_DEFAULT_CONDITIONS, metavar="C,C", help=f"{told} (the first six)")
    add("--only", type=programs, default=",".join(FOLLOWERS), metavar="P,P", help="programs to run, by key")
    add("--rounds", type=int, default=3, help="rounds over all conditions; medians are reported (3)")
    add("--seconds", type=float, default=60.0, help="measured window of each trial (60)")
    add("--warm-up", type=float, default=20.0, help="seconds before the window, from the start of the programs (20)")
    add("--apart", action="store_true", help="run the programs one after another, each with the machine to itself")
    add("--seed", type=int, default=1, help="of the impairments (1)")
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write ptp_results.md, ptp_trials.csv, ptp_errors.csv and ptp_errors.svg there",
    )
    add("--wait-quiet", type=float, default=0.0, metavar="S", help="seconds to wait for a quiet machine (0)")
    given = parser.parse_args(argv)
    if given.rounds < 1 or given.seconds < 5 or given.warm_up < 0:
        parser.error("need --rounds of 1 or more, --seconds of 5 or more and a --warm-up of 0 or more")
    return Options(
        conditions=given.conditions,
        only=given.only,
        rounds=given.rounds,
        timing=Timing(given.warm_up, given.seconds),
        apart=given.apart,
        seed=given.seed,
        out=given.out,
        patience=given.wait_quiet,
    )


def _outcomes(
    group: Sequence[type[Follower]], name: str, options: Options, seed: int
) -> list[tuple[Trial, Curve | None]]:
    try:
        with _proc.Workshop() as shop:
            return side_by_side(group, name, options.timing, seed, shop)
    except (RuntimeError, OSError) as error:
        return [(Trial(name, kind.key, seed, note=str(error)), None) for kind in group]


def _say(trial: Trial) -> None:
    if trial.p99_us is None:
        _proc.log(f"  {trial.program}: failed: {trial.note}")
        return
    figures = f"p50 {trial.p50_us:.2f}, p99 {trial.p99_us:.2f}, bias {trial.bias_us:.2f} us"
    _proc.log(f"  {trial.program}: {figures}")


def report(options: Options, trials: Sequence[Trial]) -> str:
    """What was measured where and how, and the table, as Markdown."""
    how = "one after another" if options.apart else "all programs at once"
    window = f"{options.rounds} windows of {options.timing.seconds:g} s after {options.timing.warm_up:g} s, {how}"
    conditions = "\n".join(f"- **{name}**: {CONDITIONS[name].about}." for name in options.conditions)
    medians = table(options.conditions, options.only, trials)
    return f"Medians of {window}.\n{_options.machine()}.\n\n{conditions}\n\n{medians}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    options = parse(argv)
    if reason := netns.unavailable() or FOLLOWERS["ptp4l"].missing():
        raise SystemExit(reason)
    kinds = []
    for key in options.only:
        if lacks := FOLLOWERS[key].missing():
            _proc.log(f"skip {FOLLOWERS[key].label}: {lacks}")
        else:
            kinds.append(FOLLOWERS[key])
    groups = [[kind] for kind in kinds] if options.apart else [kinds]
    trials: list[Trial] = []
    curves: list[Curve] = []
    try:
        for turn in range(options.rounds):
            for name in options.conditions:
                for group in groups:
                    _measure.wait_quiet(options.patience)
                    _proc.log(f"{name}, round {turn + 1} of {options.rounds}")
                    for trial, drawn in _outcomes(group, name, options, options.seed + turn):
                        _say(trial)
                        trials.append(trial)
                        if drawn is not None and turn == 0:
                            curves.append(drawn)
    finally:
        # Also after Ctrl-C: what was measured so far is worth printing.
        told = report(options, trials)
        print(told)
        if options.out is not None and curves:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "ptp_results.md").write_text(f"# Accuracy of PTP followers: results\n\n{told}")
            write_trials(options.out / "ptp_trials.csv", trials)
            write_curves(options.out / "ptp_errors.csv", curves)
            labels = {key: kind.label for key, kind in FOLLOWERS.items()}
            (options.out / "ptp_errors.svg").write_text(plot(curves, labels))
    return 0 if any(trial.p99_us is not None for trial in trials) else 1


if __name__ == "__main__":
    sys.exit(_options.guarded(main))
