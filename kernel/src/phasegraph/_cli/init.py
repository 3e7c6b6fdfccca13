"""``kernel init``: writes a first graph for a common task, after looking at this machine; or a plugin's package."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .parameters import GraphArgument, examples
from .plugin_package import ROLES, write_package
from .starter_graphs import TASKS, Choices, graph_text

_LISTEN = "5s"
"""How long to listen for announcements. Devices repeat them after up to 30 s; most after less."""
_LISTEN_TO_PTP_S = "3"
_GRANDMASTER = re.compile(r"domain (\d+): (grandmaster .*)")
"""How `kernel doctor` names a grandmaster that it received."""
_PTP_REFERENCE = re.compile(r"^a=ts-refclk:ptp=IEEE1588-\d+:[^:\s]+(?::(\d+))?", re.MULTILINE)


@click.command(
    short_help="Write a first graph.",
    epilog=examples(
        "kernel init",
        "kernel init record --interface eth0 --session 'Stage box 1' --file take.wav",
        "kernel init send --interface eth0 --file programme.flac --clock ptp",
        "kernel init play --interface eth0 --group 239.69.1.10 --output speakers.toml",
        "kernel init --plugin level-meter --role sink",
    ),
)
@click.argument("task", type=click.Choice(list(TASKS)), required=False)
@click.option("--interface", metavar="NAME", help="Network interface.")
@click.option("--clock", type=click.Choice(["system", "ptp"]), help="This machine's time, or a PTP grandmaster's.")
@click.option("--session", metavar="NAME", help="record, play: name of an announced session.")
@click.option("--group", metavar="ADDRESS", help="Multicast group of the stream; for send and capture at random.")
@click.option("--file", metavar="PATH", help="record: the file to write; send: the file to read.")
@click.option("--card", metavar="NAME", help="play, capture: the sound card, or a part of its name.")
@click.option("--name", metavar="NAME", help="send, capture: name of the session.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("graph.toml"), show_default=True, help="The graph file."
)
@click.option(
    "--plugin", metavar="NAME", help="Write the package of a plugin instead, into the folder phasegraph-NAME."
)
@click.option("--role", type=click.Choice(list(ROLES)), help="--plugin: what it provides.")
@click.option("--ask/--no-ask", default=None, help="Ask for what is not given. Default: on a terminal.")
@click.pass_context
def init(
    ctx: click.Context,
    task: str | None,
    interface: str | None,
    clock: str | None,
    session: str | None,
    group: str | None,
    file: str | None,
    card: str | None,
    name: str | None,
    output: Path,
    plugin: str | None,
    role: str | None,
    ask: bool | None,
) -> None:
    """Write a commented graph for TASK: record, send, play or capture. Or, with --plugin, the package of a plugin.

    Looks at the network interfaces, the sound cards, the PTP domains and the announced sessions, and asks where there
    is a choice. An existing file is never replaced. Exits with 0, or with 2 if something is missing or wrong.
    """
    from .console import print_problems

    question = _Questions(sys.stdin.isatty() if ask is None else ask)
    if plugin is not None:
        _write_plugin(plugin, role or question.choose("What shall it provide?", dict.fromkeys(ROLES, ""), "sink"))
        return
    if output.exists():
        raise click.UsageError(f"{output} exists: give another name with --output")
    task = task or question.choose("What shall the graph do?", TASKS, "")
    if not task:
        raise click.UsageError(f"no task given: one of {', '.join(TASKS)}")
    receives = task in ("record", "play")
    if interface is None:
        there = _interfaces()
        interface = question.choose("Network interface?", there, next(iter(there), "lo"))
    found: dict[str, str] = {}
    if receives and not (session or group):
        found = question.listen(interface)
        asked = "" if found else " None is announced: give a group. `kernel discover` listens for longer."
        answer = question.choose(f"Which stream: a session's name, or a multicast group?{asked}", found, "", free=True)
        session, group = ("", answer) if re.fullmatch(r"[0-9.]+", answer) else (answer, "")
        if not answer:
            raise click.UsageError(
                "no stream given: --session NAME or --group ADDRESS (`kernel discover` lists sessions)"
            )
    reference = _PTP_REFERENCE.search(found.get(session or "", ""))
    domains = question.grandmasters(interface) if clock != "system" and not reference else {}
    clocks = {"system": "the time of this machine", "ptp": "a PTP grandmaster"}
    clock = clock or question.choose("Clock?", clocks, "ptp" if reference or domains else "system")
    domain = int(reference[1] or 0) if reference else 0
    if clock == "ptp" and domains:
        domain = int(question.choose("PTP domain?", domains, next(iter(domains))))
    if task in ("play", "capture") and card is None:
        card = question.choose("Sound card?", question.cards(), "", free=True)
    if file is None:
        file = question.text("File?", "take.wav" if task == "record" else "") if task in ("record", "send") else ""
    if task == "send" and not file:
        raise click.UsageError("no file given: --file PATH")
    choices = Choices(
        task=task,
        interface=interface,
        clock=clock,
        ptp_domain=domain,
        session=session or "",
        group=group or ("" if receives else _random_group()),
        file=file,
        card=card or "",
        name=name or "",
    )
    text = graph_text(choices)
    problems = _problems(text, output)
    if problems:
        print_problems(problems)
        ctx.exit(2)
    output.write_text(text)
    graph = GraphArgument(output, None, ())
    click.echo(f"{output} is written: it will {TASKS[task]}.")
    click.echo(f"Next: {graph.command('check')}")
    click.echo(f"then: {graph.command('run')}")


def _write_plugin(name: str, role: str) -> None:
    try:
        folder = write_package(Path.cwd(), name, role)
    except FileExistsError as error:
        raise click.UsageError(f"phasegraph-{name} exists: give another name with --plugin") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{folder.name} is written: the {role} '{name}', which works, with its tests.")
    click.echo(f"Next: pip install -e './{folder.name}[test]'")
    click.echo(f"then: (cd {folder.name} && pytest); kernel explain {name}")


class _Questions:
    """Asks for what is not given, if there is a person to ask; otherwise the defaults count."""

    def __init__(self, ask: bool) -> None:
        self._ask = ask

    def choose(self, question: str, options: dict[str, str], default: str, *, free: bool = False) -> str:
        """One of some options (name -> description), by number or by name; with ``free`` any other text."""
        if not self._ask:
            return default
        click.echo(question)
        names = list(options)
        for number, name in enumerate(names, 1):
            click.echo(f"  {number}  {name}  {options[name].splitlines()[0] if options[name] else ''}".rstrip())
        shown = default or (names[0] if names and not free else "")
        while True:
            answer = str(click.prompt("  number or name", default=shown, show_default=bool(shown))).strip()
            if answer.isdecimal() and 0 < int(answer) <= len(names):
                return names[int(answer) - 1]
            if free or answer in names:
                return answer
            click.echo(f"  one of {', '.join(names)}")

    def text(self, question: str, default: str) -> str:
        """A text."""
        return str(click.prompt(question, default=default, show_default=bool(default))) if self._ask else default

    def listen(self, interface: str) -> dict[str, str]:
        """The announced sessions: name -> description (SDP)."""
        if not self._ask:
            return {}
        click.echo(f"Listening for announced sessions on {interface} ({_LISTEN}) ...")
        sessions = _ask_command("discover", "--interface", interface, "--for", _LISTEN) or []
        return {session["name"]: session["sdp"] for session in sessions if session.get("name") and session.get("sdp")}

    def grandmasters(self, interface: str) -> dict[str, str]:
        """The PTP domains in which a grandmaster announces itself: number -> who it is."""
        if not self._ask:
            return {}
        click.echo(f"Listening for PTP grandmasters on {interface} ({_LISTEN_TO_PTP_S} s) ...")
        findings = _ask_command("doctor", "--for", _LISTEN_TO_PTP_S) or []
        texts = [str(finding.get("text")) for finding in findings if finding.get("check") == f"PTP on {interface}"]
        return {found[1]: found[2] for text in texts if (found := _GRANDMASTER.match(text))}

    def cards(self) -> dict[str, str]:
        """The sound cards: name -> description."""
        answer = (_ask_command("devices") or {}) if self._ask else {}
        return {str(card.get("name", "")): "" for card in answer.get("devices", []) if card.get("name")}


def _ask_command(*words: str) -> Any:
    """What a command of a plugin answers as JSON; None if it is not installed or fails."""
    import json
    import subprocess

    # An exit code says what was found, not that there is no answer.
    command = [sys.executable, "-m", "phasegraph", *words, "--format", "json"]
    try:
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _interfaces() -> dict[str, str]:
    """The interfaces with an IPv4 address, loopback last."""
    from ..net.interfaces import interfaces

    usable = [interface for interface in interfaces() if interface.address]
    usable.sort(key=lambda interface: interface.address.startswith("127."))
    return {interface.name: interface.address for interface in usable}


def _random_group() -> str:
    import random

    number = random.SystemRandom().randrange(1 << 15)
    return f"239.69.{128 + (number >> 8)}.{number & 255}"


def _problems(text: str, output: Path) -> Sequence[Any]:
    from .._graph_file import validate_text
    from .._plugins.loader import load

    return validate_text(text, load(), output.absolute().parent).problems
