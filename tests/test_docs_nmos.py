"""The addresses that docs/nmos.md asks a node for are those of its APIs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from phasegraph_nmos.http.api_answers import ApiRequest
from phasegraph_nmos.http.node_api import node_api
from phasegraph_nmos.model.resource_store import ResourceStore

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "nmos.md").read_text("utf-8")
ADDRESSES = re.findall(r"^curl http://[\d.:]+/x-nmos/node/(v[\d.]+)/(\S+)$", PAGE, re.MULTILINE)


@pytest.mark.trio
async def test_what_the_page_asks_a_node_for_is_there() -> None:
    assert len(ADDRESSES) >= 4
    for version, name in ADDRESSES:
        listed = await node_api(ResourceStore(), version)(ApiRequest(method="GET"))
        assert f"{name}/" in json.loads(listed.body)
