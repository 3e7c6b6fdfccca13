"""The Channel Mapping API: answers of their schemas, examples, wrong requests, and changes at their time."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from phasegraph_nmos.http.api_answers import ApiAnswer, ApiRequest, NmosApiError
from phasegraph_nmos.http.channel_mapping_api import ChannelMappingApi
from phasegraph_nmos.mapping.audio_ports import AudioPorts, InputPort, OutputPort
from phasegraph_nmos.mapping.channel_mapping import ChannelMapping

from ..nmos_vectors import VECTORS, check_schema, example, needs_vectors

S = 1_000_000_000
EPOCH = 1_544_448_000 * S
IS08 = "is-08-v1.0"
SOURCE = "00000000-0000-4000-8000-000000000002"


def an_input(id: str, channels: int) -> InputPort:
    return InputPort(id=id, run="r", node=id, label=id, description="An input", channels=channels, receiver_id=None)


def an_output(id: str, channels: int, source_id: str | None = None) -> OutputPort:
    return OutputPort(
        id=id,
        run="r",
        node=id,
        label=id,
        description="An output",
        source_id=source_id,
        routable=("input1", "input2"),
        routes=tuple(("input1", index % 4) for index in range(channels)),
    )


PORTS = AudioPorts(
    inputs={"input1": an_input("input1", 4), "input2": an_input("input2", 2), "elsewhere": an_input("elsewhere", 1)},
    outputs={"OutA": an_output("OutA", 4, SOURCE), "OutB": an_output("OutB", 2)},
)
ROUTE = {"input": "input2", "channel_index": 1}


class Site:
    """An API over a run that does what it is told, at the time it is told."""

    def __init__(self) -> None:
        self.mapping = ChannelMapping()
        self.mapping.set_ports(PORTS)
        self.applied: list[tuple[str, Mapping[str, Any], int | None]] = []
        self.changed: list[str] = []
        self.refusal: str | None = None
        self.api = ChannelMappingApi(self.mapping, self, self.tai_ns, self.on_changed, structlog.get_logger())

    def tai_ns(self) -> int:
        try:
            return EPOCH + round(trio.current_time() * 1e9)
        except RuntimeError:
            return EPOCH

    async def on_changed(self, ids: Collection[str]) -> None:
        self.changed += ids

    async def apply_options(
        self, run: str, options: Callable[[], Mapping[str, Any]], at_tai_ns: int | None
    ) -> int | None:
        self.applied.append((run, options(), at_tai_ns))
        if at_tai_ns is not None:
            await trio.sleep(max(0, at_tai_ns - self.tai_ns()) / 1e9)
        await trio.lowlevel.checkpoint()
        await self.check_options(run, options)
        return self.tai_ns()

    async def check_options(self, run: str, options: Callable[[], Mapping[str, Any]]) -> None:
        if self.refusal:
            raise NmosApiError(400, self.refusal)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        text = b"" if body is None else json.dumps(body).encode()
        request = ApiRequest(method=method, path=tuple(part for part in path.split("/") if part), body=text)
        try:
            answer: ApiAnswer = await self.api.answer_request(request)
        except NmosApiError as error:
            answer = error.as_answer()
        value = json.loads(answer.body) if answer.body else None
        if answer.status >= 400 and VECTORS.is_dir():
            check_schema(IS08, "error", value)
        return answer.status, value

    async def post(self, action: Any, mode: str = "activate_immediate", time: str | None = None) -> tuple[int, Any]:
        activation = {"mode": mode} if time is None else {"mode": mode, "requested_time": time}
        return await self.ask("POST", "map/activations", {"activation": activation, "action": action})

    async def routes(self, output: str) -> list[Any]:
        _, body = await self.ask("GET", f"map/active/{output}")
        return list(body["map"][output].values())


@pytest.fixture
def site() -> Site:
    return Site()


PATHS = {
    "": "base-schema",
    "io": "io-response-schema",
    "inputs": "inputs-outputs-base-schema",
    "inputs/input1": "input-base-schema",
    "inputs/input1/properties": "input-properties-schema",
    "inputs/input1/parent": "input-parent-response-schema",
    "inputs/input1/channels": "input-channels-response-schema",
    "inputs/input1/caps": "input-caps-response-schema",
    "outputs": "inputs-outputs-base-schema",
    "outputs/OutA": "output-base-schema",
    "outputs/OutA/properties": "output-properties-schema",
    "outputs/OutA/sourceid": "output-sourceid-response-schema",
    "outputs/OutB/sourceid": "output-sourceid-response-schema",
    "outputs/OutA/channels": "output-channels-response-schema",
    "outputs/OutA/caps": "output-caps-response-schema",
    "map": "map-base-schema",
    "map/active": "map-active-response-schema",
    "map/active/OutA": "map-active-output-response-schema",
    "map/activations": "map-activations-get-response-schema",
}


@needs_vectors
@pytest.mark.parametrize(("path", "schema"), PATHS.items())
async def test_every_answer_is_of_its_schema(site: Site, path: str, schema: str) -> None:
    for _ in range(2):
        status, body = await site.ask("GET", path)
        assert status == 200
        check_schema(IS08, schema, body)
        await site.post({"OutA": {"0": ROUTE}})
        await site.post({"OutB": {"1": ROUTE}}, "activate_scheduled_relative", "3600:0")


async def test_io_has_what_the_parts_have(site: Site) -> None:
    _, io = await site.ask("GET", "io")
    for kind, names in (("inputs", ("properties", "parent", "channels", "caps")), ("outputs", ("channels", "caps"))):
        _, ids = await site.ask("GET", kind)
        assert [f"{id}/" for id in io[kind]] == ids
        for id in io[kind]:
            for name in names:
                assert (await site.ask("GET", f"{kind}/{id}/{name}"))[1] == io[kind][id][name]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "inputs/none", 404),
        ("GET", "inputs/input1/none", 404),
        ("GET", "outputs/none/caps", 404),
        ("GET", "map/active/none", 404),
        ("GET", "map/activations/5", 404),
        ("GET", "map/activations/5/6", 404),
        ("DELETE", "map/activations/5", 404),
        ("POST", "map/active", 405),
        ("DELETE", "map/activations", 405),
        ("PATCH", "io", 405),
    ],
)
async def test_what_is_not_there(site: Site, method: str, path: str, status: int) -> None:
    assert (await site.ask(method, path, {}))[0] == status


async def test_an_immediate_activation(site: Site, autojump_clock: trio.testing.MockClock) -> None:
    status, body = await site.post({"OutA": {"0": ROUTE, "3": {"input": None, "channel_index": None}}})
    assert status == 200
    if VECTORS.is_dir():
        check_schema(IS08, "map-activations-post-response-schema", body)
    ((id, described),) = body.items()
    assert id.isdecimal()
    assert described["action"] == {"OutA": {"0": ROUTE, "3": {"input": None, "channel_index": None}}}
    assert described["activation"] == {
        "mode": "activate_immediate",
        "requested_time": None,
        "activation_time": "1544448000:0",
    }
    expected = [{"source": "input2", "channels": [2]}, {"source": "input1", "channels": [2, 3, 0]}]
    assert site.applied == [("r", {"sink.OutA.input": expected}, None)]
    assert site.changed == [SOURCE]
    routes = await site.routes("OutA")
    assert routes[0] == ROUTE
    assert routes[1] == {"input": "input1", "channel_index": 1}
    assert routes[3] == {"input": None, "channel_index": None}
    _, active = await site.ask("GET", "map/active")
    assert active["activation"] == described["activation"]
    assert (await site.ask("GET", "map/activations"))[1] == {}


async def test_a_relative_activation_acts_at_its_time(site: Site, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.api.run)
        await trio.testing.wait_all_tasks_blocked()
        before = await site.routes("OutA")
        status, body = await site.post({"OutA": {"0": ROUTE}}, "activate_scheduled_relative", "2:5")
        assert status == 202
        ((id, described),) = body.items()
        assert described["activation"]["activation_time"] == "1544448002:5"
        assert (await site.ask("GET", f"map/activations/{id}"))[1] == described
        assert (await site.ask("GET", "map/activations"))[1] == body
        await trio.sleep(1.4)
        assert site.applied == []
        await trio.sleep(0.2)
        assert [at for _, _, at in site.applied] == [EPOCH + 2 * S + 5]
        assert await site.routes("OutA") == before
        assert (await site.ask("DELETE", f"map/activations/{id}"))[0] == 423
        await trio.sleep(0.5)
        assert (await site.routes("OutA"))[0] == ROUTE
        assert (await site.ask("GET", "map/activations"))[1] == {}
        assert (await site.ask("DELETE", f"map/activations/{id}"))[0] == 404
        nursery.cancel_scope.cancel()


async def test_a_scheduled_activation_locks_its_outputs_until_it_is_deleted(
    site: Site, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.api.run)
        _, body = await site.post({"OutA": {"0": ROUTE}}, "activate_scheduled_absolute", "1544448005:0")
        locked, error = await site.post({"OutA": {"1": ROUTE}, "OutB": {"0": ROUTE}})
        assert locked == 423
        assert "OutA" in error["error"]
        assert (await site.post({"OutB": {"0": ROUTE}}))[0] == 200
        (id,) = body
        assert await site.ask("DELETE", f"map/activations/{id}/") == (204, None)
        assert (await site.ask("GET", f"map/activations/{id}"))[0] == 404
        assert (await site.post({"OutA": {"1": ROUTE}}))[0] == 200
        await trio.sleep(10)
        assert len(site.applied) == 2
        nursery.cancel_scope.cancel()


async def test_a_time_that_has_passed_is_at_once(site: Site, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.api.run)
        assert (await site.post({"OutB": {"0": ROUTE}}, "activate_scheduled_absolute", "1:0"))[0] == 202
        await trio.sleep(0.1)
        assert (await site.routes("OutB"))[0] == ROUTE
        nursery.cancel_scope.cancel()


async def test_what_the_run_refuses_changes_nothing(site: Site) -> None:
    before = await site.routes("OutA")
    site.refusal = "input2 runs on another clock: give the sink a compensator"
    status, error = await site.post({"OutA": {"0": ROUTE}})
    assert (status, error["error"]) == (400, site.refusal)
    assert await site.routes("OutA") == before
    site.refusal = None
    assert (await site.post({"OutA": {"0": ROUTE}}))[0] == 200


async def test_what_the_run_cannot_do_is_refused_when_it_is_scheduled(site: Site) -> None:
    site.refusal = "this cannot be switched without a gap"
    assert (await site.post({"OutA": {"0": ROUTE}}, "activate_scheduled_relative", "9:0"))[0] == 400
    site.refusal = None
    assert (await site.ask("GET", "map/activations"))[1] == {}
    assert (await site.post({"OutA": {"0": ROUTE}}, "activate_scheduled_relative", "9:0"))[0] == 202


async def test_ids_are_never_used_twice(site: Site) -> None:
    ids = [next(iter((await site.post({"OutA": {"0": ROUTE}}))[1])) for _ in range(5)]
    assert len({*ids}) == 5


WRONG: list[Any] = [
    None,
    [],
    {},
    {"activation": {"mode": "activate_immediate"}},
    {"activation": {"mode": "now"}, "action": {"OutA": {}}},
    {"activation": {"mode": "activate_immediate", "more": 1}, "action": {"OutA": {}}},
    {"activation": {"mode": "activate_scheduled_relative"}, "action": {"OutA": {}}},
    {"activation": {"mode": "activate_scheduled_relative", "requested_time": None}, "action": {"OutA": {}}},
    {"activation": {"mode": "activate_scheduled_relative", "requested_time": "2"}, "action": {"OutA": {}}},
    {"activation": {"mode": "activate_scheduled_absolute", "requested_time": "9999999999:0"}, "action": {"OutA": {}}},
    {"activation": {"mode": "activate_immediate"}, "action": {}},
    {"activation": {"mode": "activate_immediate"}, "action": {"OutZ": {}}},
    {"activation": {"mode": "activate_immediate"}, "action": {"OutA": []}},
]
WRONG_ROUTES: list[tuple[str, Any]] = [
    ("4", ROUTE),
    ("01", ROUTE),
    ("x", ROUTE),
    ("0", None),
    ("0", {"input": "input1"}),
    ("0", {"input": "input1", "channel_index": None}),
    ("0", {"input": None, "channel_index": 0}),
    ("0", {"input": "input2", "channel_index": 2}),
    ("0", {"input": "input2", "channel_index": -1}),
    ("0", {"input": "input2", "channel_index": True}),
    ("0", {"input": "input2", "channel_index": "0"}),
    ("0", {"input": "none", "channel_index": 0}),
    ("0", {"input": ["input1"], "channel_index": 0}),
    ("0", {"input": "elsewhere", "channel_index": 0}),
]


@pytest.mark.parametrize("body", WRONG, ids=[json.dumps(body)[:60] for body in WRONG])
async def test_wrong_requests_are_refused_with_a_reason(site: Site, body: Any) -> None:
    status, error = await site.ask("POST", "map/activations", body)
    assert status == 400
    assert error["error"]
    assert site.applied == []


@pytest.mark.parametrize(("index", "route"), WRONG_ROUTES, ids=[str(route) for route in WRONG_ROUTES])
async def test_one_wrong_route_refuses_the_whole_request(site: Site, index: str, route: Any) -> None:
    status, error = await site.post({"OutB": {"0": ROUTE}, "OutA": {"1": ROUTE, index: route}})
    assert status == 400
    assert "OutA" in error["error"]
    assert site.applied == []


@needs_vectors
async def test_the_example_of_a_request_is_answered_as_the_example_of_an_answer(site: Site) -> None:
    status, body = await site.ask("POST", "map/activations", example(IS08, "map/map-activations-post"))
    assert status == 202
    assert [*body.values()] == [*example(IS08, "map/map-activations-post-200").values()]
    status, _ = await site.ask("POST", "map/activations", example(IS08, "map/map-activations-post"))
    assert status == example(IS08, "map/map-activations-post-423")["code"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["OutA", "input1", "0", "1:0", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["OutA", "OutB", "0", "1", "input", "channel_index", "mode", "x"]), inner)
    ),
    max_leaves=8,
)
bodies = anything | st.fixed_dictionaries(
    {
        "activation": st.fixed_dictionaries(
            {"mode": st.sampled_from(["activate_immediate", "activate_scheduled_relative", "x"]) | anything},
            optional={"requested_time": st.sampled_from(["0:0", "1:5", "-1:0", "1:9999999999"]) | anything},
        )
        | anything,
        "action": st.dictionaries(
            st.sampled_from(["OutA", "OutB", "OutC"]),
            st.dictionaries(
                st.sampled_from(["0", "1", "3", "9"]),
                st.fixed_dictionaries(
                    {
                        "input": st.sampled_from(["input1", "input2", None, "elsewhere"]),
                        "channel_index": st.integers(0, 3),
                    }
                )
                | anything,
            )
            | anything,
        )
        | anything,
    }
)


@given(st.lists(bodies, max_size=4))
def test_any_json_is_answered_with_200_202_or_a_reason(requests: list[Any]) -> None:
    site = Site()

    async def ask_all() -> None:
        for body in requests:
            status, answer = await site.ask("POST", "map/activations", body)
            assert status in (200, 202, 400, 423)
            if status in (200, 202) and VECTORS.is_dir():
                check_schema(IS08, "map-activations-post-response-schema", answer)
        _, active = await site.ask("GET", "map/active")
        if VECTORS.is_dir():
            check_schema(IS08, "map-active-response-schema", active)

    trio.run(ask_all, clock=trio.testing.MockClock())
