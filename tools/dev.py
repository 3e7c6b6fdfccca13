"""Sets up everything that working on Phasegraph needs, and does it. Needs Python 3.11 and pip, nothing else.

    python3 tools/dev.py run                  run the example, and --play it; or: run GRAPH [options of `kernel run`]
    python3 tools/dev.py test                 run the quick tests, in parallel; options go to pytest
    python3 tools/dev.py test --all           with the slow ones, then those in real time
    python3 tools/dev.py test --slow          only the slow ones (marker `slow`), in parallel
    python3 tools/dev.py test --realtime      only those in real time (marker `realtime`); as root on Linux in lanes
    python3 tools/dev.py test --again FILE    those named in FILE, one at a time; --realtime --later FILE writes it
    python3 tools/dev.py lint                 ruff: rules and format
    python3 tools/dev.py types                mypy --strict
    python3 tools/dev.py contracts            import contracts
    python3 tools/dev.py isolated NAME|all    test a plugin (its folder's name), or `kernel`, installed alone as a wheel
    python3 tools/dev.py fuzz [TARGET...]     fuzz what strangers send; --seconds N of each target; docs/fuzzing.md
    python3 tools/dev.py build                wheels, source distributions and an SBOM of everything, in dist/
    python3 tools/dev.py build --try          then install from dist/ by pipx into an empty place, and run the example
    python3 tools/dev.py build --deb          a Debian package too; --try-root: then try it in a new Debian (root)
    python3 tools/dev.py site                 all pages and the public API as a site, in build/site
    python3 tools/dev.py add PACKAGE...       install packages into .venv, such as a plugin
    python3 tools/dev.py newest [--write]     try the newest version of every dependency; --write: constraints.txt

The environment is .venv beside README.md. It is made when it is first needed, with the versions that constraints.txt
names, and brought up to date when that file or a pyproject.toml has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints.txt"
DIST = ROOT / "dist"
OLDEST = (3, 11)
ATHERIS = "atheris==3.0.0"
"""The fuzzer, which only `fuzz` installs: it has wheels for Linux alone."""
QUICK = "not realtime and not slow"
FEWER_EXAMPLES = {"PHASEGRAPH_FEWER_EXAMPLES": "6"}
"""For quick tests: a sixth of the examples of each property (conftest.py). The slow tests try all of them."""
SLOW = "(slow or hypothesis) and not realtime"
"""Hypothesis gives each property its marker."""
PATIENCE = ("-o", "faulthandler_timeout=1500")
"""How long a slow test may take before it counts as one that hangs: CI runs them with what other steps leave."""
OTHERS = 8
"""Quick tests have this many more workers than processors: other programs that want those get a smaller share."""
COMPILED = VENV / "compiled"
"""What Python compiles of each file that is imported: kept, in .venv and not in the tree."""
LANES = {"realtime and not undisturbed": 4, "realtime and undisturbed": 2}
"""How many tests in real time run beside each other: most of them wait. Each lane has a network and a shared memory of
its own."""
MORE_RUNS = 2
"""Of a test of other vendors' programs that failed alone."""
PIPX = "pipx==1.18.4"
"""Installs commands, each into an environment of its own, as `build --try` does with ours."""
TESTS_FAILED, NO_TESTS = 1, 5
"""pytest's exit codes where a test failed, and where none was selected."""
PIP_WITH_PYTHON_OPTION = (22, 3)
INSTALL = ("install", "--no-compile")
"""To compile all that is installed takes as long as to install it, and most of it is never imported."""
GROUPS = ("run", "test", "dev")
"""What .venv is for, in the order in which more is installed: `dev` has what all other commands need."""


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for; returns the exit code."""
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    python_tools = {
        "types": ["-m", "mypy"],
        "contracts": ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    }
    if command in python_tools:
        return do([environment(develop=True), *python_tools[command]], may_fail=True)
    commands = {"run": run, "test": test, "fuzz": fuzz, "lint": lint, "isolated": isolated}
    commands |= {"build": build, "add": add, "newest": newest, "site": site}
    if command in commands:
        with contextlib.suppress(WrongArguments):
            return commands[command](rest)
    print(__doc__.strip(), file=sys.stderr)
    return 0 if command in ("help", "-h", "--help") else 2


class WrongArguments(Exception):
    """A command was called in a way that its help does not show."""


def run(options: Sequence[str]) -> int:
    """Run the example, or a graph."""
    python = environment()
    keep_what_is_compiled()
    if list(options) in ([], ["--play"]):
        return become([str(python), str(ROOT / "tools" / "demo.py"), *options])
    graph = ["examples/loopback.toml"] if options[0].startswith("-") else []
    return become([str(python), "-m", "phasegraph", "run", *graph, *options])


def lint(_options: Sequence[str]) -> int:
    """Check rules and format; returns the exit code."""
    python = environment(develop=True)
    checked = do([python, "-m", "ruff", "check"], may_fail=True)
    return do([python, "-m", "ruff", "format", "--check"], may_fail=True) or checked


def add(packages: Sequence[str]) -> int:
    """Install packages into .venv."""
    if not packages:
        raise WrongArguments
    pip(environment(), *INSTALL, "-c", str(CONSTRAINTS), *packages)
    return 0


def site(options: Sequence[str]) -> int:
    """Write the site; returns the exit code."""
    if options:
        raise WrongArguments
    python = environment(develop=True)
    pip(python, *INSTALL, "-c", str(CONSTRAINTS), *wishes("site"))
    return do([python, ROOT / "tools" / "site.py"], may_fail=True)


# The environment


def environment(*, test: bool = False, develop: bool = False) -> Path:
    """Python of .venv with all members installed from the tree.

    ``test`` adds what the quick tests need, ``develop`` all tools for tests and checks.
    """
    python = make_venv(VENV)
    stamp = VENV / "phasegraph-setup.json"
    group = "dev" if develop else "test" if test else "run"
    try:
        installed = json.loads(stamp.read_text())
    except (OSError, ValueError):
        installed = []
    if fingerprint(group) in installed:
        return python
    tools = {"run": "", "test": " and what its quick tests need", "dev": " and the tools for its tests and checks"}
    say(f"installing Phasegraph{tools[group]} into .venv")
    install_tree(python, group, constraints=("-c", str(CONSTRAINTS)))
    stamp.write_text(json.dumps([fingerprint(each) for each in GROUPS[: GROUPS.index(group) + 1]]))
    return python


def install_tree(python: Path, group: str, constraints: Sequence[str] = ()) -> None:
    """Install all members, editable, what they depend on and a group's tools, with pip and the backend that builds."""
    # The backend first, once; otherwise pip would fetch it again for every member.
    pip(python, *INSTALL, *constraints, *backend())
    editable = [part for member in members().values() for part in ("-e", str(member))]
    # Beside each other: one waits for what it fetches, the other one computes.
    both = (("--no-deps", "--no-build-isolation", *editable), ("--no-warn-conflicts", *constraints, *wanted(group)))
    command = [*find_pip(python), *INSTALL, "--quiet"]
    running = [subprocess.Popen([*command, *words], cwd=ROOT, env=clean_environment()) for words in both]
    codes = [each.wait() for each in running]
    if any(codes):
        raise SystemExit(f"pip failed (exit codes {codes}); what it says is above")


def backend() -> list[str]:
    """What builds members as they stand in the tree."""
    return ["pip", *read_toml(ROOT / "kernel" / "pyproject.toml")["build-system"]["requires"], "editables"]


def wanted(group: str) -> list[str]:
    """What all members depend on, and a group's tools."""
    found = dict.fromkeys(wish for member in members().values() for wish in dependencies(member))
    return list(found | dict.fromkeys(() if group == "run" else wishes(group)))


def dependencies(member: Path) -> list[str]:
    """What a member depends on, apart from other members."""
    wishes = read_toml(member / "pyproject.toml")["project"]["dependencies"]
    return [wish for wish in wishes if not wish.startswith("phasegraph")]


def wishes(group: str) -> list[str]:
    """What a group of dependencies of the tree asks for, with the groups in it."""
    found = read_toml(ROOT / "pyproject.toml")["dependency-groups"][group]
    return [name for wish in found for name in (wishes(wish["include-group"]) if isinstance(wish, dict) else [wish])]


def keep_what_is_compiled() -> None:
    """Have the programs that we start from now on compile each file once, whatever this user prefers elsewhere."""
    os.environ["PYTHONPYCACHEPREFIX"] = str(COMPILED)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def make_venv(folder: Path) -> Path:
    """A virtual environment, whose Python is returned; one that is there and works is kept."""
    python = programs(folder) / ("python.exe" if os.name == "nt" else "python")
    probe = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    if python.exists() and subprocess.run([python, "-c", probe]).returncode == 0:
        return python
    if folder == VENV:
        say(f"making .venv with Python {sys.version.split()[0]}")
    # Without pip, so that it works where ensurepip was left out (Debian without python3-venv).
    do([sys.executable, "-m", "venv", "--clear", "--without-pip", folder])
    return python


def programs(place: Path) -> Path:
    """The folder of programs of an environment, or of an environment's Python."""
    return place.parent if place.is_file() else place / ("Scripts" if os.name == "nt" else "bin")


def pip(python: Path, command: str, *arguments: str) -> None:
    """Run pip for an environment that need not have one of its own."""
    do([*find_pip(python), command, "--quiet", *arguments], env=clean_environment())


def clean_environment() -> dict[str, str]:
    """Environment variables without what a user's settings say about installing: it is not meant for .venv."""
    unwanted = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH", "PYTHONHOME")
    clean = {name: value for name, value in os.environ.items() if name not in unwanted}
    return clean | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_USER": "0"}


def find_pip(python: Path) -> list[str]:
    """A pip that installs into the environment of ``python``: its own, or the one that came with our Python."""
    if pip_version(python):
        return [str(python), "-m", "pip"]
    version = pip_version(sys.executable)
    if version >= PIP_WITH_PYTHON_OPTION:
        return [sys.executable, "-m", "pip", "--python", str(python)]
    if version:  # an old pip installs a new one
        where = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        install = ["install", "--quiet", "--target", where.decode().strip(), "pip"]
        do([sys.executable, "-m", "pip", *install], env=clean_environment())
    else:
        subprocess.run([python, "-m", "ensurepip"], capture_output=True, env=clean_environment())
    if not pip_version(python):
        raise SystemExit(
            f"{sys.executable} has no pip, and pip is what installs everything else here. Install it (on Debian and "
            "Ubuntu the package python3-pip; pip.pypa.io says how elsewhere), then run this again."
        )
    return [str(python), "-m", "pip"]


def pip_version(python: str | Path) -> tuple[int, ...]:
    """Version of the pip of a Python; empty where it has none."""
    command = [python, "-m", "pip", "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    found = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found and answer.returncode == 0 else ()


def fingerprint(group: str) -> str:
    """What an environment for a group depends on, in short."""
    parts = [str(ROOT), group, Path(__file__).read_text("utf-8")]
    files = [CONSTRAINTS, ROOT / "pyproject.toml", *(member / "pyproject.toml" for member in members().values())]
    parts += [file.read_text("utf-8") for file in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def members() -> dict[str, Path]:
    """The distributions of the tree, by the names of their folders; the kernel first."""
    plugins = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    return {folder.name: folder for folder in (ROOT / "kernel", *plugins)}


# Tests


def fuzz(options: Sequence[str]) -> int:
    """Run the fuzz targets, under atheris where it can be installed; returns the exit code."""
    python = environment(develop=True)
    if subprocess.run([python, "-c", "import atheris"], capture_output=True).returncode:
        install = [*find_pip(python), *INSTALL, "--quiet", ATHERIS]
        subprocess.run(install, capture_output=True, env=clean_environment())  # without it, mutations are blind
    return do([python, ROOT / "fuzz" / "run.py", *options], may_fail=True)


def test(options: Sequence[str]) -> int:
    """Run pytest: in parallel what needs no real time, then, where asked for, the rest; returns the exit code."""
    parts = {"--all": ("not realtime", "realtime"), "--slow": (SLOW,), "--realtime": ("realtime",)}
    files = {"--later": None, "--again": None}
    rest, words = [], iter(options)
    for word in words:
        if word in files:
            files[word] = next(words, None)
            if files[word] is None:
                raise WrongArguments
        elif word not in parts:
            rest.append(word)
    markers = next((parts[option] for option in options if option in parts), (QUICK,))
    quick = markers == (QUICK,) and files["--again"] is None
    pytest = [str(environment(test=quick, develop=not quick)), "-m", "pytest"]
    keep_what_is_compiled()
    if files["--again"] is not None:
        return run_again(pytest, Path(files["--again"]))
    if "realtime" in markers:
        first = [
            do([*pytest, *in_parallel(), *PATIENCE, "-m", marker, *rest], may_fail=True) for marker in markers[:-1]
        ]
        later = None if files["--later"] is None else Path(files["--later"])
        return worst([*first, *in_real_time(pytest, rest, later)])
    if quick:
        os.environ |= FEWER_EXAMPLES
    patience = () if quick else PATIENCE
    return become([*pytest, *in_parallel(OTHERS if quick else 0), *patience, "-m", *markers, *rest], ROOT)


def in_parallel(more: int = 0) -> list[str]:
    """Options of pytest for as many workers as processors, and some more."""
    workers = str((os.cpu_count() or 1) + more)
    if sys.platform == "linux":
        return ["-p", "tools.forked_workers", "--workers", workers]
    return ["-n", workers, "--dist", "worksteal"]


def in_real_time(pytest: Sequence[str], rest: Sequence[str], later: Path | None) -> list[int]:
    """Run what takes real time, in lanes where those can be made; what failed beside others is run again, alone.

    With ``later``, that file gets the names of what failed, for a call with ``--again``, and they do not count here.
    """
    if not can_make_lanes():
        return [do([*pytest, "-m", "realtime", *rest], may_fail=True)]
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        failed = later or Path(temporary, "failed")
        failed.unlink(missing_ok=True)
        beside = {**os.environ, "PHASEGRAPH_LANES": str(failed.absolute())}
        codes = []
        for marker, lanes in LANES.items():
            words = ("-n", str(lanes), "--dist", "loadfile", "-m", marker, *rest)
            codes.append(do([*pytest, *words], may_fail=True, env=beside))
        if TESTS_FAILED in codes and failed.exists():
            codes = [code for code in codes if code != TESTS_FAILED]
            codes.append(0 if later else run_again(pytest, failed))
    return codes


def run_again(pytest: Sequence[str], failed: Path) -> int:
    """Run what failed beside others again, one test at a time; returns the exit code.

    The result alone counts. A test that judges other vendors' programs too (marker `peers`), and failed alone, is run
    twice more: it passes if it passes both times, and how often it failed is said.
    """
    tests = read_failed(failed)
    say(f"{len(tests)} failed beside others, and are run again, alone: their result counts")
    code, failures = run_alone(pytest, [*tests])
    if code != TESTS_FAILED:
        return code
    others = [test for test, peers in failures.items() if not peers]
    counts = {test: 1 for test, peers in failures.items() if peers}
    for _ in range(MORE_RUNS if counts else 0):
        say(f"{len(counts)} that judge other programs failed alone, and are run once more")
        code, failures = run_alone(pytest, [*counts])
        if code not in (0, TESTS_FAILED):
            return code
        counts |= {test: counts[test] + 1 for test in failures}
    for test, count in counts.items():
        verdict = "passed" if count == 1 else "FAILED"
        say(f"{verdict}, after it failed beside others and {count} of {1 + MORE_RUNS} times alone: {test}")
    return TESTS_FAILED if others or max(counts.values()) > 1 else 0


def run_alone(pytest: Sequence[str], tests: Sequence[str]) -> tuple[int, dict[str, bool]]:
    """Run tests one at a time; returns the exit code, and what failed, with whether it judges other programs."""
    if not tests:
        return 0, {}
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        failed = Path(temporary, "failed")
        code = do([*pytest, *tests], may_fail=True, env={**os.environ, "PHASEGRAPH_LANES": str(failed)})
        return code, read_failed(failed)


def read_failed(file: Path) -> dict[str, bool]:
    """Names of the tests that failed, as conftest.py writes them, and whether they have the marker `peers`."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {name: bool(peers) for name, _, peers in (line.partition("\t") for line in lines)}


def can_make_lanes() -> bool:
    """Whether network and mount namespaces can be made."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    mounts = "mount --make-rprivate / && mount -t tmpfs tmpfs /dev/shm"
    probe = f"{mounts} && ip link set lo up && ip route add 224.0.0.0/4 dev lo"
    return subprocess.run(["unshare", "--net", "--mount", "sh", "-c", probe], capture_output=True).returncode == 0


def worst(codes: Sequence[int]) -> int:
    """One exit code for several calls of pytest: `-k` may choose tests of one of them alone."""
    failures = [code for code in codes if code not in (0, NO_TESTS)]
    return failures[0] if failures else min(codes)


# Versions


def newest(options: Sequence[str]) -> int:
    """Test with the newest version of every dependency that the members allow; returns the exit code."""
    if options not in ([], ["--write"]):
        raise WrongArguments
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        python = make_venv(Path(temporary, "venv"))
        say("installing the newest version of everything")
        install_tree(python, "dev")
        pip(python, *INSTALL, *wishes("site"), f"{ROOT / 'kernel'}[cluster,plot]")
        found = frozen(python)
        pinned = dict(line.split("==") for line in constraints_lines())
        for name in sorted(pinned.keys() | found.keys()):
            if pinned.get(name) != found.get(name):
                say(f"{name}: {pinned.get(name, 'none')} -> {found.get(name, 'none')}")
        checks = {
            "tests": ("pytest", "-q", *in_parallel(), "-m", "not realtime"),
            "lint": ("ruff", "check"),
            "types": ("mypy",),
        }
        broken = [name for name, words in checks.items() if do([python, "-m", *words], may_fail=True)]
    if broken:
        say(f"broken with the newest versions: {', '.join(broken)}")
        return 1
    say("all passed with the newest versions")
    if options:
        head = [line for line in CONSTRAINTS.read_text("utf-8").splitlines() if line.startswith("#")]
        lines = [f"{name}=={version}" for name, version in sorted(found.items())]
        CONSTRAINTS.write_text("\n".join([*head, *lines, ""]), "utf-8")
    return 0


def frozen(python: Path) -> dict[str, str]:
    """Name and version of every distribution of an environment, apart from our own."""
    command = [*find_pip(python), "list", "--format", "json"]
    listed = json.loads(subprocess.check_output(command, env=clean_environment()))
    ours = {read_toml(folder / "pyproject.toml")["project"]["name"] for folder in members().values()}
    names = {normal(each["name"]): each["version"] for each in listed}
    return {name: version for name, version in names.items() if name not in ours}


def constraints_lines() -> list[str]:
    """The lines of constraints.txt that name a version."""
    return [line for line in CONSTRAINTS.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def normal(name: str) -> str:
    """A distribution's name as the packaging standard compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# Distributions


def build(options: Sequence[str]) -> int:
    """Write a wheel and a source distribution of every member and ``phasegraph-all``, and their SBOM, into dist/."""
    if not set(options) <= {"--try", "--deb", "--try-root"}:
        raise WrongArguments
    python = environment(develop=True)
    shutil.rmtree(DIST, ignore_errors=True)
    for folder in (*members().values(), ROOT / "all"):
        do([python, "-m", "hatchling", "build", "--directory", str(DIST)], cwd=folder)
    for wheel in sorted(DIST.glob("*.whl")):
        check_wheel(wheel)
    do([python, ROOT / "tools" / "sbom.py", DIST / "phasegraph.cdx.json"])
    say(f"{len(list(DIST.iterdir()))} files in {DIST}")
    if not options:
        return 0
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        others = Path(temporary)
        say("collecting what our wheels depend on")
        wheels = ("--find-links", str(DIST), "phasegraph-all", "pip")
        pip(python, "download", "--dest", str(others), "-c", str(CONSTRAINTS), *wheels)
        if "--try" in options and (code := try_wheels(others)):
            return code
        if "--deb" in options or "--try-root" in options:
            say("making a Debian package")
            do([python, ROOT / "tools" / "debian_package.py", DIST, others], env=clean_environment())
        if "--try-root" in options:
            return do([python, ROOT / "tools" / "try_packages.py", DIST, others], may_fail=True)
    return 0


def check_wheel(wheel: Path) -> None:
    """End with a sentence where a wheel lacks what its users rely on."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    lacks = [field for field in ("Summary: ", "License-Expression: ", "Requires-Python: ") if field not in metadata]
    lacks += [] if any(name.endswith("/licenses/LICENSE") for name in names) else ["the licence"]
    has_code = any(name.endswith(".py") for name in names)
    lacks += ["py.typed"] if has_code and not any(name.endswith("/py.typed") for name in names) else []
    if lacks:
        raise SystemExit(f"{wheel.name} lacks {', '.join(lacks)}")


def try_wheels(others: Path) -> int:
    """Install ``phasegraph-all`` by pipx from folders alone and run the example; returns its code.

    ``others`` has the wheels that ours depend on, and pip's.
    """
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        place, python = Path(temporary, "pipx"), make_venv(Path(temporary, "venv"))
        say("installing by pipx from folders alone")
        pip(python, *INSTALL, PIPX)
        places = {"PIPX_HOME": place, "PIPX_BIN_DIR": place / "bin", "PIPX_MAN_DIR": place / "man"}
        env = clean_environment() | {name: str(path) for name, path in places.items()}
        pipx, folders = [python, "-m", "pipx"], f"--no-index --find-links {DIST} --find-links {others}"
        do([*pipx, "install", "--quiet", f"--pip-args={folders}", "phasegraph-all"], env=env)
        kernel = place / "bin" / "kernel"
        for words in (("--version",), ("plugins",), ("check", str(ROOT / "examples" / "loopback.toml"))):
            do([kernel, *words], cwd=Path(temporary))
        example = [programs(place / "venvs" / "phasegraph-all") / "python", ROOT / "tools" / "demo.py"]
        if code := do(example, may_fail=True, cwd=Path(temporary)):
            return code
        do([*pipx, "uninstall", "phasegraph-all"], env=env)
        found = (path for path in place.rglob("*") if path.suffix != ".lock")  # pipx keeps its locks
        left = [str(path) for path in found if "phasegraph" in path.name or path.name == "kernel"]
        if left:
            raise SystemExit(f"uninstalling left {', '.join(left)}")
    say("installed by pipx from wheels, ran the example, uninstalled without a rest")
    return 0


# A plugin alone


def isolated(names: Sequence[str]) -> int:
    """Test one member, or all of them, each installed with the kernel alone; returns the exit code."""
    if len(names) != 1:
        raise WrongArguments
    (name,), known = names, members()
    if name != "all" and name not in known:
        raise SystemExit(f"there is no member {name!r}; there are: all, {', '.join(known)}")
    codes = {each: isolated_one(each) for each in (known if name == "all" else [name])}
    failed = [each for each, code in codes.items() if code]
    say(f"failed alone: {', '.join(failed)}" if failed else f"passed alone: {', '.join(codes)}")
    return 1 if failed else 0


def isolated_one(name: str) -> int:
    """Test a member as a wheel, in an environment of its own, from a copy of its tests outside the tree."""
    folder = members()[name]
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        work = Path(temporary)
        say(f"{name}: making wheels and an environment for them")
        python = make_venv(work / "venv")
        parts = dict.fromkeys([ROOT / "kernel", folder])
        # By the backend of .venv, which is there; otherwise pip would fetch it again for every wheel.
        build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work))
        pip(environment(develop=True), *build, *map(str, parts))
        pip(python, *INSTALL, "-c", str(CONSTRAINTS), *(f"{wheel}[testing]" for wheel in work.glob("*.whl")))
        # The configuration of pytest goes along, the sources do not.
        for file in ("pyproject.toml", "conftest.py"):
            shutil.copy(ROOT / file, work)
        shutil.copytree(folder / "tests", work / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        say(f"{name}: running its tests")
        # Others may run beside it, and what takes real time has been run in the tree.
        quick = [python, "-m", "pytest", "-q", "-m", QUICK, "tests"]
        return do(quick, may_fail=True, cwd=work, env={**os.environ, **FEWER_EXAMPLES})


# Small things


def do(
    command: Sequence[str | Path], *, may_fail: bool = False, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> int:
    """Run a command and return its exit code; one that must not fail ends everything if it does."""
    code = subprocess.run(command, cwd=cwd, env=env).returncode
    if code and not may_fail:
        raise SystemExit(f"this failed (exit code {code}): {' '.join(map(str, command))}")
    return code


def become(command: list[str], cwd: Path | None = None) -> int:
    """Go on as another program, so that signals reach it; where that cannot be, run it and return its exit code."""
    if cwd is not None:
        os.chdir(cwd)
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.run(command).returncode


def say(text: str) -> None:
    """A line of progress."""
    print(f"dev: {text}", file=sys.stderr, flush=True)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's document."""
    import tomllib  # not there before Python 3.11, which is told below

    with path.open("rb") as file:
        return tomllib.load(file)


def check_python() -> None:
    """End with a sentence where this Python is too old."""
    if sys.version_info >= OLDEST:
        return
    newer = [name for name in (f"python3.{minor}" for minor in range(20, OLDEST[1] - 1, -1)) if shutil.which(name)]
    remedy = f"this machine has {newer[0]}: call it instead" if newer else "install a newer one"
    needed, this = ".".join(map(str, OLDEST)), sys.version.split()[0]
    raise SystemExit(f"Phasegraph needs Python {needed} or newer, and this is {this} ({sys.executable}); {remedy}.")


if __name__ == "__main__":
    check_python()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
