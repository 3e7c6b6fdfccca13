"""Requirements for every compensator: bounded decisions, from its observations alone."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import numpy as np
import pytest
import trio
from hypothesis import strategies as st
from msgspec.structs import replace

from ..._core.clock import ClockEstimate, ClockState
from ..._core.compensation import BufferLevel, Compensator, Correction, DeviceTime, Observation, ReadPosition
from ..._graph_file import parse_graph
from ...simulation.drift_world import LOCAL_NS, RATE, Conditions, DriftWorld
from ..graph_runs import shared_registry
from .suite_base import Suite

_CLOCKS = (
    "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns clock_gettime clock_gettime_ns process_time sleep"
)
_PLAIN = Conditions(warm_ppm=0.0, clock_noise_s=1e-7, stamps="exact")
_LOCAL = st.integers(LOCAL_NS, LOCAL_NS + 10**13)
_FRAMES = st.floats(-1e9, 1e9)
_OBSERVATIONS: st.SearchStrategy[Observation] = st.one_of(
    st.builds(DeviceTime, _LOCAL, st.integers(0, 1 << 40)),
    st.builds(BufferLevel, _LOCAL, _FRAMES),
    st.builds(ReadPosition, _LOCAL, st.integers(0, 1 << 40), _FRAMES),
    st.builds(
        ClockEstimate,
        local_ns=_LOCAL,
        reference_ns=st.integers(0, 1 << 62),
        rate_ppb=st.floats(-1e6, 1e6),
        sigma_ns=st.floats(0, 1e9),
        bound_ns=st.floats(0, 1e9),
        state=st.sampled_from(ClockState),
        discontinuities=st.integers(0, 5),
    ),
)


class CompensatorSuite(Suite):
    """Checks of a compensator. A subclass gives a fixture ``options``: the body of its table."""

    limit_ppb: ClassVar[float] = 1_000_000.0
    """Largest correction. Phasegraph reads ahead for 1000 ppm."""
    settle_s: ClassVar[float] = 30.0
    """After this time, in seconds, the error must stay below ``settled_frames``."""
    settled_frames: ClassVar[float] = 4.0

    @pytest.fixture
    def options(self) -> str:
        """The body of the compensator's table in a graph."""
        raise AssertionError("the suite needs a fixture 'options'")

    @pytest.fixture
    def make(self, options: str, tmp_path: Path) -> Callable[[], Compensator]:
        """Makes a fresh compensator at 48 kHz."""
        if "resampler" not in options:
            options += '\nresampler = "sim-linear"'
        graph = parse_graph(_GRAPH + options + "\n", shared_registry(), tmp_path)
        node: Any = graph.nodes["it"]
        return lambda: node.kind.factory(node.config, RATE)

    @pytest.fixture
    def no_clocks(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """All functions that give the time or random numbers raise."""

        def refuse(*args: object) -> None:
            raise AssertionError("a compensator called a clock or a random generator")

        with monkeypatch.context() as patch:
            for name in _CLOCKS.split():
                patch.setattr(time, name, refuse)
            for name in ("random", "gauss", "uniform", "randint"):
                patch.setattr(random, name, refuse)
            patch.setattr(trio, "current_time", refuse)
            yield

    def test_the_same_again_gives_the_same(self, make: Callable[[], Compensator]) -> None:
        """Two of a kind with the same observations decide the same, bit for bit."""
        first, second = (DriftWorld(make(), _PLAIN).run(10.0) for _ in range(2))
        assert first.corrections == second.corrections

    def test_calls_no_clock_and_no_random_generator(self, make: Callable[[], Compensator], no_clocks: None) -> None:
        """Its decisions follow from its observations alone."""
        DriftWorld(make(), replace(_PLAIN, card_ppm=-20.0)).run(2.0)

    @pytest.mark.parametrize("card_ppm", [-200.0, 0.0, 37.3, 200.0])
    def test_settles(self, make: Callable[[], Compensator], card_ppm: float) -> None:
        """In a plain crossing the error becomes small and stays small."""
        trace = DriftWorld(make(), replace(_PLAIN, card_ppm=card_ppm)).run(self.settle_s + 10.0)
        assert np.abs(trace.error[round(self.settle_s / trace.block_s) :]).max() < self.settled_frames
        self._bounded(trace.corrections)

    @pytest.mark.parametrize("state", [ClockState.UNLOCKED, ClockState.HOLDOVER])
    def test_survives_gaps(self, make: Callable[[], Compensator], state: ClockState) -> None:
        """It settles again after ten seconds that the card lost, and after an unlocked clock."""
        lost, restarted = self.settle_s, self.settle_s + 10.0
        conditions = replace(
            _PLAIN,
            card_ppm=50.0,
            lost={lost: 10 * RATE},
            states={restarted: state, restarted + 5.0: ClockState.LOCKED},
        )
        trace = DriftWorld(make(), conditions).run(2 * self.settle_s + 5.0)
        assert abs(trace.error[-1]) < self.settled_frames
        self._bounded(trace.corrections)

    def test_decides_before_it_has_seen_anything(self, make: Callable[[], Compensator]) -> None:
        """A first decision without observations is within the bounds."""
        correction = make().decide(LOCAL_NS)
        self._bounded([correction])

    def test_is_bounded_whatever_it_sees(self, make: Callable[[], Compensator]) -> None:
        """Any observations, in any order, give finite corrections within the limit."""

        @hypothesis.settings(max_examples=60, deadline=None, database=None)
        @hypothesis.given(st.lists(_OBSERVATIONS, max_size=40))
        def check(observations: list[Observation]) -> None:
            compensator = make()
            for number, observation in enumerate(observations):
                compensator.observe(observation)
                self._bounded([compensator.decide(LOCAL_NS + number * 5_333_333)])

        check()

    def _bounded(self, corrections: list[Correction]) -> None:
        for correction in corrections:
            assert math.isfinite(correction.ratio_ppb)
            assert abs(correction.ratio_ppb) <= self.limit_ppb
            assert math.isfinite(correction.step_frames)
            assert correction.reason, "every correction says why"


_GRAPH = """schema = 1
[clocks.house]
kind = "sim-clock"
[sources.stage]
kind = "sim-source"
[sinks.card]
kind = "sim-card"
input = "stage"
compensator = "it"
[compensators.it]
"""
