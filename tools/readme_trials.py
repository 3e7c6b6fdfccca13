"""Tries README's two commands as somebody does who has just cloned the repository, over and over. Linux.

    sudo python3 tools/readme_trials.py                              all conditions, ten trials in all: half an hour
    sudo python3 tools/readme_trials.py --conditions busy --trials 3
    python3 tools/readme_trials.py --conditions quiet --trials 1     needs no root

A trial takes the last commit. Each command has a clone, a home and an environment of its own, with nothing in them. The
trial passes if the first command ends within 90 s and says that both files are equal, and the second one passes all
tests within 180 s, set-up included. Conditions:

    quiet      nothing else
    busy       an endless loop for each processor, in the session of the commands
    crowded    the same in sessions of their own, which Linux may give half of every processor (sched_autogroup_enabled)
    newcomer   a user without rights, in a network without IPv6 and without a route for multicast; it leads nowhere, so
               pip finds there what has been downloaded before
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dev

ROOT = Path(__file__).resolve().parent.parent
LIMITS_S = {"Run it": 90.0, "Test it": 180.0}
PLAN = {"quiet": 4, "busy": 3, "newcomer": 3}
"""Ten trials: how many under each condition."""
CONDITIONS = (*PLAN, "crowded")
EQUAL = "are equal"
NEWCOMER = (
    "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1;"
    ' exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
)


def main() -> int:
    """Run the trials that the command line asks for; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(PLAN))
    parser.add_argument("--trials", type=int, help="under each condition (default: 4 quiet, 3 busy, 3 newcomer)")
    options = parser.parse_args()
    plan = [name for name in options.conditions for _ in range(options.trials or PLAN.get(name, 1))]
    failures = 0
    with tempfile.TemporaryDirectory(prefix="phasegraph-packages-") as packages:
        if "newcomer" in plan:
            download(Path(packages))
        print("| condition | first command, s | second command, s | tests |", flush=True)
        print("| --- | ---: | ---: | --- |", flush=True)
        for condition in plan:
            offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": packages} if condition == "newcomer" else {}
            with busy_processors(condition):
                first, _ = attempt("Run it", condition, offline)
                second, tests = attempt("Test it", condition, offline)
            failures += "FAILED" in first + second
            print(f"| {condition} | {first} | {second} | {tests} |", flush=True)
    print(f"\n{len(plan) - failures} of {len(plan)} trials passed")
    return 1 if failures else 0


def download(folder: Path) -> None:
    """Fetch what both commands install, into a folder that everybody can read."""
    folder.chmod(0o755)
    constraints = ("-c", str(dev.CONSTRAINTS))
    dev.pip(Path(sys.executable), "download", "--dest", str(folder), *constraints, *dev.backend(), *dev.wanted("test"))


@contextlib.contextmanager
def busy_processors(condition: str) -> Iterator[None]:
    """Endless loops on all processors, where the condition wants them."""
    count = os.cpu_count() or 1 if condition in ("busy", "crowded") else 0
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop, start_new_session=condition == "crowded") for _ in range(count)]
    try:
        yield
    finally:
        for each in loops:
            each.kill()
            each.wait()


def attempt(heading: str, condition: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """Run the command under a heading in a new clone: its time, marked where it failed, and what it said of tests."""
    with tempfile.TemporaryDirectory(prefix="phasegraph-trial-", ignore_cleanup_errors=True) as temporary:
        place, home = Path(temporary, "phasegraph"), Path(temporary, "home")
        subprocess.run(["git", "clone", "--quiet", ROOT, place], check=True)
        home.mkdir()
        words = ["bash", "-c", readme_command(heading)]
        if condition == "newcomer":
            subprocess.run(["chown", "-R", "65534:65534", temporary], check=True)
            words = ["unshare", "--net", "bash", "-c", NEWCOMER, "newcomer", *words]
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), **variables}
        began = time.monotonic()
        command = ["timeout", "--kill-after=10", str(3 * LIMITS_S[heading]), *words]
        output = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, cwd=place, env=environment, **output)
        took = time.monotonic() - began
    passed = done.returncode == 0 and took <= LIMITS_S[heading] and (heading != "Run it" or EQUAL in done.stdout)
    if not passed:
        print(done.stdout[-8000:], file=sys.stderr)
    counts = re.findall(r"\d+ passed.*", done.stdout)
    return f"{took:.0f}" + ("" if passed else " FAILED"), counts[-1].strip("= ") if counts else "-"


def readme_command(heading: str) -> str:
    """The first command under a heading of README.md."""
    text = (ROOT / "README.md").read_text("utf-8")
    return re.split(rf"^## {heading}\n\n```sh\n", text, flags=re.MULTILINE)[1].split("\n```")[0]


if __name__ == "__main__":
    raise SystemExit(main())
