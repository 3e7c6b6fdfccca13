"""``kernel airplay serve`` as a program, over this machine's loopback, beside a leader of the test's own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phasegraph import SystemLocalClock
from phasegraph.ieee1588 import DelayReq, DelayResp, FollowUp, Message, PortIdentity, Sync, encode
from phasegraph_airplay_timing.nqptp.nqptp_record import MemoryNotServed, NqptpRecord
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryReader
from phasegraph_airplay_timing.senders.airptp import AirptpCommand, decode_status, encode_command, parse_command
from phasegraph_airplay_timing.senders.cliairplay import decode_sample
from phasegraph_airplay_timing.serve_command import serve_command
from phasegraph_airplay_timing.wire import apple, compose
from phasegraph_airplay_timing.wire.session_plists import (
    RateAnchor,
    SessionTiming,
    SessionTimingPeer,
    write_rate_anchor,
    write_setup,
)

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="shared memory is a file on Linux only"),
]
S, MS = 10**9, 10**6
LOCAL = SystemLocalClock()
AHEAD_NS = 77_000 * S
ENOUGH_S = 60.0
LEADER = PortIdentity(0x0499_B9B7_E0F1_0008, 0x8005)


class Leader:
    """At 127.0.0.2: the ports are the same as the server's. It is asked to `work` all the time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sequence = 0
        self.due_ns = 0
        self.questions = 0
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Leader:
        # The server must be there already, for it does not share its ports.
        self.sockets = [self._open(self.port), self._open(self.port + 1)]
        return self

    def __exit__(self, *error: object) -> None:
        for each in self.sockets:
            each.close()

    def _open(self, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)
        made.bind(("127.0.0.2", port))
        return made

    def work(self) -> None:
        event, general = self.sockets
        here = [("127.0.0.1", self.port), ("127.0.0.1", self.port + 1)]
        if LOCAL.now_ns() >= self.due_ns:
            self.due_ns = LOCAL.now_ns() + 50 * MS
            self.sequence += 1
            data = compose.AnnouncedDataset(grandmaster=LEADER.clock)
            general.sendto(encode(compose.announce(LEADER, self.sequence, data)), here[1])
            sent_ns = LOCAL.now_ns() + AHEAD_NS
            event.sendto(encode(compose.sync(LEADER, self.sequence)), here[0])
            general.sendto(encode(compose.follow_up(LEADER, self.sequence, sent_ns)), here[1])
        try:
            question = apple.decode(event.recv(2048))
        except BlockingIOError:
            return
        reached_ns = LOCAL.now_ns() + AHEAD_NS
        assert isinstance(question, DelayReq)
        self.questions += 1
        general.sendto(encode(compose.delay_resp(LEADER, question, reached_ns)), here[1])


class Host:
    """The server, a leader beside it, and a receiver."""

    def __init__(self, port: int, control: int, sender_control: int, directory: Path) -> None:
        self.port = port
        self.control = control
        self.sender_control = sender_control
        self.memory = MemoryReader("/nqptp", str(directory))
        self.options = ["--interface", "127.0.0.1", "--event-port", str(port), "--general-port", str(port + 1)]
        self.options += [
            "--control-port",
            str(control),
            "--sender-control-port",
            str(sender_control),
            "--directory",
            str(directory),
            "--state",
            str(directory / "state"),
        ]
        self.arguments = [sys.executable, "-m", "phasegraph", "airplay", "serve", *self.options]

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        """The program, from when it serves on."""
        with subprocess.Popen(self.arguments, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                said = ""
                while " serving " not in said:
                    said = process.stderr.readline()
                    assert said, "it has ended"
                yield process
            finally:
                process.kill()

    def say(self, text: str, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(f"/nqptp {text}\0".encode(), (address, self.control))

    def record(self) -> NqptpRecord:
        try:
            return self.memory.read_record() or NqptpRecord()
        except MemoryNotServed:
            return NqptpRecord()

    def until_known(self) -> None:
        """Wait until the receiver is told the leader's time, and see that it is right."""
        deadline = time.monotonic() + ENOUGH_S
        with Leader(self.port) as leader:
            while self.record().clock != LEADER.clock or leader.questions < 4:
                leader.work()
                time.sleep(0.002)
                assert time.monotonic() < deadline, "no time came"
        assert abs(self.record().offset_ns - AHEAD_NS) < 20 * MS


@pytest.fixture
def host(free_ports: Callable[[int], list[int]], tmp_path: Path) -> Host:
    return Host(*free_ports(3), tmp_path)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_receiver_is_told_the_time_also_after_a_restart(host: Host, end: signal.Signals) -> None:
    inodes = []
    for run in range(2):
        with host.serving() as process:
            if run == 0:
                host.say("T")
                host.say("T 127.0.0.2")
                host.say("B")
            host.until_known()
            process.send_signal(end)
            process.wait(ENOUGH_S)
            inodes.append(host.memory.path.stat().st_ino)
            if end is signal.SIGTERM:
                assert process.returncode == 0
                assert host.record() != NqptpRecord(), "receivers go on with it while the next server starts"
    assert inodes[0] == inodes[1]


def test_systemd_is_told_when_it_serves(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else systemd starts receivers at once, which end where there is no memory yet.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(ENOUGH_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with host.serving():
            assert manager.recv(100) == b"READY=1"
            assert host.memory.read_record() == NqptpRecord()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this system has no IPv6")
def test_commands_come_by_ipv6_too(host: Host) -> None:
    with host.serving():
        host.say("T 127.0.0.2", "::1")
        host.say("B", "::1")
        host.until_known()


class RemoteReceiver:
    """A receiver at an address of its own: asks for the delay at each Sync. It is asked to `work` all the time."""

    def __init__(self, port: int, address: str) -> None:
        self.address = address
        self.syncs = 0
        self.answers = 0
        self.offsets: list[int] = []
        """The server's time less CLOCK_MONOTONIC, by the path there."""
        self._arrived: dict[int, int] = {}
        self._port = PortIdentity(0x5CAA_FD00_0000_0000 + int(address.rpartition(".")[2]), 0x8005)
        self._server = ("127.0.0.1", port)
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for number, made in enumerate(self._sockets):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setblocking(False)
            made.bind((address, port + number))

    def __enter__(self) -> RemoteReceiver:
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._sockets:
            each.close()

    def work(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._receive(apple.decode(each.recv(2048)), time.clock_gettime_ns(time.CLOCK_MONOTONIC))

    def _receive(self, message: Message, now_ns: int) -> None:
        match message:
            case Sync():
                self.syncs += 1
                self._arrived = {message.sequence: now_ns}
                self._sockets[0].sendto(encode(compose.delay_req(self._port, message.sequence)), self._server)
            case FollowUp() if message.sequence in self._arrived:
                self.offsets.append(message.precise_origin_ns - self._arrived[message.sequence])
            case DelayResp() if message.requesting == self._port:
                self.answers += 1


class ThreeClients:
    """shairport-sync, OwnTone and Music Assistant on the server's computer."""

    def __init__(self, host: Host, directory: Path, client: socket.socket) -> None:
        self.compared = 0
        """How often all three clocks were read and found alike."""
        self.followed = 0
        """How often the kitchen knew the phone's time, which was right."""
        self._host = host
        self._directory = directory
        self._client = client
        self._kitchen = MemoryReader("/nqptp-kitchen", str(directory))
        for command in ("/nqptp T 127.0.0.1", "/nqptp B", "/nqptp-kitchen T 127.0.0.2", "/nqptp-kitchen B"):
            client.sendto(f"{command}\0".encode(), ("127.0.0.1", host.control))

    def until_served(self) -> None:
        """Wait until the first receiver has the senders' time: from then on it never loses it."""
        deadline = time.monotonic() + ENOUGH_S
        while not self._host.record().clock:
            time.sleep(0.01)
            assert time.monotonic() < deadline, "no time came"

    def change_receivers(self, step: int, stream: str, airptp: str) -> None:
        """A receiver of Music Assistant comes or goes with each second step, and one of OwnTone in turn with it."""
        if step % 2:
            added = step % 4 == 1
            self._client.sendto(f"{'R' if added else 'U'} {stream}".encode(), ("127.0.0.1", self._host.sender_control))
            assert self._client.recv(200).startswith(b"OK peers=")
            command = AirptpCommand(9, None if added else airptp)
            self._client.sendto(encode_command(command), ("127.0.0.1", self._host.port + 1))

    def compare(self) -> None:
        """All three read one clock, within what their memories promise on a busy machine."""
        status = decode_status((self._directory / "airptp_shm").read_bytes())
        sample = decode_sample((self._directory / "cliairplay-ptp").read_bytes())
        record = self._host.memory.read_record()
        assert status is not None
        assert time.time() - status.written_s < 15
        if sample is not None and record is not None:  # else the writer was in the way
            self.compared += 1
            assert sample.clock == record.clock == status.clock
            before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            told_ns = (time.time_ns() + sample.offset_ns, LOCAL.now_ns() + record.offset_ns)
            after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            assert before_ns - 5 * MS < min(told_ns)
            assert max(told_ns) < after_ns + 5 * MS
        phone = self._kitchen.read_record()
        if phone is not None and phone.clock:
            self.followed += 1
            assert phone.clock == LEADER.clock
            assert abs(phone.offset_ns - AHEAD_NS) < 20 * MS


def test_three_kinds_of_client_read_one_clock_of_one_process(host: Host, tmp_path: Path) -> None:
    """While peers come and go. PHASEGRAPH_AIRPLAY_S says for how many seconds; CI does it for two minutes."""
    end = time.monotonic() + float(os.environ.get("PHASEGRAPH_AIRPLAY_S", "15"))
    host.arguments += ["--name", "/nqptp", "--name", "/nqptp-kitchen"]
    with (
        host.serving() as process,
        Leader(host.port) as phone,
        RemoteReceiver(host.port, "127.0.0.3") as first,
        RemoteReceiver(host.port, "127.0.0.4") as second,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(ENOUGH_S)
        clients = ThreeClients(host, tmp_path, client)
        clients.until_served()
        due, step = time.monotonic() + 2, 0
        while time.monotonic() < end:
            for each in (phone, first, second) if step % 15 < 10 else (first, second):
                each.work()  # the phone leaves for five seconds now and then
            time.sleep(0.002)
            if time.monotonic() >= due:
                due, step = due + 1, step + 1
                clients.change_receivers(step, first.address, second.address)
                clients.compare()
        assert process.poll() is None
    assert clients.compared > step // 2
    assert clients.followed > step // 3
    for receiver in (first, second):
        assert receiver.syncs > 8
        assert receiver.answers > receiver.syncs // 2
        assert abs(statistics.median(receiver.offsets)) < 20 * MS


AIRPTP = """
import socket, struct, sys, time
port, path = int(sys.argv[1]), sys.argv[2]
general = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
general.bind(("127.0.0.1", port + 1))
event = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
event.bind(("127.0.0.1", port))
with open(path, "wb") as file:
    file.write(struct.pack("@HH4xQqHH??2x", 0, 1, 0x0102030405060708, int(time.time()), port, port + 1, True, False))
print("ready", flush=True)
print(general.recv(200).hex(), flush=True)
time.sleep(60)
"""
"""A program in airptp's place: it holds the ports, writes its status once, and shows the first command."""


def test_it_attaches_to_a_running_airptp_and_takes_its_place(host: Host, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", AIRPTP, str(host.port), str(tmp_path / "airptp_shm")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with host.serving() as process, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
            stream.settimeout(ENOUGH_S)
            stream.sendto(b"R 127.0.0.9", ("127.0.0.1", host.sender_control))
            assert stream.recv(200) == b"OK peers=1 gm=0102030405060708 role=grandmaster"
            command = parse_command(bytes.fromhex(other.stdout.readline()))
            assert command is not None
            assert command.address == "127.0.0.9"
            host.say("T 127.0.0.1")
            host.say("B")
            deadline = time.monotonic() + ENOUGH_S
            while host.record().clock != 0x0102_0304_0506_0708:
                time.sleep(0.05)
                assert time.monotonic() < deadline
            monotonic_ns = host.record().offset_ns + LOCAL.now_ns()
            assert abs(monotonic_ns - time.clock_gettime_ns(time.CLOCK_MONOTONIC)) < 5 * MS
            other.kill()
            assert process.stderr is not None
            while " serving " not in process.stderr.readline():
                assert process.poll() is None
            host.say("T 127.0.0.2")
            host.until_known()


def test_a_program_with_rtsp_gets_the_time_of_a_frame(host: Host, tmp_path: Path) -> None:
    host.arguments += ["--sessions", str(tmp_path / "sessions.sock")]
    with host.serving(), Leader(host.port) as leader, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as program:
        program.connect(str(tmp_path / "sessions.sock"))
        answers = program.makefile("r")

        def ask(**request: Any) -> dict[str, Any]:
            program.sendall(json.dumps({"id": 1, **request}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        peer = SessionTimingPeer(addresses=("127.0.0.2",), id="phone", clock=LEADER.clock)
        body = write_setup(SessionTiming(protocol="PTP", peer=peer))
        assert ask(request="setup", body=b64encode(body).decode())["ok"]
        deadline = time.monotonic() + ENOUGH_S
        while ask(request="frame", rtp=0)["state"] != "locked":
            for _ in range(50):
                leader.work()
                time.sleep(0.002)
            assert time.monotonic() < deadline
        sounds_ns = LOCAL.now_ns() + S
        anchor = RateAnchor(playing=True, rtp=7, time_ns=sounds_ns + AHEAD_NS, clock=LEADER.clock)
        assert ask(request="rate-anchor", body=b64encode(write_rate_anchor(anchor)).decode())["ok"]
        assert abs(ask(request="frame", rtp=7)["monotonic_ns"] - sounds_ns) < 20 * MS
        assert ask(request="frame", rtp=7 + 44_100)["playing"]


def test_a_port_that_somebody_has(host: Host) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", host.control))
        done = subprocess.run(host.arguments, capture_output=True, text=True, timeout=ENOUGH_S, check=False)
    assert done.returncode == 1
    assert f"UDP port {host.control} is held by " in done.stderr
    assert "a clock of kind nqptp" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--interface", "nowhere0"], 1, "no network interface 'nowhere0'"),
        (["--directory", "/nowhere"], 1, "there is no directory /nowhere"),
        (["--name", "kitchen"], 2, "is no name of a shared memory"),
        (["--control-port", "0"], 2, "--control-port"),
    ],
)
def test_what_cannot_be_done_is_said(host: Host, arguments: list[str], code: int, said: str) -> None:
    done = CliRunner().invoke(serve_command, [*host.options, *arguments])
    assert (done.exit_code, type(done.exception)) == (code, SystemExit)
    assert said in done.output
