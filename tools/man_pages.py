"""Manual pages of all commands, made from what `kernel COMMAND --help` says.

    python tools/man_pages.py FOLDER     writes kernel.1, kernel-run.1 ... in roff

It needs an environment in which Phasegraph and its plugins are installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from phasegraph import __version__
from phasegraph._cli.app import cli
from phasegraph._cli.plugin_commands import plugin_commands

ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-"})


def all_commands() -> dict[str, click.Command]:
    """Every command by its words: the group itself, its commands, those of plugins, and what these have below them."""
    top = {**cli.commands, **plugin_commands(builtin=cli.commands).commands}
    return {"kernel": cli, **dict(_below("kernel", top))}


def _below(words: str, commands: Mapping[str, click.Command]) -> Iterator[tuple[str, click.Command]]:
    for name, command in commands.items():
        yield f"{words} {name}", command
        if isinstance(command, click.Group):
            yield from _below(f"{words} {name}", command.commands)


def page_name(words: str) -> str:
    """The name of a command's page."""
    return words.replace(" ", "-")


def man_page(words: str, command: click.Command, others: Mapping[str, click.Command]) -> str:
    """The page of a command, in roff with the macros of man(7)."""
    context = click.Context(command, info_name=words)
    usage = " ".join(command.collect_usage_pieces(context))
    title, short = page_name(words).upper(), command.get_short_help_str(200).rstrip(".")
    lines = [
        f'.TH {_text(title)} 1 "" "Phasegraph {__version__}" "Phasegraph"',
        ".SH NAME",
        f"{_text(page_name(words))} \\- {_text(short)}",
        ".SH SYNOPSIS",
        f".B {_text(words)}",
        _text(usage),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or short),
    ]
    below = {name: other for name, other in others.items() if _is_below(words, name)}
    if below:
        lines.append(".SH COMMANDS")
        for name, other in below.items():
            lines += [".TP", f"\\fB{_text(page_name(name))}\\fR(1)", _text(other.get_short_help_str(200))]
    shown = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    records = [option.get_help_record(context) for option in shown]
    if options := [record for record in records if record is not None]:
        lines.append(".SH OPTIONS")
        for names, help in options:
            lines += [".TP", f"\\fB{_text(names)}\\fR", _text(help) or "\\&"]
    if command.epilog:
        epilog = command.epilog.replace("\b\nExamples:\n", "")
        lines += [".SH EXAMPLES", *_paragraphs(f"\b\n{epilog}")] if epilog != command.epilog else _paragraphs(epilog)
    above = words.rpartition(" ")[0]
    if above:
        lines += [".SH SEE ALSO", f"\\fB{_text(page_name(above))}\\fR(1)"]
    return "\n".join(lines) + "\n"


def _is_below(words: str, name: str) -> bool:
    return name.startswith(f"{words} ") and " " not in name[len(words) + 1 :]


def _paragraphs(help: str) -> Iterator[str]:
    # click: paragraphs are apart by empty lines; one that begins with \b is left as it is.
    for number, paragraph in enumerate(re.split(r"\n\s*\n", help.strip("\n"))):
        verbatim, lines = "\b" in paragraph, [line for line in paragraph.split("\n") if line.strip() != "\b"]
        if number:
            yield ".PP"
        if verbatim:
            yield from (".nf", *(_text(line.rstrip()) for line in lines), ".fi")
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _text(text: str) -> str:
    escaped = " ".join(text.splitlines()).translate(ESCAPES).replace("`", "")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def write_pages(folder: Path) -> list[Path]:
    """Write all pages; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    commands, paths = all_commands(), []
    for words, command in commands.items():
        path = folder / f"{page_name(words)}.1"
        path.write_text(man_page(words, command, commands), "utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{len(write_pages(Path(sys.argv[1])))} pages")
