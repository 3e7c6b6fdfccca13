"""The followers of ptp_accuracy.py: how each is run, and how its error is read."""

from __future__ import annotations

import contextlib
import ctypes.util
import datetime
import json
import math
import re
import socket
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import _peers
import numpy as np
from _ptp_paths import Network, netns
from numpy.typing import NDArray
from tests.support import ptp4l
from tests.support.truth import Truth

PERIOD_S = 0.05
"""How often errors are sampled, where the program does not say when."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Errors:
    """By how much a clock was wrong, and when."""

    at_ns: Ints  # CLOCK_REALTIME
    error_ns: Ints
    sigma_ns: NDArray[np.float64] | None = None  # what the clock itself thought of that
    bound_ns: NDArray[np.float64] | None = None


class Follower(ABC):
    """A program under test on its path. Its grandmaster is ptp4l, which serves CLOCK_REALTIME."""

    key = label = ""
    starts_right = False
    """Whether its clock begins with the true time, so that it has nothing to converge to."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here."""
        return None

    def grandmaster(self) -> list[str]:
        """The command of its grandmaster, on the near host."""
        return self.network.near.command("ptp4l", "-f", self._ptp4l_config(ptp4l.MASTER))

    def serving(self, log: str) -> bool:
        """Whether the grandmaster serves, going by its log."""
        return "assuming the grand master role" in log

    @abstractmethod
    def command(self) -> list[str]:
        """The command of the program, on the far host."""

    def poll(self) -> None:  # noqa: B027 (not every program has to be asked)
        """Ask the program for its time; called every `PERIOD_S`."""

    def close(self) -> None:  # noqa: B027 (nor has every one begun something)
        """End what `poll` began; called after the program has ended."""

    @abstractmethod
    def errors(self, log: str, truth: Truth) -> Errors:
        """What its error was, now that it has ended. Raises RuntimeError if it told nothing."""

    def _ptp4l_config(self, role: str) -> Path:
        path = self.folder / f"{role}.cfg"
        # AES-R16: an Announce every second, 8 Syncs and 8 Delay_Reqs. ptp4l's file has no more than that.
        rates = {"logAnnounceInterval": 0, "announceReceiptTimeout": 3, "freq_est_interval": 1}
        ptp4l.write_config(path, role, **rates, uds_address=self._socket(role))
        return path

    def _socket(self, role: str) -> Path:
        return self.folder / f"{role}.uds"


class Ours(Follower):
    """Phasegraph. Its trace has lines; between two of them the first one goes on, as for any reader of the clock."""

    key, label, estimator = "ours", "Phasegraph", "kalman"

    @classmethod
    def missing(cls) -> str | None:
        return _peers.ours_missing()

    def command(self) -> list[str]:
        graph = self.folder / "graph.toml"
        options = {"kind": "ptp", "interface": netns.INTERFACE, "profile": "aes-r16", "estimator": self.estimator}
        lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
        graph.write_text(f"schema = 1\n[clocks.house]\n{lines}\n")
        run = [*(_peers.kernel_command() or ["kernel"]), "run", graph, "--trace", self._trace]
        return self.network.far.command(*run)

    @property
    def _trace(self) -> Path:
        return self.folder / "trace.jsonl"

    def errors(self, log: str, truth: Truth) -> Errors:
        records = [json.loads(line) for line in self._trace.read_text().splitlines()]
        told = [each for each in records if each["t"] == "clock" and each["state"] != "unlocked"]
        if not told:
            raise RuntimeError("its clock never told the time")
        samples = []
        for now, following in zip(told, [*told[1:], None], strict=True):
            end = following["local_ns"] if following else now["local_ns"] + 1
            for local in range(now["local_ns"], end, round(PERIOD_S * 1e9)):
                since, true = local - now["local_ns"], truth.at(local)
                reference = now["reference_ns"] + since + round(since * now["rate_ppb"] / 1e9)
                samples.append(
                    (
                        true,
                        reference - true,
                        *(math.inf if now[name] is None else now[name] for name in ("sigma_ns", "bound_ns")),
                    )
                )
        at, error, sigma, bound = zip(*samples, strict=True)
        return Errors(np.array(at, np.int64), np.array(error, np.int64), np.array(sigma), np.array(bound))


class OursLinear(Ours):
    """Phasegraph with linear regression."""

    key, label, estimator = "ours-linear", "Phasegraph (linear regression)", "linear-regression"


class OursMedian(Ours):
    """Phasegraph with medians."""

    key, label, estimator = "ours-median", "Phasegraph (median)", "median"


class Ptp4l(Follower):
    """ptp4l with software stamps, its clock left alone: what it makes of each Sync is its estimate."""

    key, label = "ptp4l", "ptp4l -S, free_running"
    starts_right = True
    _pmc: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        return None if _peers.installed("pmc") is None else "linuxptp is not installed"

    def command(self) -> list[str]:
        return self.network.far.command("ptp4l", "-f", self._ptp4l_config(ptp4l.SLAVE))

    def poll(self) -> None:
        if self._pmc is None:
            words = ("pmc", "-u", "-b", "0", "-s", self._socket(ptp4l.SLAVE), "-i", self.folder / "pmc.uds")
            with self._told.open("wb") as out:
                ask = self.network.far.command(*words)
                self._pmc = subprocess.Popen(ask, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
        assert self._pmc.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._pmc.stdin.write(b"GET TIME_STATUS_NP\n")
            self._pmc.stdin.flush()

    def close(self) -> None:
        if self._pmc is not None:
            self._pmc.kill()
            self._pmc.wait()

    @property
    def _told(self) -> Path:
        return self.folder / "pmc.log"

    def errors(self, log: str, truth: Truth) -> Errors:
        pattern = r"master_offset\s+(-?\d+)\s+ingress_time\s+([1-9]\d*)"
        # An offset is its clock, which is right, less what it takes for the grandmaster's time.
        told = {int(at): -int(offset) for offset, at in re.findall(pattern, self._told.read_text())}
        if not told:
            raise RuntimeError("it told no offset")
        return Errors(np.array(list(told), np.int64), np.array(list(told.values()), np.int64))


class Chrony(Follower):
    """chronyd with NTP over PTP, -x. A reference clock that it does not select holds its time against the truth."""

    key, label = "chrony", "chrony over PTP (its own server)"
    starts_right = True

    @classmethod
    def missing(cls) -> str | None:
        return _peers.installed("chronyd")

    def __init__(self, network: Network, folder: Path) -> None:
        super().__init__(network, folder)
        self._feed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def grandmaster(self) -> list[str]:
        return self.network.near.command(*self._chronyd("server", "allow", "local stratum 1"))

    def serving(self, log: str) -> bool:
        return "Disabled control of system clock" in log

    def command(self) -> list[str]:
        server = f"server {netns.NEAR} port 319 minpoll -3 maxpoll -3 xleave iburst"
        truth = f"refclock SOCK {self._truth} refid TRUE noselect"
        return self.network.far.command(
            *self._chronyd("client", server, truth, f"logdir {self.folder}", "log refclocks")
        )

    def _chronyd(self, name: str, *lines: str) -> list[str]:
        config = self.folder / f"{name}.conf"
        common = ("ptpport 319", "cmdport 0", "bindcmdaddress /", f"pidfile {self.folder / name}.pid")
        config.write_text("\n".join((*common, *lines, "")))
        return ["chronyd", "-x", "-d", "-u", "root", "-f", str(config)]

    @property
    def _truth(self) -> Path:
        return self.folder / "truth.sock"

    def poll(self) -> None:
        # struct sock_sample of chrony's refclock_sock.c. It puts the error of its clock at this time into the offset.
        seconds, ns = divmod(time.time_ns(), 1_000_000_000)
        with contextlib.suppress(OSError):  # it does not listen yet
            self._feed.sendto(struct.pack("@qqdiiii", seconds, ns // 1000, 0.0, 0, 0, 0, 0x534F434B), str(self._truth))

    def close(self) -> None:
        self._feed.close()

    def errors(self, log: str, truth: Truth) -> Errors:
        at, error = list[int](), list[int]()
        for line in (self.folder / "refclocks.log").read_text().splitlines():
            # Date, time, id, number of the sample (a dash where several are summed up), ..., raw and cooked offset.
            if len(words := line.split()) == 9 and words[2] == "TRUE" and words[3] != "-":
                moment = datetime.datetime.fromisoformat(f"{words[0]}T{words[1]}+00:00")
                offset = round(-1e9 * float(words[7]))
                if offset or at:  # zero until its first update
                    at.append(int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000)
                    error.append(offset)
        if not at:
            raise RuntimeError("it never updated its clock")
        return Errors(np.array(at, np.int64), np.array(error, np.int64))


class GStreamer(Follower):
    """GStreamer's PTP clock, read by `_gst_clock.py` (whose processor time is counted with it)."""

    key, label = "gst", "GStreamer PTP clock"

    @classmethod
    def missing(cls) -> str | None:
        return None if ctypes.util.find_library("gstnet-1.0") else "not installed"

    def command(self) -> list[str]:
        self.network.far.ip(f"route add 224.0.0.0/4 dev {netns.INTERFACE}")  # its helper does not choose an interface
        script = Path(__file__).with_name("_gst_clock.py")
        return self.network.far.command(sys.executable, script, netns.INTERFACE, 0)

    def errors(self, log: str, truth: Truth) -> Errors:
        told = [line.split() for line in log.splitlines() if re.fullmatch(r"\d+ -?\d+", line)]
        if not told:
            raise RuntimeError("it never synchronised")
        return Errors(np.array([int(at) for at, _ in told], np.int64), np.array([int(e) for _, e in told], np.int64))


FOLLOWERS: dict[str, type[Follower]] = {
    kind.key: kind for kind in (Ours, OursLinear, OursMedian, Ptp4l, Chrony, GStreamer)
}
"""All programs by key."""
