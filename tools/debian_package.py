"""A Debian package of everything: an environment of its own, the command, manual pages, completions, and the unit.

    python tools/debian_package.py DIST OTHERS     DIST: our wheels, and the result; OTHERS: what they depend on

`python3 tools/dev.py build --deb` calls it, in .venv. The environment is made of wheels alone and moved to its place by
rewriting the two things that name a place: the links to Python, and the first lines of the programs. It is for the
Python that makes it, whose minor version the package depends on.
"""

from __future__ import annotations

import compileall
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from man_pages import write_pages

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
HOME = "/opt/phasegraph"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
NEXT_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
DESCRIPTION = """Keeps network audio in phase with any clock
 Receives, sends, records and plays AES67 and ST 2110-30 streams in phase with
 a PTP grandmaster, the system's time or another clock, and says why where it
 cannot. The command is kernel; phasegraph@NAME.service runs a graph."""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/kernel",
    "zsh": "usr/share/zsh/vendor-completions/_kernel",
    "fish": "usr/share/fish/vendor_completions.d/kernel.fish",
}


def build_package(dist: Path, others: Path) -> Path:
    """The package, made of the wheels of two folders. Returns its path, in ``dist``."""
    version = next(dist.glob("phasegraph_all-*.whl")).name.split("-")[1]
    path = dist / f"phasegraph_{version}_{_architecture()}.deb"
    with tempfile.TemporaryDirectory(prefix="phasegraph-") as temporary:
        staging = Path(temporary, "staging")
        environment = staging / HOME.lstrip("/")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        wheels = ["--no-index", "--find-links", str(dist), "--find-links", str(others), "phasegraph-all"]
        python = str(environment / "bin" / "python")
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *wheels]
        subprocess.run(install, check=True)
        _move_environment(environment)
        _copy_files(staging)
        _write_control(staging, version)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "--build", staging, path], check=True)
    return path


def _move_environment(environment: Path) -> None:
    programs, kept = environment / "bin", ("kernel", "python", "python3", PYTHON)
    for program in programs.iterdir():
        if program.name not in kept:
            program.unlink()
    for name in kept[1:]:
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(f"/usr/bin/{PYTHON}")
    kernel = programs / "kernel"
    kernel.write_text(re.sub(r"\A#!.*\n", f"#!{HOME}/bin/python3\n", kernel.read_text()))
    configuration = f"home = /usr/bin\ninclude-system-site-packages = false\nexecutable = /usr/bin/{PYTHON}\n"
    (environment / "pyvenv.cfg").write_text(configuration)
    compiled = compileall.compile_dir(environment, quiet=1, stripdir=environment, prependdir=HOME, workers=2)
    if not compiled:
        raise SystemExit("not everything in the environment could be compiled")


def _copy_files(staging: Path) -> None:
    def put(source: Path, place: str, mode: int = 0o644) -> None:
        target = staging / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)

    put(PACKAGING / "systemd" / "phasegraph@.service", "lib/systemd/system/phasegraph@.service")
    put(PACKAGING / "systemd" / "phasegraph-sysusers.conf", "usr/lib/sysusers.d/phasegraph.conf")
    documents = "usr/share/doc/phasegraph"
    put(PACKAGING / "debian" / "copyright", f"{documents}/copyright")
    for example in [*sorted((ROOT / "examples").glob("*.toml")), ROOT / "examples" / "recording.flac"]:
        put(example, f"{documents}/examples/{example.name}")
    (staging / documents / "changelog.gz").write_bytes(gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))
    (staging / "etc" / "phasegraph").mkdir(parents=True)
    (staging / "usr" / "bin").mkdir(parents=True)
    (staging / "usr" / "bin" / "kernel").symlink_to(f"{HOME}/bin/kernel")
    pages = staging / "usr" / "share" / "man" / "man1"
    for page in write_pages(pages):
        page.with_suffix(".1.gz").write_bytes(gzip.compress(page.read_bytes(), mtime=0))
        page.unlink()
    for shell, place in COMPLETIONS.items():
        script = subprocess.run(
            [sys.executable, "-m", "phasegraph", "completion", shell], check=True, capture_output=True
        )
        target = staging / place
        target.parent.mkdir(parents=True)
        target.write_bytes(script.stdout)


def _write_control(staging: Path, version: str) -> None:
    control = staging / "DEBIAN"
    control.mkdir()
    for script in ("postinst", "prerm", "postrm"):
        shutil.copyfile(PACKAGING / "debian" / script, control / script)
        (control / script).chmod(0o755)
    files = [path for path in sorted(staging.rglob("*")) if path.is_file() and not path.is_symlink()]
    files = [path for path in files if control not in path.parents]
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(staging)}\n" for path in files]
    (control / "md5sums").write_text("".join(sums))
    fields = {
        "Package": "phasegraph",
        "Version": version,
        "Architecture": _architecture(),
        "Maintainer": "The Phasegraph authors <phasegraph@users.noreply.invalid>",
        "Installed-Size": str(sum(path.stat().st_size for path in files) // 1024),
        "Depends": f"{PYTHON}, python3 (<< {NEXT_PYTHON}), passwd",
        "Recommends": "libportaudio2",
        "Suggests": "linuxptp",
        "Section": "sound",
        "Priority": "optional",
        "Description": DESCRIPTION,
    }
    (control / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    for folder, _, _ in os.walk(staging):
        os.chmod(folder, 0o755)


def _architecture() -> str:
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(build_package(Path(sys.argv[1]), Path(sys.argv[2])))
