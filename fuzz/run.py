"""Runs the fuzz targets: `python fuzz/run.py [TARGET ...] [--seconds 20] [--jobs 2]`.

Each target runs in a process of its own under atheris (coverage-guided, libFuzzer), or, without atheris, with blind
mutations of its seeds. Prints a table of executions and findings as Markdown; exits with 1 if there is a finding.
Inputs of findings are kept in fuzz/findings/; `python fuzz/run.py TARGET --replay FILE` runs one again.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
FINDINGS = ROOT / "fuzz" / "findings"
PACKAGES = ["phasegraph", "phasegraph_aes67", "phasegraph_airplay_timing", "phasegraph_nmos", "phasegraph_ptp"]
PROCESS_MB, EXECUTION_S = 1500, 10
_SETUP_S = 120
"""Time for instrumenting and starting, beside the time for executions."""


def mutate(data: bytes, seeds: list[bytes], random: Random, most: int) -> bytes:
    """A blind mutation of an input: some octets changed, cut, repeated, or replaced by those of another seed."""
    octets = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(octets) + 1)
        match random.randrange(6):
            case 0:
                octets[at:at] = random.randbytes(random.choice((1, 2, 4, 16)))
            case 1:
                del octets[at : at + random.choice((1, 2, 8, 64))]
            case 2:
                octets[at : at + 1] = bytes([random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))])
            case 3:
                octets[at:at] = octets[max(0, at - random.randrange(64)) : at]
            case 4:
                other = random.choice(seeds)
                start = random.randrange(len(other) + 1)
                octets[at:] = other[start:]
            case 5 if octets:
                octets[at % len(octets)] ^= 1 << random.randrange(8)
    return bytes(octets[:most])


def fuzz_blindly(name: str, seconds: float) -> None:
    """Run mutations of the seeds; raises for a finding, after its input is kept."""
    from fuzz.targets import TARGETS

    target, random, executions = TARGETS[name], Random(0), 0
    seeds = list(target.seeds())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutate(random.choice(seeds), seeds, random, target.max_octets)
        try:
            target.run(data)
        except BaseException:
            (FINDINGS / f"{name}-blind").write_bytes(data)
            raise
        executions += 1
    print(f"stat::number_of_executed_units: {executions}")


def fuzz_with_atheris(name: str, seconds: int) -> None:
    """Run libFuzzer in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=PACKAGES, enable_loader_override=False):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            Path(corpus, str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={target.max_octets}",
            f"-timeout={EXECUTION_S}",
            f"-rss_limit_mb={PROCESS_MB}",
            f"-artifact_prefix={FINDINGS}/{name}-",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], target.run)
        atheris.Fuzz()


def fuzz(name: str, seconds: int) -> tuple[str, int, str]:
    """Fuzz one target in a process of its own: its name, executions, and the finding or an empty string."""
    command = [sys.executable, __file__, "--in-process", name, "--seconds", str(seconds)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds + _SETUP_S
        )
    except subprocess.TimeoutExpired:
        return name, 0, "it did not end"
    output = done.stdout + done.stderr
    count = re.search(r"number_of_executed_units: (\d+)", output)
    finding = ""
    if done.returncode != 0:
        print(f"--- {name}\n{output[-4000:]}", file=sys.stderr)
        errors = re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*|^.*(?:libFuzzer: .*)", output, re.MULTILINE)
        finding = errors[0][:100] if errors else f"exit code {done.returncode}"
    return name, int(count[1]) if count else 0, finding


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=20, help="time of each target (20)")
    parser.add_argument("--jobs", type=int, default=2, help="targets that run at a time (2)")
    parser.add_argument("--blind", action="store_true", help="use blind mutations even if atheris is installed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the input of a finding again")
    parser.add_argument("--in-process", metavar="TARGET", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    FINDINGS.mkdir(exist_ok=True)
    has_atheris = importlib.util.find_spec("atheris") is not None and not given.blind
    if given.in_process:
        (fuzz_with_atheris if has_atheris else fuzz_blindly)(given.in_process, given.seconds)
        return 0
    from fuzz.targets import TARGETS

    if given.replay:
        TARGETS[given.targets[0]].run(given.replay.read_bytes())
        return 0
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown target {', '.join(sorted(unknown))}; targets are {', '.join(TARGETS)}")
    print("coverage-guided (atheris)" if has_atheris else "blind mutations: atheris is not installed", end=".\n\n")
    with ThreadPoolExecutor(given.jobs) as pool:
        results = list(pool.map(lambda name: fuzz(name, given.seconds), given.targets or TARGETS))
    print("| target | executions | finding |\n|---|---:|---|")
    for name, executions, finding in results:
        print(f"| `{name}` | {executions:,} | {finding or 'none'} |")
    return int(any(finding for _, _, finding in results))


if __name__ == "__main__":
    sys.exit(main())
