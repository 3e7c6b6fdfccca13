"""The files: what readers see while they are written, and what becomes of them when the writer starts again."""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from phasegraph import NodeError
from phasegraph_airplay_timing.nqptp.nqptp_record import FIRST, SECOND, SIZE, MemoryNotServed, NqptpRecord
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader, MemoryWriter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is a file on Linux only")
READS = 4_000_000
ATTEMPTS = 20
"""On a busy machine the reader may have run while the writer did not, and seen one record."""
S = 10**9


def record(number: int) -> NqptpRecord:
    """As the reader in C knows them."""
    return NqptpRecord(clock=number, local_ns=3 * number, offset_ns=-number, since_ns=7 * number)


class Seen(NamedTuple):
    taken: int
    torn: int
    given_up: int
    different: int


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader in C."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler cc (Debian package gcc)")
    program = tmp_path_factory.mktemp("reader") / "reader"
    source = Path(__file__).with_name("reader.c")
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-o", program, source], check=True, timeout=60)
    return program


def watched(reader: Path, path: Path, write: Callable[[int], None]) -> Seen:
    """What the reader sees while somebody writes one record after the other, as fast as can be: of several records."""
    for _ in range(ATTEMPTS):
        seen = watched_once(reader, path, write)
        if seen.different > 1 or seen.torn:
            break
    return seen


def watched_once(reader: Path, path: Path, write: Callable[[int], None]) -> Seen:
    with subprocess.Popen([reader, path, str(READS)], stdout=subprocess.PIPE, text=True) as process:
        for number in itertools.count(1):
            write(number)
            if number % 1000 == 0 and process.poll() is not None:
                break
        assert process.stdout is not None
        answer = process.stdout.read()
    assert process.returncode == 0
    return Seen(*map(int, answer.split()))


def test_a_reader_never_sees_a_torn_record(reader: Path, tmp_path: Path) -> None:
    memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    seen = watched(reader, memory.path, lambda number: memory.write(record(number)))
    memory.close()
    assert seen.torn == 0
    assert seen.taken > 0
    assert seen.different > 1
    assert seen.taken + seen.given_up == READS


def test_the_reader_would_see_one(reader: Path, tmp_path: Path) -> None:
    # The same, written in the wrong order: half of both records, and then the rest of both.
    writer = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    with writer.path.open("r+b") as file, mmap.mmap(file.fileno(), SIZE) as memory:

        def write(number: int) -> None:
            data = record(number).encode()
            for start in (0, 16):
                for where in (FIRST, SECOND):
                    memory[where.start + start : where.start + start + 16] = data[start : start + 16]

        for _ in range(ATTEMPTS):
            seen = watched(reader, writer.path, write)
            if seen.torn:
                break
    writer.close()
    assert seen.torn > 0


def test_a_reader_that_stays_sees_the_next_writer(tmp_path: Path) -> None:
    first = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    first.write(record(1))
    with first.path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ)
    inode = first.path.stat().st_ino
    first.close()
    assert mapped[:2] == (10).to_bytes(2, sys.byteorder)
    assert mapped[FIRST] == mapped[SECOND] == record(1).encode()
    second = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    second.write(record(2))
    assert mapped[FIRST] == mapped[SECOND] == record(2).encode()
    assert second.path.stat().st_ino == inode
    second.close()


@pytest.mark.parametrize(("age_ns", "kept"), [(0, True), (10 * S, True), (10 * S + 1, False), (-1, False)])
def test_a_recent_record_of_another_writer_stays(tmp_path: Path, age_ns: int, kept: bool) -> None:
    path = tmp_path / "nqptp"
    path.write_bytes((10).to_bytes(2, sys.byteorder).ljust(8, b"\0") + record(3).encode() * 2)
    memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=record(3).local_ns + age_ns)
    assert MemoryReader("/nqptp", str(tmp_path)).read_record() == memory.kept == (record(3) if kept else NqptpRecord())
    memory.close()


@pytest.mark.parametrize("content", [bytes(SIZE), (9).to_bytes(2, sys.byteorder).ljust(SIZE, b"\1")])
def test_a_record_of_another_version_is_cleared(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "nqptp").write_bytes(content)
    memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    assert MemoryReader("/nqptp", str(tmp_path)).read_record() == NqptpRecord()
    memory.close()


def test_every_user_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    finally:
        os.umask(before)
    assert memory.path.stat().st_mode & 0o777 == 0o644
    memory.close()


def test_what_is_refused(tmp_path: Path) -> None:
    memory = MemoryWriter("/one", str(tmp_path), now_ns=0)
    with pytest.raises(NodeError, match="served by another process"):
        MemoryWriter("/one", str(tmp_path), now_ns=0)
    memory.close()
    (tmp_path / "old").write_bytes(bytes(144))
    with pytest.raises(NodeError, match="144 octets instead of 72"):
        MemoryWriter("/old", str(tmp_path), now_ns=0)
    assert (tmp_path / "old").stat().st_size == 144
    (tmp_path / "link").symlink_to(tmp_path / "one")
    with pytest.raises(NodeError, match="cannot open"):
        MemoryWriter("/link", str(tmp_path), now_ns=0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NodeError, match="is no file"):
        MemoryWriter("/pipe", str(tmp_path), now_ns=0)
    with pytest.raises(NodeError, match="no directory"):
        MemoryWriter("/nqptp", str(tmp_path / "nowhere"), now_ns=0)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nqptp").touch()
    os.chown(tmp_path / "nqptp", 12345, 12345)
    with pytest.raises(NodeError, match="belongs to user 12345"):
        MemoryWriter("/nqptp", str(tmp_path), now_ns=0)


def test_reading(tmp_path: Path) -> None:
    reader = MemoryReader("/nqptp", str(tmp_path))
    with pytest.raises(MemoryNotServed, match="No such file"):
        reader.read_record()
    with pytest.raises(MemoryNotServed, match="no directory"):
        MemoryReader("/nqptp", str(tmp_path / "nowhere")).read_record()
    os.mkfifo(reader.path)
    with pytest.raises(MemoryNotServed, match="cannot read"):
        reader.read_record()
    reader.path.unlink()
    for octets in (0, 73, 144):
        reader.path.write_bytes(bytes(octets))
        with pytest.raises(MemoryNotServed, match=f"has {min(octets, 73)} octets"):
            reader.read_record()
    reader.path.unlink()
    memory = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    memory.write(record(5))
    assert reader.read_record() == record(5)
    # nqptp itself replaces the file.
    memory.path.unlink()
    again = MemoryWriter("/nqptp", str(tmp_path), now_ns=0)
    again.write(record(6))
    assert reader.read_record() == record(6)
    memory.close()
    again.close()
