"""The results of a verification as text, JSON, and a page that needs nothing else."""

from __future__ import annotations

import html
import json

import msgspec

from .verdicts import CheckVerdict, Plot, Subject

_STYLE = """
:root { color-scheme: light dark; --line: #8888; --curve: #2a78d6 }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top }
.PASS { color: #18864b } .FAIL { color: #d03030; font-weight: 700 }
h2 { margin: 2.5rem 0 .2rem } figure { margin: 1rem 0 } svg { width: 100%; height: auto }
text { fill: currentColor; font-size: 12px }
@media (prefers-color-scheme: dark) { .PASS { color: #4cc38a } .FAIL { color: #ff7b72 } }
"""


class Verification(msgspec.Struct, frozen=True):
    """What was verified, and every subject."""

    source: str
    """The file or graph."""
    subjects: list[Subject]
    notes: list[str] = []

    @property
    def verdict(self) -> CheckVerdict:
        """FAIL if anything failed, or nothing was found."""
        if not self.subjects or any(one.verdict is CheckVerdict.FAIL for one in self.subjects):
            return CheckVerdict.FAIL
        return CheckVerdict.PASS


def as_text(verification: Verification) -> list[tuple[str, CheckVerdict | None]]:
    """Lines, and the verdict that begins each, which may be coloured."""
    lines: list[tuple[str, CheckVerdict | None]] = []
    for subject in verification.subjects:
        lines += [
            ("", None),
            (f"{subject.verdict:<5}{subject.name}", subject.verdict),
            (f"     {subject.description}", None),
        ]
        standard = max(len(check.standard) for check in subject.checks)
        name = max(len(check.name) for check in subject.checks)
        for check in subject.checks:
            limit = f"   ({check.limit})" if check.limit else ""
            lines.append(
                (
                    f"  {check.verdict:<5}{check.standard:<{standard}}  {check.name:<{name}}  {check.measured}{limit}",
                    check.verdict,
                )
            )
    lines += [("", None), *((f"note: {note}", None) for note in verification.notes)]
    failed = sum(subject.verdict is CheckVerdict.FAIL for subject in verification.subjects)
    if not verification.subjects:
        lines.append(("FAIL No stream and no PTP was found.", CheckVerdict.FAIL))
    else:
        count = len(verification.subjects)
        lines.append((f"{verification.verdict:<5}{count - failed} of {count} passed.", verification.verdict))
    return lines


def as_json(verification: Verification) -> str:
    """One object."""
    built = msgspec.to_builtins(verification)
    built["verdict"] = str(verification.verdict)
    for subject, struct in zip(built["subjects"], verification.subjects, strict=True):
        subject["verdict"] = str(struct.verdict)
    return json.dumps(built, indent=2)


def as_html(verification: Verification) -> str:
    """A page with plots, without anything from elsewhere."""
    title = html.escape(f"{verification.verdict}: {verification.source}")
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
    ]
    parts += [f"<p>{html.escape(note)}</p>" for note in verification.notes]
    for subject in verification.subjects:
        parts.append(f'<h2><span class="{subject.verdict}">{subject.verdict}</span> {html.escape(subject.name)}</h2>')
        parts.append(
            f"<p>{html.escape(subject.description)}</p><table><tr><th><th>standard<th>check<th>measured<th>limit"
        )
        for check in subject.checks:
            cells = (check.standard, check.name, check.measured, check.limit)
            row = "".join(f"<td>{html.escape(cell)}" for cell in cells)
            parts.append(f'<tr><td class="{check.verdict}">{check.verdict}{row}')
        parts.append("</table>")
        parts += [_svg(plot) for plot in subject.plots if len(plot.x_s) > 1]
    return "\n".join([*parts, "</html>\n"])


def _svg(plot: Plot) -> str:
    width, height, left, below = 960, 220, 70, 24
    shown = [(name, value) for name, value in plot.limits if value <= 4 * max(max(plot.y), 1e-9)]
    top = max([*plot.y, *(value for _, value in shown)])
    low = min(0.0, *plot.y)
    span, end = (top - low) or 1.0, plot.x_s[-1] or 1.0

    def place(x: float, y: float) -> str:
        return f"{left + (width - left) * x / end:.1f},{(height - below) * (1 - (y - low) / span) + 4:.1f}"

    points = " ".join(place(x, y) for x, y in zip(plot.x_s, plot.y, strict=True))
    lines = ""
    for name, value in shown:
        begin, stop = place(0, value), place(end, value)
        y = float(begin.split(",")[1]) - 4
        lines += f'<polyline points="{begin} {stop}" fill="none" stroke="#d03030" stroke-dasharray="6 4"/>'
        lines += f'<text x="{left + 6}" y="{y:.1f}">{html.escape(name)}</text>'
    label = html.escape(f"{plot.title}, {plot.unit}")
    return (
        f"<figure><figcaption>{label}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f'<text x="0" y="14">{top:.4g}</text><text x="0" y="{height - below}">{low:.4g}</text>'
        f'<text x="{width - 60}" y="{height - 4}">{end:.4g} s</text>{lines}'
        f'<polyline points="{points}" fill="none" stroke="var(--curve)" stroke-width="1.5"/></svg></figure>'
    )
