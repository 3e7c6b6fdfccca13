"""``kernel verify``: PASS or FAIL of what a network carries, by published limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .verify_report import Verification

MOST_BYTES = 4 << 30
_MAGICS = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
EXAMPLES = """\
\b
Examples:
  kernel verify capture.pcapng
  kernel verify graph.toml --for 60s
  kernel verify graph.toml --simulate studio --for 10s
  kernel verify capture.pcap --format html > verify.html
  kernel verify trace.jsonl --format csv > house.csv
"""


@click.command("verify", short_help="Judge streams and PTP by published limits.", epilog=EXAMPLES)
@click.argument("source", metavar="GRAPH|CAPTURE", type=click.Path(path_type=Path))
@click.option("--for", "duration", default="60s", show_default=True, help="How long a graph receives, up to 1h.")
@click.option("--profile", help="Profile of the graph.")
@click.option("--set", "overrides", multiple=True, metavar="ROLE.ID.OPTION=VALUE", help="Change an option.")
@click.option("--send", is_flag=True, help="Have the senders of the graph run too.")
@click.option("--simulate", metavar="SCENARIO", help="Judge the graph's streams on a simulated network.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the simulation.")
@click.option("--a2a", is_flag=True, help="Compare the sound of streams: the delay between them, to the sample.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the capture of a graph here.")
@click.option("--clock", metavar="ID", help="The clock of a trace; needed where it has several.")
@click.option("--format", type=click.Choice(["text", "json", "html", "csv"]), default="text", show_default=True)
@click.pass_context
def verify_command(
    ctx: click.Context,
    source: Path,
    duration: str,
    profile: str | None,
    overrides: Sequence[str],
    send: bool,
    simulate: str | None,
    seed: int,
    a2a: bool,
    keep: Path | None,
    clock: str | None,
    format: str,
) -> None:
    """Judge every stream and PTP domain of a capture (pcap, pcapng), or of what a graph receives.

    The measured figure stands beside each limit of AES67, ST 2110, EBU LIST, JT-NM Tested and EBU Tech 3337. A GRAPH is
    received for a time; nothing of it is played, recorded or, without --send, sent. With --format csv, GRAPH is the
    trace of a run, and the time error of its clock is written for ntpstats, which has MTIE and TDEV.
    Exits with 0 if everything passed, 1 if anything failed or nothing was found, 2 if the call is wrong.
    """
    from phasegraph import parse_duration

    from .verdicts import CheckVerdict
    from .verify_report import as_html, as_json, as_text

    try:
        with source.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise click.UsageError(f"cannot read {source}: {error.strerror}") from None
    if format == "csv":
        click.echo(_clock_csv(source, clock), nl=False)
        return
    if magic in _MAGICS:
        verification = _verify_file(source, a2a)
    else:
        try:
            for_ns = parse_duration(duration)
        except ValueError as error:
            raise click.UsageError(f"--for: {error}") from None
        verification = _verify_graph(source, for_ns, profile, overrides, send, simulate, seed, a2a, keep)
    if format == "json":
        click.echo(as_json(verification))
    elif format == "html":
        click.echo(as_html(verification), nl=False)
    else:
        for line, verdict in as_text(verification):
            colour = {CheckVerdict.PASS: "green", CheckVerdict.FAIL: "red"}.get(verdict) if verdict else None
            head = line.index(verdict) + len(verdict) if verdict else 0
            click.echo(click.style(line[:head], fg=colour) + line[head:])
    ctx.exit(0 if verification.verdict is CheckVerdict.PASS else 1)


def _clock_csv(path: Path, clock: str | None) -> str:
    from .clock_trace import TraceUnreadable, time_error_csv

    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return time_error_csv(lines, clock)
    except (TraceUnreadable, OSError) as error:
        raise click.UsageError(f"{path}: {error}") from None


def _verify_file(path: Path, a2a: bool) -> Verification:
    from .capture_reader import CaptureUnreadable, read_capture
    from .verify_capture import verify_capture

    if path.stat().st_size > MOST_BYTES:
        raise click.UsageError(f"{path} has more than {MOST_BYTES >> 30} GiB: cut it with editcap")
    try:
        return verify_capture(str(path), read_capture(path.read_bytes()), compare_audio=a2a)
    except (CaptureUnreadable, OSError) as error:
        raise click.UsageError(f"{path}: {error}") from None


def _verify_graph(
    graph: Path,
    for_ns: int,
    profile: str | None,
    overrides: Sequence[str],
    send: bool,
    scenario: str | None,
    seed: int,
    a2a: bool,
    keep: Path | None,
) -> Verification:
    import shutil
    import tempfile

    from phasegraph.graph_capture import CaptureFailed, capture_graph

    from .capture_reader import read_capture
    from .verify_capture import verify_capture, with_run

    with tempfile.TemporaryDirectory(prefix="phasegraph-verify-") as folder:
        try:
            captured = capture_graph(
                graph,
                Path(folder),
                for_ns=for_ns,
                profile=profile,
                overrides=overrides,
                send=send,
                scenario=scenario,
                seed=seed,
            )
        except CaptureFailed as error:
            raise click.ClickException(str(error)) from None
        except ValueError as error:
            raise click.UsageError(f"--for: {error}") from None
        if keep is not None:
            shutil.copyfile(captured.file, keep)
        capture = read_capture(captured.file.read_bytes())
    return with_run(verify_capture(str(graph), capture, compare_audio=a2a), captured.report)
