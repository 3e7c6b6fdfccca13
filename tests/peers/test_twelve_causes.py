"""The twelve usual causes of silence and trouble, made on purpose: `kernel doctor` or `kernel verify` names each.

`docs/causes.md` is the table of what they say; its sentences are looked for here.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from tests.support import netns
from tests.support.kernel import KERNEL
from tests.support.netns import Host
from tests.support.process import running

pytestmark = [pytest.mark.peers, pytest.mark.realtime]
ROOT = Path(__file__).parents[2]
SENDER, RECEIVER, RIVAL = "10.77.0.1", "10.77.0.2", "10.77.0.3"
GROUP = "239.1.9.9"
SYSTEM = '[clocks.house]\nkind = "system"\n'
GRANDMASTER = '[clocks.house]\nkind = "ptp"\ninterface = "eth0"\nrole = "grandmaster"\n'
FOLLOWER = '[clocks.house]\nkind = "ptp"\ninterface = "eth0"\n'


class Cause(msgspec.Struct):
    """How a cause is made, and the sentences (regular expressions) that name it."""

    clock: str = SYSTEM
    sender_clock: str = SYSTEM
    source: str = ""
    doctor: str = ""
    verify: str = ""
    sends: bool = True
    rival: bool = False
    announced: bool = False
    """Whether the doctor finds it by the session's announcement: it listens before that is sent."""
    described: str = ""
    """A change of the sender's description: what is replaced, and by what, apart by a bar."""


CAUSES = {
    "no route": Cause(
        source='interface = ""',
        doctor=r"no route leads to 239\.1\.9\.9, and no interface is named",
        verify=r"cannot join .*: no route leads to it \(name the interface with the option interface, or add a route",
    ),
    "wrong interface": Cause(
        source='interface = "spare"',
        announced=True,
        doctor=r"239\.1\.9\.9:5004 is announced on eth0, and not on spare",
        verify=r"nothing comes to 239\.1\.9\.9:5004 by spare",
    ),
    "wrong group": Cause(
        source='group = "239.1.9.8"',
        announced=True,
        doctor=r"no announced session has 239\.1\.9\.8:5004; announced: '.*' at 239\.1\.9\.9:5004",
        verify=r"nothing comes to 239\.1\.9\.8:5004 by eth0",
    ),
    "wrong port": Cause(
        source="port = 5006",
        announced=True,
        doctor=r"239\.1\.9\.9:5004 is announced, and the source has port 5006",
        verify=r"nothing comes to 239\.1\.9\.9:5006 by eth0",
    ),
    "wrong format": Cause(
        source='encoding = "L16"',
        announced=True,
        doctor=r"announces 239\.1\.9\.9:5004 with encoding L24",
        verify=r"L24 with 2 channels .*would fit",
    ),
    "wrong payload type": Cause(
        source="payload-type = 111",
        announced=True,
        doctor=r"announces 239\.1\.9\.9:5004 with payload type \d+",
        verify=r"payload type \d+, and 111 is expected",
    ),
    "wrong rate": Cause(
        source='rate = "44.1kHz"',
        announced=True,
        doctor=r"announces 239\.1\.9\.9:5004 with rate 48000",
        verify=r"go on at 48 kHz, and 44\.1 kHz is described: set the rate",
    ),
    "drifting sender": Cause(
        clock=SYSTEM + 'rate-offset = "998ppm"\n', verify=r"the sender's clock runs \d+ ppm slow of clock 'house'"
    ),
    "no grandmaster": Cause(clock=FOLLOWER, doctor=r"no Announce .*on eth0", verify="unlocked"),
    "grandmaster in another domain": Cause(
        clock=FOLLOWER + "domain = 3\n",
        sender_clock=GRANDMASTER,
        doctor=r"no Announce in domain 3 on eth0.*grandmaster .* is in domain 0",
        verify="domain 0",
    ),
    "another grandmaster than described": Cause(
        clock=FOLLOWER,
        sender_clock=GRANDMASTER,
        described="IEEE1588-2008:[0-9A-F-]+|IEEE1588-2008:00-11-22-FF-FE-33-44-55",
        doctor="the description names grandmaster 00-11-22-FF-FE-33-44-55, and [0-9A-F-]+ is in domain 0 on eth0",
        verify="the description names grandmaster 00-11-22-FF-FE-33-44-55, and this graph's clock follows .*: share",
    ),
    "link offset too short": Cause(
        source='link-offset = "500us"',
        announced=True,
        doctor="has packets of 1 ms, and the link offset is 500 µs",
        verify="set link-offset to more than that|the link offset of 500 µs is too short",
    ),
    "second sender": Cause(
        rival=True,
        announced=True,
        doctor=r"10\.77\.0\.1 and 10\.77\.0\.3 both announce a stream to 239\.1\.9\.9:5004",
        verify=r"two senders on one address: 10\.77\.0\.[13]",
    ),
    "switch forgets the group": Cause(verify=r"does the switch forward the group to here \(IGMP\)"),
}


@pytest.fixture
def hosts() -> Iterator[tuple[Host, dict[str, Host]]]:
    if reason := netns.unavailable():
        pytest.skip(reason)
    with netns.star({"sender": SENDER, "receiver": RECEIVER, "rival": RIVAL}) as (bridge, hosts):
        hosts["receiver"].ip(
            "link add spare type veth peer name spare2",
            "link set spare up",
            "link set spare2 up",
            "addr add 10.78.0.2/24 dev spare",
        )
        yield bridge, hosts


def sending(clock: str) -> str:
    tone = '[sources.tone]\nkind = "tone"\nchannels = 2\n'
    sink = f'[sinks.out]\nkind = "aes67"\nclock = "house"\ninterface = "eth0"\ngroup = "{GROUP}"\ninput = "tone"\n'
    return f'schema = 1\n{clock}{tone}{sink}encoding = "L24"\nannounce = true\nsdp-out = "out.sdp"\n'


def receiving(cause: Cause) -> str:
    options = {"interface": '"eth0"', "link-offset": '"20ms"'}
    if cause.described:
        options["sdp"] = '"described.sdp"'
    else:
        options |= {"group": f'"{GROUP}"', "port": "5004", "encoding": '"L24"', "channels": "2"}
    for line in cause.source.splitlines():
        name, _, value = line.partition(" = ")
        options[name] = value
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    source = f'[sources.it]\nkind = "aes67"\nclock = "house"\n{lines}'
    return f'schema = 1\n{cause.clock}{source}[sinks.nowhere]\nkind = "null"\ninput = "it"\n'


DOCTOR_S = 12
"""How long the doctor listens to announcements: its start, and that of the senders, is within it."""


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def asked(host: Host, folder: Path, *words: str) -> subprocess.Popen[str]:
    command = host.command(*KERNEL, *words, "--format", "json")
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> str:
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode in (0, 1), stderr
    found = json.dumps(json.loads(stdout), ensure_ascii=False) if stdout else stderr
    return " ".join(found.split())


def test_the_table_has_every_cause() -> None:
    table = (ROOT / "docs" / "causes.md").read_text("utf-8")
    assert [name for name in CAUSES if f"| {name} |" not in table] == []


@pytest.mark.parametrize("name", CAUSES)
def test_it_is_named(name: str, hosts: tuple[Host, dict[str, Host]], tmp_path: Path) -> None:
    cause, (bridge, machines) = CAUSES[name], hosts
    (tmp_path / "send.toml").write_text(sending(cause.sender_clock))
    (tmp_path / "receive.toml").write_text(receiving(cause))
    if name == "switch forgets the group":
        bridge.run("bridge", "link", "set", "dev", "receiver", "mcast_flood", "off")
    receiver = machines["receiver"]
    with ExitStack() as stack:
        if cause.announced:
            doctor = stack.enter_context(asked(receiver, tmp_path, "doctor", "receive.toml", "--for", str(DOCTOR_S)))
            listening = receiver.command("ss", "-lunH", "sport = :9875")
            wait_until(lambda: bool(subprocess.run(listening, capture_output=True, check=True).stdout))
        for machine in ("sender", "rival") if cause.rival else ("sender",):
            (tmp_path / machine).mkdir()
            (tmp_path / machine / "send.toml").write_text(sending(cause.sender_clock))
            words = machines[machine].command(*KERNEL, "run", "send.toml", "--no-control", "--for", "60s")
            sender = stack.enter_context(running(words, tmp_path / machine, name=machine))
            sender.wait_until((tmp_path / machine / "out.sdp").exists, "its description")
        if cause.described:
            old, new = cause.described.split("|")
            text = (tmp_path / "sender" / "out.sdp").read_text()
            (tmp_path / "described.sdp").write_text(re.sub(old, new, text))
        if not cause.announced:
            seconds = "8" if re.search("Announce|grandmaster", cause.doctor) else "0"
            doctor = stack.enter_context(asked(receiver, tmp_path, "doctor", "receive.toml", "--for", seconds))
        verify = stack.enter_context(asked(receiver, tmp_path, "verify", "receive.toml", "--for", "5s"))
        heard = {"doctor": answer(doctor), "verify": answer(verify)}
    for command, sentence in (("doctor", cause.doctor), ("verify", cause.verify)):
        assert re.search(sentence, heard[command]), f"{command} does not say {sentence!r}:\n{heard[command]}"
