"""What nodes name: other nodes, kinds of resampler, and files."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Mapping, Sequence

from .._core.config import DEFAULT_RESAMPLER, FilePath, Ref
from .._option_types.shape import Reading
from .._option_types.wording import SINGULAR, did_you_mean, show
from .._plugins.loader import Registry
from .unknown_kinds import unknown_kind
from .overlay import GRAPH_ROLES
from .parse_tables import Draft


def check_references(
    drafts: Sequence[Draft], used: Container[str | None], registry: Registry, reading: Reading
) -> None:
    """Note every reference to a node that is not there, or that has another role.

    ``used`` are the compensators of crossings: theirs is the only resampler that must be installed even where it
    is the default.
    """
    ids: dict[str, set[str]] = {role: set() for role in GRAPH_ROLES}
    for draft in drafts:
        ids[draft.role].add(draft.id)
    for draft in drafts:
        for mention in draft.mentions():
            if not isinstance(mention.mark, Ref):
                continue
            role, name = mention.mark.role, mention.value
            if role == "resamplers":
                needed = draft.id in used or name != DEFAULT_RESAMPLER
                if needed and name not in registry.resamplers:
                    reading.wrong(mention.path, *unknown_kind(registry, role, name))
            elif name not in ids[role]:
                reading.wrong(mention.path, *_not_there(role, name, ids))


def _not_there(role: str, id: str, all_ids: Mapping[str, set[str]]) -> tuple[str, str]:
    wanted = SINGULAR[role]
    other = next((other for other in GRAPH_ROLES if id in all_ids[other]), None)
    if other is not None:
        return f"expected the id of a {wanted}, but '{id}' is a {SINGULAR[other]}", ""
    ids = sorted(all_ids[role])
    hint = did_you_mean(id, ids) or ("" if ids else f"the graph has none: add a table [{role}.NAME]")
    return f"there is no {wanted} {show(id)}", hint


def writers_of(drafts: Sequence[Draft], reading: Reading) -> dict[str, Draft]:
    """The node that writes each file, by absolute path; notes files that two nodes would write."""
    writers: dict[str, Draft] = {}
    for draft in drafts:
        for mention in draft.mentions():
            if isinstance(mention.mark, FilePath) and mention.mark.mode == "write":
                first = writers.setdefault(mention.value, draft)
                if first is not draft:
                    reading.wrong(mention.path, f"{first.path} writes the same file, {mention.value}")
    return writers


def check_files(drafts: Sequence[Draft], writers: dict[str, Draft], reading: Reading) -> None:
    """Note every input file that is not there and that no node writes."""
    for draft in drafts:
        for mention in draft.mentions():
            if not isinstance(mention.mark, FilePath) or mention.mark.mode != "read" or mention.value in writers:
                continue
            try:
                status = os.stat(mention.value)
            except OSError as error:
                reading.wrong(mention.path, f"cannot read {mention.value}: {error.strerror or error}")
                continue
            if stat.S_ISDIR(status.st_mode):
                reading.wrong(mention.path, f"expected a file, {mention.value} is a folder")
            elif not os.access(mention.value, os.R_OK):
                reading.wrong(mention.path, f"cannot read {mention.value}: permission denied")
