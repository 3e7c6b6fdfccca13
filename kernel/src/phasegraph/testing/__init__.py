"""The kit for tests of plugins: suites that every plugin of a kind must pass, and whole graphs in virtual time.

The names of the simulated world (`phasegraph.simulation`) that such tests use are here too. The suites need
``phasegraph[testing]`` (pytest, pytest-trio, hypothesis), the rest needs the kernel alone; a test module derives from a
suite. Simulated time is trio's: run under a ``trio.testing.MockClock``, or with the ``autojump_clock`` fixture of
pytest-trio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..simulation.drift_world import Conditions as Conditions
from ..simulation.drift_world import DriftWorld as DriftWorld
from ..simulation.impairments import Counts as Counts
from ..simulation.impairments import Every as Every
from ..simulation.impairments import Faults as Faults
from ..simulation.impairments import Impairment as Impairment
from ..simulation.impairments import Stamping as Stamping
from ..simulation.local_clock import LOCAL_EPOCH_NS as LOCAL_EPOCH_NS
from ..simulation.local_clock import REALTIME_EPOCH_NS as REALTIME_EPOCH_NS
from ..simulation.local_clock import SimLocalClock as SimLocalClock
from ..simulation.local_clock import true_now_ns as true_now_ns
from ..simulation.network import SimNetwork as SimNetwork
from ..simulation.network import SimWire as SimWire
from ..simulation.nodes.sim_card import Played as Played
from ..simulation.nodes.sim_card import SimCard as SimCard
from ..simulation.nodes.sim_card import SimCardConfig as SimCardConfig
from ..simulation.nodes.sim_clock import SimClock as SimClock
from ..simulation.nodes.sim_clock import SimClockConfig as SimClockConfig
from ..simulation.nodes.sim_recorder import SimRecorder as SimRecorder
from ..simulation.nodes.sim_recorder import SimRecorderConfig as SimRecorderConfig
from ..simulation.nodes.sim_source import SimSequence as SimSequence
from ..simulation.nodes.sim_source import SimSequenceConfig as SimSequenceConfig
from ..simulation.nodes.sim_source import SimSource as SimSource
from ..simulation.nodes.sim_source import SimSourceConfig as SimSourceConfig
from ..simulation.oscillator import Oscillator as Oscillator
from ..simulation.oscillator import Ramp as Ramp
from ..simulation.signals import counted as counted
from ..simulation.signals import counter_frames as counter_frames
from ..simulation.signals import sine_frames as sine_frames
from ..simulation.sim_plugin import sim_plugin as sim_plugin
from ..simulation.sim_stamped import SimStampedSocket as SimStampedSocket
from ..simulation.tracking_error import TrackingError as TrackingError
from ..simulation.tracking_error import tracking_error_of as tracking_error_of
from ..simulation.tracking_error import worst_tracking_error as worst_tracking_error
from .change_trials import ChangeTrial as ChangeTrial
from .graph_runs import GraphRun as GraphRun
from .graph_runs import make_session as make_session
from .graph_runs import run_graph as run_graph
from .graph_runs import run_graph_now as run_graph_now
from .graph_runs import running_graph as running_graph
from .graph_runs import sim_registry as sim_registry

if TYPE_CHECKING:
    from .suites import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # The suites alone need pytest, so they are imported when a test asks for one.
    if not name.endswith("Suite"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import suites

    return getattr(suites, name)
