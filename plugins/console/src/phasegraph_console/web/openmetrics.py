"""What Prometheus scrapes: the newest status of each run as OpenMetrics, in base units, by prometheus-client.

Figures of the status whose name or unit is unknown here are left out. ``docs/monitoring.md`` lists the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from phasegraph.control import EdgeStatus, NodeStatus, RunStatus

from .followed_run import FollowedRun
from .lateness_buckets import lateness_buckets

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
NODE_STATES = ("waiting", "running", "restarting", "ended", "failed")
CLOCK_STATES = ("unlocked", "acquiring", "locked", "holdover")
CROSSING_STATES = ("acquiring", "locked")
_END = "# EOF\n"
_LEGS = ("a", "b")
_CHANNEL = re.compile(r"level_peak_dbfs_(\d+)")
_PAIR = re.compile(r"phase_correlation_(\d+)_(\d+)")
_NS = 1e-9
_PPB = 1e-9


class _Figure(NamedTuple):
    """One figure of a status, and the metric that it becomes."""

    figure: str
    metric: str
    scale: float
    help: str


def _counts(prefix: str, figures: Mapping[str, str]) -> tuple[_Figure, ...]:
    return tuple(_Figure(figure, f"{prefix}_{figure}", 1.0, help) for figure, help in figures.items())


PACKETS = {
    "packets_received": "Packets of the stream, late and duplicate ones included.",
    "packets_lost": "Sequence numbers that were never received.",
    "packets_late": "Packets that arrived later than the link offset.",
    "packets_early": "Packets more than 100 ms before their media time.",
    "packets_duplicate": "Packets that arrived twice.",
    "packets_reordered": "Packets that arrived after a newer one.",
    "packets_malformed": "Packets that are not as described.",
    "packets_foreign": "Packets of another sender, ignored.",
}
STREAM_COUNTERS = (
    *_counts("phasegraph_stream", PACKETS),
    _Figure("frames_concealed", "phasegraph_stream_frames_concealed", 1.0, "Frames that were concealed."),
)
STREAM_GAUGES = (
    _Figure("link_offset_ns", "phasegraph_stream_link_offset_seconds", _NS, "The link offset in use."),
    _Figure("sender_rate_ppb", "phasegraph_stream_sender_rate_ratio", _PPB, "The sender's rate, as distance from one."),
    _Figure("sender_rate_sigma_ppb", "phasegraph_stream_sender_rate_sigma_ratio", _PPB, "Its standard error."),
)
LEG_COUNTERS = _counts("phasegraph_leg", PACKETS)
SENDER_COUNTERS = (
    *_counts("phasegraph_sender", {"packets_sent": "Packets sent.", "send_errors": "Packets that the system refused."}),
    _Figure("sender_resyncs", "phasegraph_sender_resyncs", 1.0, "Skips to the present after more than a second."),
)
SENDER_GAUGES = (
    _Figure(
        "lead_ns", "phasegraph_sender_lead_seconds", _NS, "When a packet leaves, after the media time of its frames."
    ),
    _Figure(
        "pacing_error_p50_ns", "phasegraph_sender_pacing_error_p50_seconds", _NS, "After the planned time, median."
    ),
    _Figure(
        "pacing_error_p99_ns", "phasegraph_sender_pacing_error_p99_seconds", _NS, "After the planned time, of 99 %."
    ),
    _Figure(
        "pacing_error_max_ns", "phasegraph_sender_pacing_error_max_seconds", _NS, "After the planned time, at most."
    ),
)
CLOCK_GAUGES = (
    _Figure("offset_ns", "phasegraph_clock_offset_seconds", _NS, "Reference time minus local time."),
    _Figure("rate_ppb", "phasegraph_clock_rate_ratio", _PPB, "Rate against local time, as distance from one."),
    _Figure("sigma_ns", "phasegraph_clock_sigma_seconds", _NS, "Standard deviation of the estimate."),
    _Figure("bound_ns", "phasegraph_clock_bound_seconds", _NS, "Hard bound of the estimate."),
    _Figure("path_delay_ns", "phasegraph_clock_path_delay_seconds", _NS, "Delay to the grandmaster."),
    _Figure("time_to_lock_s", "phasegraph_clock_time_to_lock_seconds", 1.0, "From the start to the first lock."),
)
CROSSING_GAUGES = (
    _Figure(
        "ratio_ppb", "phasegraph_crossing_correction_ratio", _PPB, "Input per output frames, as distance from one."
    ),
    _Figure("phase_error_ns", "phasegraph_crossing_alignment_error_seconds", _NS, "What sounds, from what should."),
    _Figure(
        "phase_error_rms_frames", "phasegraph_crossing_alignment_error_rms_frames", 1.0, "The same, rms, in frames."
    ),
    _Figure("buffer_frames", "phasegraph_crossing_buffer_frames", 1.0, "Frames between reader and writer."),
    _Figure("time_to_lock_s", "phasegraph_crossing_time_to_lock_seconds", 1.0, "From the start to the first lock."),
)
CROSSING_COUNTERS = (_Figure("resyncs", "phasegraph_crossing_resyncs", 1.0, "Jumps of the read position."),)
NODE_COUNTERS = (
    _Figure("frames_in", "phasegraph_node_frames_in", 1.0, "Frames that a sink has used."),
    _Figure("frames_out", "phasegraph_node_frames_out", 1.0, "Frames that a source has given."),
    _Figure("underruns", "phasegraph_node_underruns", 1.0, "How often frames began to be missing when due."),
    _Figure("underrun_frames", "phasegraph_node_underrun_frames", 1.0, "Frames that were missing when due."),
    _Figure("overruns", "phasegraph_node_overruns", 1.0, "How often frames could not be stored in time."),
)
CARD_GAUGES = (
    _Figure("device_rate_ppb", "phasegraph_card_rate_ratio", _PPB, "Rate of the card, as distance from one."),
)
LEVEL_GAUGES = (
    _Figure("level_true_peak_dbtp", "phasegraph_level_true_peak_dbtp", 1.0, "True peak (ITU-R BS.1770)."),
    _Figure("loudness_momentary_lufs", "phasegraph_level_loudness_momentary_lufs", 1.0, "EBU R 128, 400 ms."),
    _Figure("loudness_short_term_lufs", "phasegraph_level_loudness_short_term_lufs", 1.0, "EBU R 128, 3 s."),
)


class _Families:
    """Metric families, each made when its first sample is added."""

    def __init__(self) -> None:
        self.all: dict[str, Metric] = {}

    def gauge(self, name: str, help: str, labels: Mapping[str, str], value: float) -> None:
        family = self.all.setdefault(name, GaugeMetricFamily(name, help, labels=tuple(labels)))
        assert isinstance(family, GaugeMetricFamily)
        family.add_metric(tuple(labels.values()), value)

    def counter(self, name: str, help: str, labels: Mapping[str, str], value: float) -> None:
        family = self.all.setdefault(name, CounterMetricFamily(name, help, labels=tuple(labels)))
        assert isinstance(family, CounterMetricFamily)
        family.add_metric(tuple(labels.values()), value)

    def info(self, name: str, help: str, labels: Mapping[str, str], about: Mapping[str, object]) -> None:
        family = self.all.setdefault(name, InfoMetricFamily(name, help, labels=tuple(labels)))
        assert isinstance(family, InfoMetricFamily)
        family.add_metric(tuple(labels.values()), {key: str(value) for key, value in about.items()})

    def states(self, name: str, help: str, labels: Mapping[str, str], states: Iterable[str], now: object) -> None:
        family = self.all.setdefault(name, StateSetMetricFamily(name, help, labels=tuple(labels)))
        assert isinstance(family, StateSetMetricFamily)
        family.add_metric(tuple(labels.values()), {state: state == now for state in states})

    def figures(
        self, figures: Iterable[_Figure], metrics: Mapping[str, object], labels: Mapping[str, str], prefix: str = "",
        *, count: bool = False,
    ) -> None:  # fmt: skip
        for figure in figures:
            value = metrics.get(prefix + figure.figure)
            if isinstance(value, int | float):
                add = self.counter if count else self.gauge
                add(figure.metric, figure.help, labels, value * figure.scale)


class _FamilyCollector(Collector):
    """Gives one family to prometheus-client."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        """The family."""
        return [self._family]


class _FamilyText(NamedTuple):
    """A family as text: what it is, and samples of one run."""

    head: str
    samples: str


class _RunText(NamedTuple):
    """The families of a run, and what they were made of."""

    status: RunStatus | None
    state: str
    families: dict[str, _FamilyText]


class OpenMetricsPage:
    """What Prometheus gets. The text of a run is kept while its status is the same: it takes tens of milliseconds."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[FollowedRun, _RunText] = WeakKeyDictionary()

    def text(self, runs: Iterable[FollowedRun], now_s: float) -> bytes:
        """The exposition. ``now_s`` is the time in which the ages of statuses count."""
        heads: dict[str, str] = {}
        samples: dict[str, list[str]] = {}
        for run in runs:
            for name, text in (self._families(run) | _age(run, now_s)).items():
                heads[name] = text.head
                samples.setdefault(name, []).append(text.samples)
        return "".join([*(head + "".join(samples[name]) for name, head in heads.items()), _END]).encode()

    def _families(self, run: FollowedRun) -> dict[str, _FamilyText]:
        kept = self._kept.get(run)
        if kept is None or kept.status is not run.status or kept.state != run.state:
            families = _Families()
            _run(families, run)
            kept = self._kept[run] = _RunText(run.status, run.state, _texts(families))
        return kept.families


def _age(run: FollowedRun, now_s: float) -> dict[str, _FamilyText]:
    families = _Families()
    if run.status is not None and run.state == "running":
        age_s = run.age_s(now_s)
        families.gauge("phasegraph_run_status_age_seconds", "Age of these figures.", {"run": run.name}, age_s)
    return _texts(families)


def _texts(families: _Families) -> dict[str, _FamilyText]:
    texts = {}
    for name, family in families.all.items():
        text = generate_latest(_FamilyCollector(family)).decode().removesuffix(_END)  # type: ignore[no-untyped-call]
        at = 0
        while text.startswith("# ", at):
            at = text.index("\n", at) + 1
        texts[name] = _FamilyText(text[:at], text[at:])
    return texts


def _run(families: _Families, run: FollowedRun) -> None:
    labels = {"run": run.name}
    families.gauge("phasegraph_run_up", "1 while the run goes on and answers.", labels, run.state == "running")
    status = run.status
    if status is None or run.state != "running":
        return
    hello = run.hello
    about = {"graph": status.graph, "version": hello.version, "profile": status.profile or "", "pid": status.pid}
    families.info("phasegraph_run", "The run.", labels, about)
    families.gauge("phasegraph_run_duration_seconds", "Time since the start.", labels, status.duration_s)
    families.gauge("phasegraph_run_start_timestamp_seconds", "When it began.", labels, _timestamp(status.started_at))
    families.gauge("phasegraph_run_nodes_in_trouble", "Nodes in trouble.", labels, len(status.trouble))
    dropped = [value for node in status.nodes.values() if isinstance(value := node.metrics.get("socket_dropped"), int)]
    if dropped:  # every source reports that of all sockets of the run
        help = "Datagrams that the system dropped before they were read."
        families.counter("phasegraph_run_socket_dropped", help, labels, max(dropped))
    for thread, seconds in status.cpu_s.items():
        help = "Processor time: of the whole process, and of the engine's thread."
        families.counter("phasegraph_run_cpu_seconds", help, labels | {"part": thread}, seconds)
    for id, node in status.nodes.items():
        _node(families, labels | {"node": id}, node)
    for name, edge in status.edges.items():
        if edge.crossing:
            _crossing(families, labels | {"edge": name}, edge, status)


def _node(families: _Families, labels: dict[str, str], node: NodeStatus) -> None:
    metrics = node.metrics
    about: dict[str, object] = {"role": node.role, "kind": node.kind, "pace": node.pace}
    about |= {name: metrics[name] for name in ("stream", "file") if name in metrics}
    families.info("phasegraph_node", "The node.", labels, about)
    families.states("phasegraph_node_state", "State of the node.", labels, NODE_STATES, node.state)
    families.gauge("phasegraph_node_severity", "0 fine, 1 in trouble, 2 restarting, 3 failed.", labels, node.severity)
    families.figures(NODE_COUNTERS, metrics, labels, count=True)
    families.figures(LEVEL_GAUGES, metrics, labels)
    if node.role == "clock":
        families.states("phasegraph_clock_state", "State of the clock.", labels, CLOCK_STATES, metrics.get("state"))
        about = {
            name: metrics[name] for name in ("grandmaster", "timescale", "domain", "running_on") if name in metrics
        }
        families.info("phasegraph_clock", "What the clock follows.", labels, about)
        families.figures(CLOCK_GAUGES, metrics, labels)
    if "packets_received" in metrics:
        _stream(families, labels, metrics)
    if "packets_sent" in metrics:
        families.figures(SENDER_COUNTERS, metrics, labels, count=True)
        families.figures(SENDER_GAUGES, metrics, labels)
    families.figures(CARD_GAUGES, metrics, labels)
    for name, value in metrics.items():
        if (channel := _CHANNEL.fullmatch(name)) and isinstance(value, int | float):
            families.gauge("phasegraph_level_peak_dbfs", "Sample peak.", labels | {"channel": channel[1]}, value)
        if (pair := _PAIR.fullmatch(name)) and isinstance(value, int | float):
            help, channels = "1 in phase, -1 in antiphase.", f"{pair[1]}-{pair[2]}"
            families.gauge("phasegraph_level_phase_correlation_ratio", help, labels | {"channels": channels}, value)


def _stream(families: _Families, labels: dict[str, str], metrics: Mapping[str, int | float | str]) -> None:
    families.figures(STREAM_COUNTERS, metrics, labels, count=True)
    families.figures(STREAM_GAUGES, metrics, labels)
    for leg in _LEGS:
        families.figures(LEG_COUNTERS, metrics, labels | {"leg": leg}, f"leg_{leg}_", count=True)
    if "sender" in metrics:
        about = {name: metrics[name] for name in ("sender", "ssrc") if name in metrics}
        families.info("phasegraph_stream_sender", "The sender that is received.", labels, about)
    if found := lateness_buckets(metrics):
        name = "phasegraph_stream_lateness_seconds"
        help = "Arrival minus media time; the link offset is one of the edges."
        family = families.all.setdefault(name, HistogramMetricFamily(name, help, labels=tuple(labels)))
        assert isinstance(family, HistogramMetricFamily)
        edges = [("+Inf" if edge == float("inf") else repr(edge / 1e9), float(count)) for edge, count in found.counts]
        family.add_metric(tuple(labels.values()), edges, None if found.sum_ns is None else found.sum_ns * _NS)


def _crossing(families: _Families, labels: dict[str, str], edge: EdgeStatus, status: RunStatus) -> None:
    families.figures(CROSSING_GAUGES, edge.metrics, labels)
    families.figures(CROSSING_COUNTERS, edge.metrics, labels, count=True)
    if "state" in edge.metrics:
        state = edge.metrics["state"]
        families.states("phasegraph_crossing_state", "State of the crossing.", labels, CROSSING_STATES, state)


def _timestamp(iso: str) -> float:
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return 0.0
