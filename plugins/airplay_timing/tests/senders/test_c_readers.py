"""Readers in C, written from the facts of both interfaces, beside our writers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phasegraph_airplay_timing.mapped_file import MappedFile
from phasegraph_airplay_timing.senders import airptp, cliairplay
from phasegraph_airplay_timing.senders.airptp_status import AirptpStatusWriter
from phasegraph_airplay_timing.senders.cliairplay_service import CliairplayService
from phasegraph_airplay_timing.senders.receiver_registry import ReceiverRegistry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is a file on Linux only")
READS = 2_000_000
ATTEMPTS = 20
"""On a busy machine a reader may be done before the writer gets its turn."""
SOURCE = r"""
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct status { uint16_t major, minor; uint64_t clock; time_t ts; uint16_t event, general; bool v4, v6; };
struct sample { uint64_t updates, clock, local; int64_t offset; uint64_t start; uint32_t flags, reserved; };
struct memory { uint32_t version, reserved; struct sample main, secondary; };

int main(int count, char **words) {
    int file = open(words[2], O_RDONLY);
    if (!strcmp(words[1], "alive")) {
        /* Each status that is written has clock = ts, both of two equal halves: others are torn or stale. */
        volatile struct status *found = mmap(0, sizeof *found, PROT_READ, MAP_SHARED, file, 0);
        long taken = 0, wrong = 0, different = 0;
        time_t last = 0;
        for (long i = atol(words[3]); i > 0; i--) {
            time_t before = found->ts;
            __sync_synchronize();
            uint64_t clock = found->clock;
            uint16_t event = found->event;
            __sync_synchronize();
            if (!before || before != found->ts) continue;
            taken++;
            wrong += clock != (uint64_t)before || (clock >> 32) != (clock & 0xffffffff) || event != 319;
            different += before != last;
            last = before;
        }
        printf("%ld %ld %ld\n", taken, wrong, different);
        return 0;
    }
    if (!strcmp(words[1], "status")) {
        struct status *found = mmap(0, sizeof *found, PROT_READ, MAP_SHARED, file, 0);
        printf("%zu %u %u %llx %lld %u %u %d %d\n", sizeof *found, found->major, found->minor,
               (unsigned long long)found->clock, (long long)found->ts, found->event, found->general,
               found->v4, found->v6);
        return 0;
    }
    struct memory *memory = mmap(0, sizeof *memory, PROT_READ, MAP_SHARED, file, 0);
    long reads = atol(words[3]), taken = 0, torn = 0, different = 0;
    uint64_t last = 0;
    for (long i = 0; i < reads; i++) {
        struct sample first, second;
        memcpy(&second, &memory->secondary, sizeof second);
        __sync_synchronize();
        memcpy(&first, &memory->main, sizeof first);
        if (memcmp(&first, &second, sizeof first)) continue;
        taken++;
        torn += first.updates
            && (first.local != 3 * first.updates || first.offset != -(int64_t)first.updates || first.clock != 7);
        different += first.updates != last;
        last = first.updates;
    }
    printf("%zu %u %ld %ld %ld\n", sizeof *memory, memory->version, taken, torn, different);
    return 0;
}
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The readers, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler cc (Debian package gcc)")
    folder = tmp_path_factory.mktemp("readers")
    source, program = folder / "readers.c", folder / "readers"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-o", program, source], check=True, timeout=60)
    return program


def test_a_client_of_airptp_never_reads_a_torn_or_stale_status(reader: Path, tmp_path: Path) -> None:
    # Server after server ends without a word, and the next one takes its memory with another clock.
    number, path = 1, tmp_path / "airptp_shm"
    AirptpStatusWriter(str(tmp_path), 1 << 32 | 1, (319, 320), ipv4=True, ipv6=True).abandon()
    for _ in range(ATTEMPTS):
        with subprocess.Popen([reader, "alive", path, str(READS)], stdout=subprocess.PIPE, text=True) as process:
            while number % 100 or process.poll() is None:
                number += 1
                clock = number << 32 | number
                writer = AirptpStatusWriter(str(tmp_path), clock, (319, 320), ipv4=True, ipv6=True)
                writer.renew(clock)
                writer.abandon()
            assert process.stdout is not None
            taken, wrong, different = map(int, process.stdout.read().split())
        if wrong or different > 1:
            break
    assert wrong == 0
    assert taken > different > 1


def test_a_client_of_airptp_sees_that_the_server_has_ended(tmp_path: Path) -> None:
    writer = AirptpStatusWriter(str(tmp_path), 7, (319, 320), ipv4=True, ipv6=True)
    writer.renew(7)
    with (tmp_path / "airptp_shm").open("rb") as mapped:
        assert airptp.decode_status(mapped.read()) is not None
        writer.close()
        mapped.seek(0)
        assert airptp.decode_status(mapped.read()) is None
    assert [*tmp_path.iterdir()] == []


def test_a_stream_of_cliairplay_sees_that_the_server_has_ended(tmp_path: Path) -> None:
    service = CliairplayService(str(tmp_path), ReceiverRegistry(), lambda name, **fields: None)
    service.publish(clock=7, realtime_ns=3, timeline_ns=1, started_ns=5)
    with (tmp_path / "cliairplay-ptp").open("rb") as mapped:
        assert cliairplay.decode_sample(mapped.read()) is not None
        service.close()
        mapped.seek(0)
        assert cliairplay.decode_sample(mapped.read()) is None
    assert [*tmp_path.iterdir()] == []


def test_a_memory_that_another_program_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "airptp_shm").write_bytes(b"of another version")
    (tmp_path / "cliairplay-ptp").symlink_to(tmp_path / "elsewhere")
    AirptpStatusWriter(str(tmp_path), 7, (319, 320), ipv4=True, ipv6=True).abandon()
    assert (tmp_path / "airptp_shm").stat().st_size == airptp.STATUS_SIZE
    CliairplayService(str(tmp_path), ReceiverRegistry(), lambda name, **fields: None).close()
    assert not (tmp_path / "elsewhere").exists()


def test_a_client_of_airptp_reads_the_status(reader: Path, tmp_path: Path) -> None:
    memory = MappedFile(airptp.NAME, str(tmp_path), airptp.STATUS_SIZE)
    now = int(time.time())
    memory.memory[:] = airptp.encode_status(0xFFFF_0102_0304_0506, now, (319, 320), ipv4=True, ipv6=False)
    answer = subprocess.run([reader, "status", memory.path], capture_output=True, check=True, text=True, timeout=60)
    memory.close(remove=True)
    assert answer.stdout == f"{airptp.STATUS_SIZE} 0 1 ffff010203040506 {now} 319 320 1 0\n"


def test_a_stream_of_cliairplay_never_reads_a_torn_sample(reader: Path, tmp_path: Path) -> None:
    memory = MappedFile(cliairplay.NAME, str(tmp_path), cliairplay.SIZE)
    memory.memory[: cliairplay.MAIN.start] = cliairplay.encode_header()
    updates = different = 0
    for _ in range(ATTEMPTS):
        with subprocess.Popen(
            [reader, "sample", memory.path, str(READS)], stdout=subprocess.PIPE, text=True
        ) as process:
            while updates % 1000 or process.poll() is None:
                updates += 1
                sample = cliairplay.CliairplaySample(
                    updates=updates, clock=7, realtime_ns=3 * updates, offset_ns=-updates, started_ns=5
                )
                memory.write_twice(sample.encode(), cliairplay.MAIN, cliairplay.SECONDARY)
            assert process.stdout is not None
            size, version, taken, torn, different = map(int, process.stdout.read().split())
        assert torn == 0
        if different > 1:
            break
    memory.close(remove=True)
    assert (size, version) == (cliairplay.SIZE, cliairplay.VERSION)
    assert taken > 0
    assert different > 1
