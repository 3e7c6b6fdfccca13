"""What pmc of linuxptp makes of our answers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import trio

from phasegraph.ieee1588 import Management, ManagementId
from phasegraph_ptp.protocol.management_data import CLOCK_DATA, PORT_DATA, ManagementView
from phasegraph_ptp.protocol.management_responder import answer
from phasegraph_ptp.unix_management import serve_management

pytestmark = [pytest.mark.realtime, pytest.mark.peers]
US = "001dc1.fffe.123456"
NOT_ASKED = {ManagementId.UTC_PROPERTIES: "linuxptp 3 cannot ask for it"}
EXPECTED = {
    "CLOCK_DESCRIPTION": {
        "clockType": "0x8000",
        "physicalAddress": "00:1d:c1:12:34:56",
        "protocolAddress": "1 10.0.0.2",
        "productDescription": "Phasegraph;phasegraph-ptp;",
        "revisionData": "a;b;c",
        "userDescription": "stage left",
        "profileId": "00:1b:19:00:01:00",
    },
    "USER_DESCRIPTION": {"userDescription": "stage left"},
    "DEFAULT_DATA_SET": {
        "twoStepFlag": "1",
        "slaveOnly": "1",
        "numberPorts": "1",
        "priority1": "101",
        "clockClass": "248",
        "clockAccuracy": "0xfe",
        "offsetScaledLogVariance": "0x4e5d",
        "priority2": "102",
        "clockIdentity": US,
        "domainNumber": "3",
    },
    "CURRENT_DATA_SET": {"stepsRemoved": "2", "offsetFromMaster": "-1234.5", "meanPathDelay": "15000.2"},
    "PARENT_DATA_SET": {
        "parentPortIdentity": "acde48.fffe.234567-5",
        "grandmasterPriority1": "103",
        "gm.ClockClass": "6",
        "gm.ClockAccuracy": "0x21",
        "gm.OffsetScaledLogVariance": "0x1234",
        "grandmasterPriority2": "104",
        "grandmasterIdentity": "001122.3344.556677",
    },
    "TIME_PROPERTIES_DATA_SET": {
        "currentUtcOffset": "37",
        "leap61": "1",
        "leap59": "0",
        "currentUtcOffsetValid": "1",
        "ptpTimescale": "1",
        "timeTraceable": "0",
        "frequencyTraceable": "1",
        "timeSource": "0x20",
    },
    "PORT_DATA_SET": {
        "portIdentity": f"{US}-1",
        "portState": "SLAVE",
        "logMinDelayReqInterval": "-2",
        "peerMeanPathDelay": "2",
        "logAnnounceInterval": "1",
        "announceReceiptTimeout": "4",
        "logSyncInterval": "-3",
        "delayMechanism": "2",
        "logMinPdelayReqInterval": "-1",
    },
    "TIME_STATUS_NP": {
        "master_offset": "-1234",
        "ingress_time": "1000000000001",
        "gmPresent": "true",
        "gmIdentity": "001122.3344.556677",
    },
    "PORT_PROPERTIES_NP": {"portState": "SLAVE", "timestamping": "HARDWARE", "interface": "eth0"},
    "GRANDMASTER_SETTINGS_NP": {"currentUtcOffset": "37", "ptpTimescale": "1", "timeSource": "0x20"},
    "PORT_STATS_NP": {"rx_Sync": "8", "rx_Announce": "4294967297", "tx_Delay_Req": "7", "tx_Sync": "0"},
    "LOG_SYNC_INTERVAL": {"logSyncInterval": "-3"},
    "TRACEABILITY_PROPERTIES": {"timeTraceable": "0", "frequencyTraceable": "1"},
    "TIMESCALE_PROPERTIES": {"ptpTimescale": "1"},
    "DELAY_MECHANISM": {"delayMechanism": "2"},
}


ATTEMPTS = 5
"""pmc waits a tenth of a second for each answer: on a busy machine it misses some."""


async def pmc(folder: Path, view: ManagementView, *commands: str) -> str:
    """What pmc prints."""
    program = shutil.which("pmc") or shutil.which("pmc", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("pmc is not installed (Debian package linuxptp)")

    def answers(request: Management) -> list[Management]:
        reply = answer(request, view)
        return [] if reply is None else [reply]

    command = [program, "-u", "-b", "0", "-d", "3", "-i", str(folder / "pmc"), "-s", str(folder / "ptp"), *commands]
    dropped: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_management, folder / "ptp", answers, dropped))
        with trio.fail_after(60):
            done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT)
        nursery.cancel_scope.cancel()
    assert set(dropped) <= {"not_delivered"}, dropped  # it has gone before it was answered
    return done.stdout.decode()


@pytest.mark.trio
async def test_pmc_reads_everything(tmp_path: Path, view: ManagementView) -> None:
    asked = [id.name for id in ManagementId if id in {*CLOCK_DATA, *PORT_DATA} and id not in NOT_ASKED]
    answers: dict[str, dict[str, str]] = {}
    for _ in range(ATTEMPTS):
        printed = await pmc(tmp_path, view, *(f"GET {name}" for name in asked if name not in answers))
        answers |= {
            name or "NULL_MANAGEMENT": dict(re.findall(r"^\t\t(\S+) +(.*?) *$", body, re.MULTILINE))
            for name, body in re.findall(
                rf"^\t{US}-1 seq \d+ RESPONSE MANAGEMENT (\S*) *\n((?:\t\t.*\n)*)", printed, re.MULTILINE
            )
        }
        if set(answers) == set(asked):
            break
    assert set(answers) == set(asked), printed
    for name, fields in EXPECTED.items():
        assert fields.items() <= answers[name].items(), name


@pytest.mark.trio
async def test_pmc_gets_an_error_for_a_set(tmp_path: Path, view: ManagementView) -> None:
    printed = ""
    for _ in range(ATTEMPTS):
        if "ERROR_STATUS" not in printed or "priority1" not in printed:
            printed += await pmc(tmp_path, view, "SET PRIORITY1 1", "GET PRIORITY1")
    assert "RESPONSE MANAGEMENT_ERROR_STATUS" in printed
    assert "priority1 101" in printed
