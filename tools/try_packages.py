"""Tries the packages in a new Debian: a root folder by debootstrap, as root, without a container engine.

    python tools/try_packages.py DIST OTHERS     DIST: our wheels and the .deb; OTHERS: what the wheels depend on

1. The .deb: installed by apt, the example is run by an ordinary user, the unit's command by the unit's user with the
   unit's capabilities and without a service manager, then purged, which leaves nothing.
2. packaging/oci/Containerfile: its steps, one by one; then the example, by the image's user.

Everything happens in mount and process namespaces that end with this program.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "packaging" / "systemd" / "phasegraph@.service"
CONTAINERFILE = ROOT / "packaging" / "oci" / "Containerfile"
CAPABILITIES = "+net_bind_service,+sys_nice"
CHANGED_BY_ANY_INSTALLATION = re.compile(
    r"/(var/(lib/(dpkg|apt)|cache|log)|srv/|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|tmp)"
)
START_S = 60.0
ORDINARY_USER = "65534:65534"
"""User and group without rights, which every Debian has."""
GRAPH = """schema = 1
[clocks.house]
kind = "ptp"
interface = "127.0.0.1"
[sources.tone]
kind = "tone"
[sinks.take]
kind = "file"
input = "tone"
path = "/var/lib/phasegraph/take.wav"
"""


class NewDebian:
    """A root folder, and programs that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        self.prefix: list[str] = []
        """What precedes each command: the change to another user."""
        self.place = "/"

    def command(self, *words: str) -> list[str]:
        """The command line that runs a program in the root."""
        root = shlex.quote(str(self.folder))
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        inside = shlex.join(["env", "-i", *assignments, *self.prefix, *words])
        script = f"""mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev &&
            exec chroot {root} sh -c {shlex.quote(f"cd {shlex.quote(self.place)} && exec {inside}")}"""
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script]

    def run(self, *words: str) -> None:
        """Run a program to its end. Raises SystemExit if it fails."""
        say(shlex.join(words)[:150])
        if code := subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, timeout=900).returncode:
            raise SystemExit(f"this failed in the new Debian (exit code {code}): {shlex.join(words)}")

    def put(self, source: Path, place: str) -> None:
        """Copy a file or folder into the root, readable for all."""
        target = self.folder / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)

    def files(self) -> set[str]:
        """All paths, but for those that every installation changes."""
        found = set()
        for folder, folders, names in os.walk(self.folder):
            inside = folder.removeprefix(str(self.folder)) or "/"
            folders[:] = [name for name in folders if f"{inside.rstrip('/')}/{name}" not in ("/proc", "/dev", "/sys")]
            found |= {f"{inside.rstrip('/')}/{name}" for name in [*folders, *names]}
        return {path for path in found if not CHANGED_BY_ANY_INSTALLATION.match(path)}

    def copy(self, folder: Path) -> NewDebian:
        """Another root with the same files."""
        subprocess.run(["cp", "--archive", "--reflink=auto", self.folder, folder], check=True)
        return NewDebian(folder)


def as_user(name: str, *, capabilities: str = "") -> list[str]:
    """The words that make a program another user's, with no other capabilities than those."""
    words = [
        "setpriv",
        f"--reuid={name}",
        f"--regid={name}",
        "--init-groups",
        f"--bounding-set=-all{capabilities and ','}{capabilities}",
    ]
    if capabilities:
        words += [f"--inh-caps=-all,{capabilities}", f"--ambient-caps=-all,{capabilities}"]
    return [*words, "--no-new-privs", "--"]


def new_debian(folder: Path) -> NewDebian:
    """A minimal Debian with what the packages depend on."""
    packages = "python3,python3-venv,libportaudio2,ca-certificates"
    say("debootstrap: a new Debian")
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", folder],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=1200,
    )
    for name in ("resolv.conf", "hosts"):
        with contextlib.suppress(OSError):
            shutil.copy(f"/etc/{name}", folder / "etc" / name)
    place = folder / "srv" / "phasegraph"
    shutil.copytree(ROOT / "examples", place / "examples", ignore=shutil.ignore_patterns("out"))
    (place / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "demo.py", place / "tools")
    (place / "examples" / "out").mkdir()
    (place / "examples" / "out").chmod(0o777)
    return NewDebian(folder)


def try_deb(debian: NewDebian, deb: Path) -> None:
    """Install, run, run as the unit does, purge."""
    debian.put(deb, "/tmp/phasegraph.deb")
    before = debian.files()
    debian.environment["DEBIAN_FRONTEND"] = "noninteractive"
    debian.run("apt-get", "install", "-qq", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "/tmp/phasegraph.deb")
    run_example(debian, ORDINARY_USER, ["kernel"])
    try_unit(debian)
    debian.prefix = []
    debian.run("dpkg", "--verify", "phasegraph")
    for name in ("take.wav", "hall.report.json"):
        (debian.folder / "var/lib/phasegraph" / name).unlink()
    (debian.folder / "etc/phasegraph/hall.toml").unlink()
    debian.run("apt-get", "purge", "-qq", "-o", "Dpkg::Use-Pty=0", "phasegraph")
    left = sorted(debian.files() - before)
    if left:
        raise SystemExit(f"purging the package left {', '.join(left[:20])}")
    if "phasegraph" in (debian.folder / "etc" / "passwd").read_text():
        raise SystemExit("purging the package left the user phasegraph")
    say("the .deb was installed, ran, and was purged without a rest")


def run_example(debian: NewDebian, user: str, kernel: Sequence[str]) -> None:
    """The main job: a recording crosses the network and comes back bit for bit."""
    name, _, group = user.partition(":")
    debian.prefix = ["setpriv", f"--reuid={name}", f"--regid={group or name}", "--clear-groups", "--"]
    debian.run(*kernel, "--version")
    debian.run(*kernel, "plugins")
    debian.run("/opt/phasegraph/bin/python3", "/srv/phasegraph/tools/demo.py")
    debian.prefix = []
    debian.run("sh", "-c", "rm -rf /srv/phasegraph/examples/out/*")  # another user's turn


def try_unit(debian: NewDebian) -> None:
    """Run the unit's command as its user, with its capabilities; it reports that it is ready, reloads, and ends."""
    (debian.folder / "etc/phasegraph/hall.toml").write_text(GRAPH)
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's documentation has it
    unit.read(UNIT)
    specifiers = {"%i": "hall", "%E": "/etc", "%S": "/var/lib"}
    start, reload = (
        shlex.split(re.sub("%[iES]", lambda found: specifiers[found[0]], unit["Service"][name]))
        for name in ("ExecStart", "ExecReload")
    )
    for place in ("run/phasegraph/hall", "var/lib/phasegraph"):  # RuntimeDirectory= and StateDirectory= make them
        (debian.folder / place).mkdir(parents=True, exist_ok=True)
        debian.run("chown", "phasegraph:", f"/{place}")
        debian.run("chmod", "700", f"/{place}")
    debian.environment |= {"RUNTIME_DIRECTORY": "/run/phasegraph/hall", "NOTIFY_SOCKET": "/run/phasegraph/notify"}
    debian.environment["WATCHDOG_USEC"] = "20000000"
    debian.prefix = as_user("phasegraph", capabilities=CAPABILITIES)
    with notifications(debian.folder / "run/phasegraph/notify") as messages:
        say(shlex.join(start))
        process = subprocess.Popen(debian.command(*start), stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            expect(messages, process, "READY=1")
            expect(messages, process, "WATCHDOG=1")
            debian.run(*reload)
            debian.run("kernel", "status", "hall")
            debian.run("kernel", "stop", "hall")
            expect(messages, process, "STOPPING=1")
            if code := process.wait(30):
                raise SystemExit(f"the unit's command ended with {code}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    (debian.folder / "run/phasegraph/notify").unlink()
    shutil.rmtree(debian.folder / "run/phasegraph")
    for name in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"):
        del debian.environment[name]


@contextlib.contextmanager
def notifications(path: Path) -> Iterator[socket.socket]:
    """A socket in the place of the service manager's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages:
        messages.bind(os.fspath(path))
        path.chmod(0o777)
        path.parent.chmod(0o755)
        messages.settimeout(0.5)
        yield messages


def expect(messages: socket.socket, process: subprocess.Popen[bytes], wanted: str) -> None:
    """Wait for a message of the run. Raises SystemExit if it does not come."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            if wanted in messages.recv(4096).decode().splitlines():
                return
            continue
        if process.poll() is not None:
            break
    raise SystemExit(f"the unit's command did not report {wanted}")


def try_image(debian: NewDebian, dist: Path, others: Path) -> None:
    """Do what the recipe of the image says, in a root instead of an image, then run the example as its user."""
    debian.environment |= {"DEBIAN_FRONTEND": "noninteractive", "PIP_NO_INDEX": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    user = "root"
    for line in CONTAINERFILE.read_text().splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "RUN":
            debian.run("sh", "-ec", rest)
        elif instruction == "COPY":
            source, target = rest.split()
            if source == "dist/":
                for wheel in [*dist.glob("*.whl"), *others.glob("*.whl")]:
                    debian.put(wheel, f"{target}{wheel.name}")
            else:
                debian.put(ROOT / source, target)
        elif instruction == "ENV":
            debian.environment |= dict(assignment.split("=", 1) for assignment in rest.split())
        elif instruction == "USER":
            user = rest
        elif instruction == "WORKDIR":
            debian.place = rest
        elif instruction == "ENTRYPOINT":
            entry = re.findall(r'"([^"]+)"', rest)
        elif instruction not in ("FROM", "CMD", "#", ""):
            raise SystemExit(f"{CONTAINERFILE.name} has {instruction}, which is not tried here")
    run_example(debian, user, entry)
    debian.prefix = as_user(user, capabilities=CAPABILITIES)
    (debian.folder / "etc/phasegraph/graph.toml").write_text(GRAPH)
    debian.run(*entry, "run", "/etc/phasegraph/graph.toml", "--for", "1s")
    say("the image's steps were done, and its entry point ran")


def say(text: str) -> None:
    """A line of progress."""
    print(f"try: {text}", file=sys.stderr, flush=True)


def main(dist: Path, others: Path) -> int:
    """Try both; returns the exit code."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        say("not tried: it takes root and debootstrap (apt install debootstrap)")
        return 0
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        base = new_debian(Path(temporary, "base"))
        try_image(base.copy(Path(temporary, "image")), dist, others)
        try_deb(base, next(dist.glob("*.deb")))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
