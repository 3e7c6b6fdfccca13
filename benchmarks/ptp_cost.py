"""What following a grandmaster costs: CPU time of `kernel run` with a ptp clock alone, beside ptp4l. A Markdown table.

    sudo python benchmarks/ptp_cost.py [--seconds 60]

Network namespaces of this machine, each follower on a path of its own with a ptp4l that serves 8 Syncs a second; all
run at once. "system clock" is `kernel run` with a clock that follows nothing: what a run costs without PTP. The
ptp clock costs what its run takes beyond that. User and system time of all threads, after 20 s.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

import _measure
import _peers
import _proc
import _ptp_paths
from _ptp_paths import CONDITIONS, netns
from _ptp_peers import Chrony, Follower, Ours, Ptp4l
from _ptp_trial import END_S, serve
from _table import markdown, percent

WARM_S = 20.0
HEAD = ["program", "% of a core", "beyond a run without PTP", "steal"]


class Untraced(Ours):
    """Ours without a trace, which would cost more than the clock."""

    def command(self) -> list[str]:
        """See `Ours.command`."""
        words = super().command()
        return words[: words.index("--trace")]


class SystemClock(Ours):
    """A run with a clock that follows nothing."""

    key, label = "system", "Phasegraph, system clock"

    def command(self) -> list[str]:
        """See `Ours.command`."""
        graph = self.folder / "graph.toml"
        graph.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
        return self.network.far.command(*(_peers.kernel_command() or ["kernel"]), "run", graph)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, after 20 (60)")
    given = parser.parse_args()
    if reason := netns.unavailable() or Ptp4l.missing():
        raise SystemExit(reason)
    kinds: list[type[Follower]] = [Untraced, SystemClock, Ptp4l]
    kinds += [] if Chrony.missing() else [Chrony]
    condition = CONDITIONS["quiet"]
    with _proc.Workshop() as shop, contextlib.ExitStack() as stack:
        followers = []
        for kind in kinds:
            folder = shop.folder / kind.key
            folder.mkdir()
            followers.append(kind(stack.enter_context(_ptp_paths.path(condition, shop, 1)), folder))
            serve(followers[-1], shop)
        children = [shop.start(each.command(), each.key) for each in followers]
        time.sleep(WARM_S)
        before = [_measure.snapshot(child.pid) for child in children]
        time.sleep(given.seconds)
        used = [
            _measure.between(first, _measure.snapshot(child.pid)) for first, child in zip(before, children, strict=True)
        ]
        for follower, child in zip(followers, children, strict=True):
            child.stop(patience=END_S)
            follower.close()
    shares = {each.key: window.cpu_seconds / window.seconds for each, window in zip(followers, used, strict=True)}
    rows = []
    for follower, window in zip(followers, used, strict=True):
        beyond = shares[follower.key] - shares[SystemClock.key] if isinstance(follower, Untraced) else None
        rows.append(
            [follower.label, percent(shares[follower.key], 2), percent(beyond, 2), percent(window.steal)],
        )
    print(markdown(HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
