"""The package that ``kernel init --plugin`` writes: one kind that works, its tests from the kit, and its README."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What a plugin, and its kind, may be called."""

_PYPROJECT = """[project]
name = "phasegraph-@name@"
version = "0.1.0"
description = "The @role@ `@name@` for Phasegraph"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["phasegraph>=0.1,<0.2"]

[project.optional-dependencies]
test = ["phasegraph[testing]"]

[project.entry-points."phasegraph.plugins"]
@name@ = "phasegraph_@module@"

[build-system]
requires = ["hatchling>=1.26,<2"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/phasegraph_@module@"]

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
testpaths = ["tests"]
"""

_README = """# phasegraph-@name@

@summary@

```sh
pip install -e '.[test]'
pytest
kernel explain @name@
```

## `@name@` @role@

| option | default | |
|---|---|---|
| `@option@` | `@default@` | @description@ |

```toml
@example@```
"""

_INIT = '''"""A Phasegraph plugin: the @role@ ``@name@``."""

from phasegraph import @Kind@, hookimpl


@hookimpl
def register_@roles@() -> list[@Kind@]:  # type: ignore[type-arg]
    """The kinds of this plugin. Imported here, so that `kernel` starts fast."""
    from .@module@ import KIND

    return [KIND]
'''

_SINK = '''"""The sink: reads the frames that are due, and remembers the peak of each channel."""

from typing import Annotated

import numpy as np
import trio
from msgspec import Meta

from phasegraph import Build, Duration, Input, Metrics, NodeContext, SinkConfig, SinkKind


class @Class@Config(SinkConfig, frozen=True, kw_only=True):
    """Each option has a type with a unit, a description and a range. ``input`` is an option of every sink."""

    interval: Annotated[Duration, Meta(description="@description@", ge=1_000_000)] = 50_000_000


class @Class@:
    """One sink of a graph. Its factory is the class; it has no effect until `run`."""

    def __init__(self, config: @Class@Config, build: Build, input: Input) -> None:
        self._interval_ns = config.interval
        self._input = input
        self._frames = 0
        self._peaks = np.zeros(input.format.channels)

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until the input ends."""
        task_status.started()
        while (frames := self._input.read_due(ctx.local.now_ns(), limit=1 << 20)) is not None:
            if len(frames):
                self._frames += len(frames)
                self._peaks = np.maximum(self._peaks, np.abs(frames).max(axis=0))
            await ctx.sleep(self._interval_ns)

    def metrics(self) -> Metrics:
        """Figures of the report; their names have the unit."""
        dbfs = 20 * np.log10(np.maximum(self._peaks, 1e-8))
        peaks = {f"channel_{number}_peak_dbfs": round(float(peak), 2) for number, peak in enumerate(dbfs, 1)}
        return {"frames_in": self._frames, **peaks}


KIND = SinkKind(
    kind="@name@",
    summary="@summary@",
    config=@Class@Config,
    factory=@Class@,
    domain="none",
    example="""@example@""",
)
'''

_SINK_TEST = '''

GRAPH = """
schema = 1

[clocks.house]
kind = "sim-clock"

[sources.stage]
kind = "sim-source"
signal = "sine"
duration = "2s"

[sinks.it]
kind = "@name@"
input = "stage"
"""


@pytest.mark.trio
async def test_it_measures_a_sine_of_half_of_full_scale(autojump_clock: object) -> None:
    run = await run_graph(GRAPH)
    metrics = run.metrics("it")
    assert metrics["frames_in"] == 96_000
    assert metrics["channel_1_peak_dbfs"] == metrics["channel_2_peak_dbfs"] == -6.02
'''

_CLOCK = '''"""The clock: counts on from a time that the graph gives."""

from typing import Annotated

import trio
from msgspec import Meta

from phasegraph import Build, ClockConfig, ClockEstimate, ClockKind, ClockState, Duration, Metrics, NodeContext


class @Class@Config(ClockConfig, frozen=True, kw_only=True):
    """Each option has a type with a unit, a description and a range."""

    start: Annotated[Duration, Meta(description="@description@", ge=0)] = 0


class @Class@:
    """One clock of a graph. A clock that measures keeps its newest estimate in an attribute (`ClockPublisher`)."""

    def __init__(self, config: @Class@Config, build: Build) -> None:
        self._local = build.local
        self._offset_ns = config.start - build.local.now_ns()

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open sockets and measure here; this clock knows all from the start."""
        task_status.started()
        await trio.sleep_forever()

    def estimate(self) -> ClockEstimate:
        """The map from local to reference time: never waits, called from several threads."""
        now = self._local.now_ns()
        return ClockEstimate(
            local_ns=now, reference_ns=now + self._offset_ns, sigma_ns=0.0, bound_ns=0.0, state=ClockState.LOCKED
        )

    def metrics(self) -> Metrics:
        """Figures of the report; their names have the unit."""
        return {"start_offset_ns": self._offset_ns}


KIND = ClockKind(
    kind="@name@",
    summary="@summary@",
    config=@Class@Config,
    factory=@Class@,
    example="""@example@""",
)
'''

_CLOCK_TEST = '''

GRAPH = """
schema = 1

[clocks.it]
kind = "@name@"
start = "1h"

[sources.stage]
kind = "sim-source"
duration = "1s"

[sinks.end]
kind = "sim-recorder"
input = "stage"
"""


@pytest.mark.trio
async def test_a_stream_runs_on_its_time(autojump_clock: object) -> None:
    run = await run_graph(GRAPH)
    assert run.metrics("it")["state"] == "locked"
    assert run.metrics("end")["frames_in"] == 48_000
'''

_COMPENSATOR = '''"""The compensator: observations in, a ratio out. It reads no clock, so that a run can be repeated."""

from typing import Annotated

from msgspec import Meta

from phasegraph import CompensatorConfig, CompensatorKind, Correction, Duration, Observation, ReadPosition

LIMIT_PPB = 500_000.0


class @Class@Config(CompensatorConfig, frozen=True, kw_only=True):
    """Each option has a type with a unit, a description and a range."""

    time: Annotated[Duration, Meta(description="@description@", ge=10_000_000)] = 200_000_000


class @Class@:
    """One compensator: corrects the rate in proportion to the error of the read position."""

    def __init__(self, config: @Class@Config, rate: int) -> None:
        self._gain_ppb = 1e18 / (config.time * rate)
        self._error_frames = 0.0

    def observe(self, observation: Observation) -> None:
        """Observations come in the order of their local times."""
        if isinstance(observation, ReadPosition):
            self._error_frames = observation.error_frames

    def decide(self, local_ns: int) -> Correction:
        """The correction for the next block; a positive ratio reads faster."""
        ratio_ppb = max(-LIMIT_PPB, min(LIMIT_PPB, self._error_frames * self._gain_ppb))
        reason = f"{self._error_frames:+.3f} frames from where it should be"
        return Correction(ratio_ppb=ratio_ppb, locked=abs(self._error_frames) < 1.0, reason=reason)


KIND = CompensatorKind(
    kind="@name@",
    summary="@summary@",
    config=@Class@Config,
    factory=@Class@,
    example="""@example@""",
)
'''

_COMPENSATOR_TEST = """

def test_it_reads_faster_when_it_is_behind() -> None:
    compensator = @Class@(@Class@Config(), 48_000)
    compensator.observe(ReadPosition(local_ns=0, frame=0, error_frames=2.0))
    assert compensator.decide(1_000_000).ratio_ppb > 0
"""

_TESTS = '''"""The suites of Phasegraph's kit, and a test of our own."""

@imports@

class TestPlugin(PluginSuite):
    entry_point = "@name@"


class TestSuite(@Suite@):
    @pytest.fixture
    def options(self) -> str:
        return 'kind = "@name@"\\n@option@ = "@other@"'
'''

_GRAPH_IMPORTS = """import pytest

from phasegraph.testing import @suites@, run_graph
"""
_PURE_IMPORTS = """import pytest

from phasegraph import ReadPosition
from phasegraph.testing import @suites@
from phasegraph_@module@.@module@ import @Class@, @Class@Config
"""

ROLES = {
    "sink": {
        "roles": "sinks",
        "Kind": "SinkKind",
        "Suite": "SinkSuite",
        "summary": "Measures the peak of every channel.",
        "option": "interval",
        "default": '"50ms"',
        "other": "20ms",
        "description": "How often the input is read.",
        "example": '[sinks.ID]\nkind = "@name@"\ninput = "stage"\n',
        "imports": _GRAPH_IMPORTS,
        "code": _SINK,
        "test": _SINK_TEST,
    },
    "clock": {
        "roles": "clocks",
        "Kind": "ClockKind",
        "Suite": "ClockSourceSuite",
        "summary": "Counts on from a time that the graph gives.",
        "option": "start",
        "default": '"0s"',
        "other": "1h",
        "description": "Reference time when the graph is built.",
        "example": '[clocks.ID]\nkind = "@name@"\n',
        "imports": _GRAPH_IMPORTS,
        "code": _CLOCK,
        "test": _CLOCK_TEST,
    },
    "compensator": {
        "roles": "compensators",
        "Kind": "CompensatorKind",
        "Suite": "CompensatorSuite",
        "summary": "Corrects the rate in proportion to the error of the read position.",
        "option": "time",
        "default": '"200ms"',
        "other": "100ms",
        "description": "Time constant of the correction.",
        "example": '[compensators.ID]\nkind = "@name@"\n',
        "imports": _PURE_IMPORTS,
        "code": _COMPENSATOR,
        "test": _COMPENSATOR_TEST,
    },
}
"""What differs between the roles for which a package can be written."""


def package_files(name: str, role: str) -> dict[str, str]:
    """Path within the package's folder -> text. Raises ValueError for a name that cannot be a plugin's."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name for a plugin: use lower-case letters, digits and single '-'")
    module = name.replace("-", "_")
    words = {"name": name, "role": role, "module": module, "Class": "".join(map(str.capitalize, name.split("-")))}
    words = {**ROLES[role], **words, "suites": ", ".join(sorted(("PluginSuite", ROLES[role]["Suite"])))}

    def filled(template: str) -> str:
        while (text := re.sub(r"@(\w+)@", lambda place: words[place[1]], template)) != template:
            template = text  # what is filled in has places of its own
        return text

    package = f"src/phasegraph_{module}"
    return {
        "pyproject.toml": filled(_PYPROJECT),
        "README.md": filled(_README),
        f"{package}/__init__.py": filled(_INIT),
        f"{package}/{module}.py": filled("@code@"),
        f"{package}/py.typed": "",
        f"tests/test_{module}.py": filled(_TESTS + "@test@"),
    }


def write_package(parent: Path, name: str, role: str) -> Path:
    """Write the package into a new folder, which is returned. Raises ValueError, or FileExistsError if it is there."""
    files = package_files(name, role)
    folder = parent / f"phasegraph-{name}"
    folder.mkdir()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder
