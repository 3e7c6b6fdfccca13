"""What docs/console.md asks the console for is what its API offers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from phasegraph_console.web.api_document import openapi_document

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "console.md").read_text("utf-8")
CALLS = [shlex.split(call) for call in re.findall(r"^curl .*$", PAGE.replace("\\\n", ""), re.MULTILINE)]


def test_the_calls_of_the_page_are_there() -> None:
    paths = {re.sub(r"\{\w+\}", "hall", path): set(methods) for path, methods in openapi_document()["paths"].items()}
    assert len(CALLS) >= 2
    for call in CALLS:
        body = call[call.index("-d") + 1] if "-d" in call else None
        assert body is None or isinstance(json.loads(body), dict)
        assert ("get" if body is None else "post") in paths[urlsplit(call[-1]).path]
