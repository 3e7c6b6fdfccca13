"""How long the source is: `python3 tools/lines.py` counts it, `--before REV` compares it with a commit.

A line counts as code if a token of Python stands on it. Blank lines, comments and docstrings do not; docstrings are
counted apart, those of attributes too.

`--before` pairs the functions and classes of both versions by what they say, one to one, whatever they are called and
wherever they stand (a class is its fields without its methods, a module what is left). What has no counterpart was
added, or has gone: a function that says nothing of what it said has done both. What has one is the same feature, now
and before, except where `FEATURES` names it: what such a function has grown by belongs to the feature. `--list` prints
what was added, and what grew, with the lines of each.
"""

from __future__ import annotations

import argparse
import ast
import io
import math
import re
import subprocess
import tarfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REDESIGN = "dbc1530"
"""The version before the redesign."""
FEATURES: dict[str, tuple[str, ...]] = {
    "kernel status, set, apply, reload: the control socket and its processes": (
        "kernel *_control/*",
        "kernel *control.py",
        "kernel *_cli/app.py::*",
        "kernel *_cli/change.py",
        "kernel *_cli/parameters.py",
        "kernel *_cli/remote.py",
        "kernel *_cli/status*.py",
        "kernel *_run/change_plan.py",
        "kernel *_run/graph_changes.py",
        "kernel *_run/graph_reload.py",
        "kernel *_run/input_change.py",
        "kernel *_run/transition.py",
        "kernel *_run/inputs.py::SinkInput.*change",
        "kernel *_run/inputs.py::SinkInput._fade",
        "kernel *_run/engine.py::Engine.call_between_steps",
        "kernel *_run/engine.py::Engine.wait_for_rest",
        "kernel *_graph_file/graph_tables.py",
        "kernel *::parse_control",
        "kernel *_core/graph_change.py",
        "kernel *testing/change_trials.py",
        "kernel *_run/session.py::Session.__init__",
        "* *.change_options",
        "* *.accepts_options",
        "* *.change_*",
    ),
    "the flight recorder: --record, pcapng, replay": (
        "kernel *_run/flight_recorder.py",
        "kernel *_run/packet_memory.py",
        "kernel *_run/pcapng_writer.py",
        "kernel *_run/recording_network.py",
        "kernel *graph_capture.py",
    ),
    "priorities, memory, privileges, service managers": (
        "kernel *_run/priorities.py",
        "kernel *_run/memory.py",
        "kernel *_core/privileges.py",
        "kernel *_run/last_resort.py",
        "kernel *_run/controlling_terminal.py",
    ),
    "kernel init: starter graphs and new plugins": (
        "kernel *_cli/init.py",
        "kernel *_cli/plugin_package.py",
        "kernel *_cli/starter_graphs.py",
        "kernel *_cli/completion.py",
    ),
    "kernel sweep, and comparisons in parallel": (
        "kernel *simulation/sweep/*",
        "kernel *_cli/sweep.py",
        "kernel *_cli/compare.py",
        "kernel *_cli/progress.py",
    ),
    "AES67: encrypted, drifting and rival senders told apart": (
        "aes67 *receive/leg.py::Leg._count_rival",
        "aes67 *receive/leg.py::Leg._takes_over",
        "aes67 *receive/demultiplexer.py::_without_foreign",
        "aes67 *receive/sender_rate.py",
        "aes67 *receive/health.py",
        "aes67 *receive/diagnosis.py::why_*",
        "aes67 *send/egress_watch.py",
        "aes67 *stream_figures.py::LegFigures",
    ),
    "AES67: io_uring paces": (
        "kernel *batched/timed_ring.py",
        "kernel *batched/linux_sockets.py::LinuxSend*",
        "aes67 *send/egress.py::Egress*",
        "aes67 *send/launch_time.py::*",
        "aes67 *send/paced_stream.py::StreamGroup*",
        "aes67 *send/send_sockets.py::*",
    ),
    "AES67: sessions found by their names": ("aes67 *session_offers.py", "aes67 *interface_lookup.py"),
    "AirPlay: programs that send (airptp, cliairplay), and servers that run already": (
        "airplay_timing *senders/*",
        "airplay_timing *attached/*",
        "airplay_timing *serve_command.py::*",
        "airplay_timing *nqptp/nqptp_server.py::NqptpServer*",
    ),
    "AirPlay: sessions of programs that speak RTSP": ("airplay_timing *sessions/*",),
    "PTP on two interfaces": (
        "ptp *redundant_*.py",
        "ptp *path_comparison.py",
        "ptp *ptp_clock.py::PtpDriver.__init__",
    ),
    "PTP: a locked follower reads seldom": (
        "kernel *stamped/*",
        "ptp *port_sockets.py::*",
        "ptp *protocol/delay_request.py::*",
    ),
    "PTP: keys, accepted grandmasters, and what is amiss": (
        "ptp *protocol/authentication.py",
        "ptp *protocol/reception_diagnosis.py",
        "ptp *_problems",
        "ptp *options.py::PtpConfig",
        "kernel *extension_tlvs.py::Authentication*",
    ),
    "sinks: http, meter and tone": (
        "sinks *http/*",
        "sinks *meter/*",
        "sinks *phasegraph_sinks/__init__.py::register_*",
    ),
    "sinks: recordings that are split, reserved and named by the time": (
        "sinks *file/broadcast_extension.py",
        "sinks *file/header_sizes.py",
        "sinks *file/recording_time.py",
        "sinks *file/options.py::FileSinkConfig",
        "sinks *file/file_sink.py::FileSink.__init__",
        "sinks *file/file_sink.py::FileSink._next_file",
    ),
    "sinks: cards in a process of their own, and JACK": (
        "sinks *soundcard/card_process.py",
        "sinks *soundcard/card_host.py",
        "sinks *soundcard/jack.py",
    ),
    "compensation: levels and phases beside rates": (
        "compensation *phase_observer.py",
        "compensation *reference_track.py",
        "compensation *state_covariance.py",
        "compensation *crossing_observer.py",
    ),
}
"""Where features are that the version before the redesign did not have: a package and a glob of modules, or of
functions and classes behind `::`. The first that fits counts."""
ALIKE = 0.35
"""Two functions that are less alike than this are not the same one."""
COMMON = 400
"""A word of more functions than this says nothing about any."""
Sources = dict[str, str]


def sources_now() -> Sources:
    """Every module that is installed, by its path."""
    found = [*ROOT.glob("kernel/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(found)}


def sources_at(revision: str) -> Sources:
    """The same at a commit."""
    command = ["git", "archive", revision, "kernel/src", "plugins"]
    packed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        modules = [each for each in archive if each.name.endswith(".py") and "/src/" in each.name]
        return {each.name: content.read().decode() for each in modules if (content := archive.extractfile(each))}


def package_of(path: str) -> str:
    """``kernel``, or the plugin's folder."""
    parts = path.split("/")
    return parts[1] if parts[0] == "plugins" else parts[0]


def count_lines(text: str) -> tuple[set[int], set[int]]:
    """The lines with code, and the lines of docstrings."""
    code: set[int] = set()
    docstrings: set[int] = set()
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER}
    before = tokenize.NEWLINE
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type not in layout:
            alone = token.type == tokenize.STRING and before in layout and after.type == tokenize.NEWLINE
            (docstrings if alone else code).update(range(token.start[0], token.end[0] + 1))
        before = token.type
    return code, docstrings


@dataclass(eq=False)
class Unit:
    """A function, a class without its methods, or what is left of a module."""

    path: str
    name: str
    lines: int
    words: Counter[str]
    direction: dict[str, float] = field(default_factory=dict)

    @property
    def feature(self) -> str | None:
        """The feature that `FEATURES` says it is of."""
        place = f"{package_of(self.path)} {self.path}"
        for feature, patterns in FEATURES.items():
            for pattern in patterns:
                if fnmatchcase(place, pattern) or fnmatchcase(f"{place}::{self.name}", pattern):
                    return feature
        return None


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _extent(node: Definition) -> set[int]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return set(range(first, (node.end_lineno or first) + 1))


def units_of(path: str, text: str) -> Iterator[Unit]:
    """Its parts; every line is of one of them."""
    lines, (code, _) = text.splitlines(keepends=True), count_lines(text)

    def unit(name: str, extent: set[int]) -> Unit:
        said = "".join(lines[number - 1] for number in sorted(extent))
        return Unit(path, name, len(extent & code), _words(said))

    left = set(range(1, len(lines) + 1))
    for node in ast.parse(text).body:
        if isinstance(node, Definition):
            extent = _extent(node)
            left -= extent
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    extent -= _extent(part)
                    yield unit(f"{node.name}.{part.name}", _extent(part))
            yield unit(node.name, extent)
    yield unit("<module>", left)


def _words(text: str) -> Counter[str]:
    words: Counter[str] = Counter()
    for name in re.findall(r"[A-Za-z_]\w+|\d\w+", text):
        words[name] += 2
        words.update(part.lower() for part in re.findall(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}|\d{2,}", name))
    return words


def pair_units(before: list[Unit], now: list[Unit]) -> list[tuple[Unit, Unit]]:
    """Which of them are the same, the most alike first."""
    _weigh_words([*before, *now])
    holders: dict[str, list[Unit]] = defaultdict(list)
    for unit in now:
        for word in unit.direction:
            holders[word].append(unit)
    alike: list[tuple[float, int, Unit, Unit]] = []
    for old in before:
        likeness: dict[Unit, float] = defaultdict(float)
        for word, weight in old.direction.items():
            for new in holders[word]:
                likeness[new] += weight * new.direction[word]
        for new, value in likeness.items():
            if (old.name == "<module>") == (new.name == "<module>"):
                value += 0.15 * (_last(old) == _last(new)) + 0.05 * (package_of(old.path) == package_of(new.path))
                alike.append((value, len(alike), old, new))
    pairs: dict[Unit, Unit] = {}
    taken: set[Unit] = set()
    for value, _, old, new in sorted(alike, reverse=True):
        if value >= ALIKE and old not in pairs and new not in taken:
            pairs[old] = new
            taken.add(new)
    return list(pairs.items())


def _weigh_words(units: list[Unit]) -> None:
    seen = Counter(word for unit in units for word in unit.words)
    for unit in units:
        weights = {
            word: (1 + math.log(count)) * math.log(len(units) / seen[word])
            for word, count in unit.words.items()
            if seen[word] < COMMON
        }
        length = math.hypot(*weights.values()) or 1.0
        unit.direction = {word: weight / length for word, weight in weights.items()}


def _last(unit: Unit) -> str:
    return unit.name.rpartition(".")[2]


def print_totals(sources: Sources) -> None:
    """Modules, code and docstrings of each package."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for path, text in sources.items():
        code, docstrings = count_lines(text)
        counted = {"modules": 1, "code": len(code), "docstrings": len(docstrings), "lines": text.count("\n")}
        totals[package_of(path)].update(counted)
        totals["all"].update(counted)
    print(f"{'package':<16}{'modules':>9}{'code':>9}{'docstrings':>12}{'all lines':>11}")
    for package, total in sorted(totals.items(), key=lambda each: (each[0] == "all", each[0])):
        counts = total["modules"], total["code"], total["docstrings"], total["lines"]
        print(f"{package:<16}{counts[0]:>9}{counts[1]:>9}{counts[2]:>12}{counts[3]:>11}")


def print_comparison(revision: str, *, every: bool) -> None:
    """What the same features take, before and now, and what was added."""
    before = [unit for path, text in sources_at(revision).items() for unit in units_of(path, text)]
    packages = sorted({package_of(unit.path) for unit in before})
    now = [unit for path, text in sources_now().items() for unit in units_of(path, text)]
    now = [unit for unit in now if package_of(unit.path) in packages]
    pairs = pair_units(before, now)
    kept = {new: old for old, new in pairs}
    old_lines, same, added = Counter[str](), Counter[str](), Counter[str]()
    features = Counter[str]()
    for old in before:
        old_lines[package_of(old.path)] += old.lines
    for new in now:
        # What moved into another package is counted where it was.
        origin = kept.get(new)
        grown = new.lines if origin is None else max(0, new.lines - origin.lines)
        if origin is not None:
            is_feature = new.feature is not None
            same[package_of(origin.path)] += new.lines - (grown if is_feature else 0)
            grown = grown if is_feature else 0
        added[package_of(new.path)] += grown
        features[new.feature or "not named: parts of smaller features"] += grown
    print(f"Lines of code at {revision} and now, of the packages that were there:\n")
    print(f"{'package':<16}{'before':>9}{'same now':>10}{'added':>8}")
    for package in packages:
        print(f"{package:<16}{old_lines[package]:>9}{same[package]:>10}{added[package]:>8}")
    print(f"{'all':<16}{old_lines.total():>9}{same.total():>10}{added.total():>8}\n")
    for feature, lines in features.most_common():
        print(f"{lines:>6}  {feature}")
    if every:
        _print_units(now, kept)


def _print_units(now: list[Unit], kept: dict[Unit, Unit]) -> None:
    print("\nWithout a counterpart before:")
    for new in sorted((each for each in now if each not in kept and each.lines), key=lambda each: -each.lines):
        print(f"{new.lines:>6}  {new.path}::{new.name}  ({new.feature or 'not named'})")
    print("\nGrown:")
    for new, old in sorted(kept.items(), key=lambda each: each[1].lines - each[0].lines):
        if new.lines > old.lines:
            print(f"{old.lines:>6} -> {new.lines:<4} {new.path}::{new.name}  ({new.feature or 'not named'})")


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--before", metavar="REV", nargs="?", const=REDESIGN, help="compare with this commit")
    parser.add_argument("--list", action="store_true", help="with --before: every function that was added or grew")
    options = parser.parse_args()
    print_totals(sources_now())
    if options.before:
        print()
        print_comparison(options.before, every=options.list)


if __name__ == "__main__":
    main()
