"""Bearer tokens (IS-10 v1.0): who may read and write which part of an API.

The public keys of the authorization server come from a file: nothing is fetched because a request says so.
"""

from __future__ import annotations

import fnmatch
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from .http.api_answers import NmosApiError

ALGORITHMS = ["RS512", "RS256", "ES256", "ES512"]
"""IS-10 v1.0, "Behaviour: Access Tokens", demands RS512; the others are what authorization servers use beside it."""
MOST_TOKEN_CHARACTERS = 16 << 10
_READING = ("GET", "HEAD", "OPTIONS")
_BEARER = re.compile(r"Bearer +([\w.~+/=-]+)\s*\Z", re.IGNORECASE | re.ASCII)


class TokenKeysUnusable(Exception):
    """The file of keys cannot be used. The message is a sentence."""


class AccessTokens:
    """Checks tokens."""

    def __init__(self, keys: KeySet, audience: str, now_s: Callable[[], float] = time.time) -> None:
        """``audience`` is this node's name in tokens' ``aud``; ``now_s`` is Unix time."""
        self._keys = keys
        self._audience = audience.lower().rstrip(".")
        self._now_s = now_s

    def check_token(self, api: str, method: str, path: tuple[str, ...], header: str) -> None:
        """Check the Authorization header of a request to ``/x-nmos/API/VERSION/PATH``. Raises NmosApiError 401, 403."""
        match = _BEARER.match(header) if len(header) <= MOST_TOKEN_CHARACTERS else None
        if match is None:
            raise _unauthorized("this API needs a bearer token", "")
        claims = self._claims(match[1])
        rights = claims.get(f"x-nmos-{api}")
        wanted = "read" if method in _READING else "write"
        patterns = rights.get(wanted, []) if isinstance(rights, Mapping) else []
        target = "/".join(path)
        if isinstance(patterns, Sequence) and any(
            isinstance(pattern, str) and fnmatch.fnmatchcase(target, pattern) for pattern in patterns
        ):
            return
        # IS-10: a token that names the API may read the paths above its resources.
        if wanted == "read" and not path and isinstance(rights, Mapping):
            return
        raise NmosApiError(403, f"the token does not allow to {wanted} {api}/{target}")

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = dict(jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _unauthorized("the token is not one of the authorization server's", f"{error}") from None
        now_s = self._now_s()
        expiry, begin = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expiry, int | float) or now_s >= expiry:
            raise _unauthorized("the token has expired", "")
        if not isinstance(begin, int | float) or now_s < begin:
            raise _unauthorized("the token is not valid yet", "")
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
        if not any(isinstance(each, str) and self._is_meant(each) for each in named):
            raise _unauthorized(f"the token is for another audience than {self._audience}", "")
        return claims

    def _is_meant(self, audience: str) -> bool:
        # IS-10: a name, a name with a wildcard, or a URL of it.
        name = audience.lower().partition("://")[2] or audience.lower()
        return fnmatch.fnmatchcase(self._audience, name.partition("/")[0].partition(":")[0].rstrip("."))


def read_token_keys(path: Path) -> KeySet:
    """The keys of a JWKS file, or of a file with one JWK. Raises TokenKeysUnusable."""
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        keys: Any = document if "keys" in document else {"keys": [document]}
        return KeySet.import_key_set(keys)
    except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
        raise TokenKeysUnusable(f"cannot use the keys in {path}: {error}") from None


def _unauthorized(error: str, debug: str) -> NmosApiError:
    headers = (("WWW-Authenticate", 'Bearer realm="NMOS", error="invalid_token"'),)
    return NmosApiError(401, error, debug or None, headers=headers)
