"""``kernel sdp``: what a session description means, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from . import sdp
from .parameters import StreamParameters
from .session_offers import offered_stream

EXAMPLES = """\
\b
Examples:
  kernel sdp stage.sdp
  kernel sdp *.sdp --format json
"""


@click.command("sdp", short_help="Explain session descriptions, and what is wrong with them.", epilog=EXAMPLES)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format.")
@click.pass_context
def sdp_command(ctx: click.Context, files: tuple[Path, ...], format: str) -> None:
    """Read session descriptions (SDP), explain what each offers, and list what is wrong with it.

    A FILE of - is standard input. Exits with 0 if every description is usable, with 1 if not.
    """
    examined = [_examine(file) for file in files]
    if format == "json":
        click.echo(json.dumps([result for result, _ in examined], indent=2))
    else:
        for result, session in examined:
            _print(result, session)
    ctx.exit(0 if all(result["ok"] for result, _ in examined) else 1)


def _examine(file: Path) -> tuple[dict[str, Any], sdp.SessionDescription | None]:
    try:
        with click.open_file(str(file), "rb") as stream:
            text = sdp.decode_sdp(stream.read(sdp.MAX_SDP_BYTES + 1))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        return {"file": str(file), "ok": False, "problems": [problem], "streams": []}, None
    result, session = examine_text(text)
    return {"file": str(file), **result}, session


def examine_text(text: str) -> tuple[dict[str, Any], sdp.SessionDescription | None]:
    """A description for scripts, and the description itself if it is usable."""
    try:
        session = sdp.parse(text)
    except sdp.MalformedSdp as error:
        return {"ok": False, "problems": [str(error)], "streams": []}, None
    streams = [_stream(*item) for item in zip(session.streams, session.dup_of, strict=True)]
    return {"ok": True, "problems": list(session.problems), "name": session.name, "streams": streams}, session


def _stream(stream: StreamParameters, dup_of: int | None) -> dict[str, Any]:
    more = {"frames_per_packet": stream.frames_per_packet, "excluded_sources": list(stream.excluded), "ttl": stream.ttl}
    return msgspec.structs.asdict(offered_stream(stream, dup_of)) | more


def _print(result: dict[str, Any], session: sdp.SessionDescription | None) -> None:
    if session is None:
        click.echo(f"{result['file']}: not usable: {result['problems'][0]}")
        return
    click.echo(f"{result['file']}: {session.name or 'without a name'}")
    for line in sdp.explain(session):
        click.echo(f"  {line}")
    for problem in session.problems:
        click.echo(f"  note: {problem}")
