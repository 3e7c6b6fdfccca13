"""The file with the tokens of a console: made at its first start, for its user alone."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path

import platformdirs

from .access_rules import AccessRole

_LEAST_TOKEN = 16
_MOST_FILE_BYTES = 65_536


class TokenFileError(Exception):
    """The token file cannot be used. The message names the remedy."""


def default_token_file() -> Path:
    """``console-tokens.json`` in the state folder of the platform."""
    return platformdirs.user_state_path("phasegraph", appauthor=False) / "console-tokens.json"


def read_or_make_tokens(path: Path) -> dict[AccessRole, str]:
    """The token of each role. Raises TokenFileError."""
    try:
        _make_tokens(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise TokenFileError(
            f"cannot make the token file {path}: {error.strerror}; choose another: --token-file"
        ) from None
    return _read_tokens(path)


def _make_tokens(path: Path) -> None:
    # Written beside its place and linked into it, so that a second console that starts finds all of it or nothing.
    if path.exists():
        raise FileExistsError
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({role.value: secrets.token_urlsafe(32) for role in AccessRole}, file, indent=2)
            file.write("\n")
        os.link(beside, path)
    finally:
        beside.unlink()


def _read_tokens(path: Path) -> dict[AccessRole, str]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(_MOST_FILE_BYTES)
    except OSError as error:
        raise TokenFileError(f"cannot read the token file {path}: {error.strerror}") from None
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        raise TokenFileError(f"others may read the token file {path}: chmod 600 {path}")
    try:
        found = json.loads(text)
        tokens = {role: found[role.value] for role in AccessRole}
    except (ValueError, KeyError, TypeError):
        words = " and ".join(role.value for role in AccessRole)
        raise TokenFileError(f"{path} is no JSON object with {words}: delete it, and a new one is made") from None
    if not all(isinstance(token, str) and len(token) >= _LEAST_TOKEN for token in tokens.values()):
        raise TokenFileError(f"a token in {path} has less than {_LEAST_TOKEN} characters: delete the file")
    if len(set(tokens.values())) < len(tokens):
        raise TokenFileError(f"the tokens in {path} are alike: delete the file, and a new one is made")
    return tokens
