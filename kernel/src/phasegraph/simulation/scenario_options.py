"""The options of a scenario: described, with ranges and units, like those of a graph."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .._core.clock import NS_PER_S
from .._core.units import Duration, RateOffset
from .oscillator import DAY_NS, Oscillator, Ramp

_YEAR_NS = 366 * DAY_NS
Instant = Annotated[Duration, Meta(description="When, counted from the start.", ge=0, le=_YEAR_NS)]
Share = Annotated[float, Meta(ge=0, le=1)]
_MOST_PPB = 1e6


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Base of every table of a scenario."""


class RampOptions(Table, frozen=True, kw_only=True):
    """A lasting change of rate."""

    at: Instant
    by: Annotated[RateOffset, Meta(description="By how much the rate changes.", ge=-_MOST_PPB, le=_MOST_PPB)]
    over: Annotated[Duration, Meta(description="How long the change takes.", ge=0, le=_YEAR_NS)] = 0


class OscillatorOptions(Table, frozen=True, kw_only=True):
    """How a crystal runs, against true time."""

    rate_offset: Annotated[RateOffset, Meta(description="Rate offset at the start.", ge=-_MOST_PPB, le=_MOST_PPB)] = 0.0
    warm_up: Annotated[
        RateOffset,
        Meta(description="How much faster it runs when it is warm.", ge=-_MOST_PPB, le=_MOST_PPB),
    ] = 0.0
    warm_up_time: Annotated[Duration, Meta(description="Time constant of the warm-up.", ge=NS_PER_S, le=DAY_NS)] = (
        120 * NS_PER_S
    )
    ageing: Annotated[RateOffset, Meta(description="Change of its rate per day.", ge=-_MOST_PPB, le=_MOST_PPB)] = 0.0
    swing: Annotated[
        RateOffset,
        Meta(description="Peak of a slow swing of its rate, as from temperature.", ge=0, le=_MOST_PPB),
    ] = 0.0
    swing_period: Annotated[Duration, Meta(description="Period of the swing.", ge=NS_PER_S, le=_YEAR_NS)] = DAY_NS
    ramps: Annotated[
        tuple[RampOptions, ...], Meta(description='Lasting changes: `[{at = "60s", by = "5ppm", over = "10s"}]`.')
    ] = ()

    def oscillator(self) -> Oscillator:
        """The oscillator with these options."""
        return Oscillator(
            ppm=self.rate_offset / 1000,
            ageing_ppm_per_day=self.ageing / 1000,
            swing_ppm=self.swing / 1000,
            swing_period_ns=self.swing_period,
            warm_up_ppm=self.warm_up / 1000,
            warm_up_ns=self.warm_up_time,
            ramps=tuple(Ramp(ramp.at, ramp.by / 1000, ramp.over) for ramp in self.ramps),
        )


class ChangeOptions(Table, frozen=True, kw_only=True):
    """Another grandmaster takes over."""

    at: Instant
    step: Annotated[
        Duration, Meta(description="How far its time is ahead of the one before.", ge=-_YEAR_NS, le=_YEAR_NS)
    ] = 0
    silence: Annotated[Duration, Meta(description="How long both are silent.", ge=0, le=DAY_NS)] = 3 * NS_PER_S


class SpanOptions(Table, frozen=True, kw_only=True):
    """A span of time in which something is absent or stopped."""

    at: Instant
    lasts: Annotated[Duration, Meta(description="For how long.", gt=0, le=_YEAR_NS)]


class GrandmasterOptions(Table, frozen=True, kw_only=True):
    """The reference of all clocks. Its time is true time apart from these options."""

    changes: Annotated[
        tuple[ChangeOptions, ...],
        Meta(description='Other grandmasters that take over: `[{at = "60s", step = "5us"}]`. Senders follow at once.'),
    ] = ()
    silences: Annotated[
        tuple[SpanOptions, ...],
        Meta(description='When it is silent for clocks: `[{at = "60s", lasts = "2min"}]`. Senders still follow it.'),
    ] = ()


class ClockOptions(Table, frozen=True, kw_only=True):
    """The errors of a clock of the graph."""

    noise: Annotated[Duration, Meta(description="Standard deviation of its error after lock.", ge=0, le=NS_PER_S)] = (
        1000
    )
    noise_time: Annotated[Duration, Meta(description="Time constant of that error.", ge=1_000_000, le=DAY_NS)] = (
        10 * NS_PER_S
    )
    asymmetry: Annotated[
        Duration,
        Meta(
            description="Half the difference of the path delays in the two directions: a lasting, hidden error.",
            ge=-NS_PER_S,
            le=NS_PER_S,
        ),
    ] = 0
    first_error: Annotated[
        Duration,
        Meta(description="Largest error at the first messages of the grandmaster.", ge=0, le=NS_PER_S),
    ] = 20_000
    lock_time: Annotated[
        Duration,
        Meta(description="Time until it locks. A corrected error falls to 1/150 in it.", ge=0, le=DAY_NS),
    ] = 4 * NS_PER_S
    interval: Annotated[
        Duration, Meta(description="How often it publishes an estimate.", ge=1_000_000, le=60 * NS_PER_S)
    ] = 125_000_000
    restarts: Annotated[
        tuple[SpanOptions, ...],
        Meta(
            description='When it starts again without what it knew: `[{at = "60s", lasts = "800ms"}]`, the time until '
            "its first estimate."
        ),
    ] = ()


class NetworkOptions(Table, frozen=True, kw_only=True):
    """The network of a stream's packets and of clocks' messages."""

    delay: Annotated[Duration, Meta(description="Delay of every packet.", ge=0, le=10 * NS_PER_S)] = 100_000
    jitter: Annotated[
        Duration,
        Meta(description="Additional delay: its mean (exponential) or its maximum (uniform).", ge=0, le=10 * NS_PER_S),
    ] = 50_000
    jitter_shape: Annotated[
        Literal["exponential", "uniform"], Meta(description="Distribution of the additional delay.")
    ] = "exponential"
    burst: Annotated[
        Duration,
        Meta(
            description="Packets wait for the next multiple of this and arrive together, as over Wi-Fi; 0 for never.",
            ge=0,
            le=NS_PER_S,
        ),
    ] = 0
    loss: Annotated[Share, Meta(description="Share of packets that are lost.")] = 0.0
    loss_burst: Annotated[
        float, Meta(description="Mean number of packets that are lost together.", ge=1, le=100_000)
    ] = 1.0
    duplicate: Annotated[Share, Meta(description="Share of packets that arrive twice.")] = 0.0
    reorder: Annotated[Share, Meta(description="Share of packets that the next one overtakes.")] = 0.0
    packet_time: Annotated[
        Duration,
        Meta(description="Duration of a packet, of sources without that option.", ge=20_000, le=200_000_000),
    ] = 1_000_000


class CardOptions(OscillatorOptions, frozen=True, kw_only=True):
    """A sound card: its rate, and the accuracy of its driver."""

    block: Annotated[
        int,
        Meta(description="Frames of a callback; 0 for 64 to 512, as many as the link offset allows.", ge=0, le=65536),
    ] = 0
    blocks: Annotated[int, Meta(description="Blocks between a callback and what sounds: its latency.", ge=1, le=64)] = 2
    granularity: Annotated[
        int,
        Meta(
            description="Frames by which the hardware's pointer advances at a time; 0 for continuous.",
            ge=0,
            le=65536,
        ),
    ] = 1
    stamp_noise: Annotated[
        Duration, Meta(description="Standard deviation of the driver's timestamps.", ge=0, le=NS_PER_S)
    ] = 3_000
    callback_jitter: Annotated[Duration, Meta(description="Typical lateness of callbacks.", ge=0, le=NS_PER_S)] = 60_000
    late_callbacks: Annotated[Share, Meta(description="Share of very late callbacks.")] = 0.01
    late_by: Annotated[Duration, Meta(description="Mean additional lateness of those.", ge=0, le=NS_PER_S)] = 200_000
    stalls: Annotated[
        tuple[SpanOptions, ...],
        Meta(
            description='When no callback runs: `[{at = "60s", lasts = "5ms"}]`. One that outlasts the card\'s latency '
            "is an xrun: silence sounds, and the frames of that time are lost."
        ),
    ] = ()


class Scenario(Table, frozen=True, kw_only=True):
    """A deployment: grandmaster, clocks, network, this machine and its sound cards."""

    summary: Annotated[str, Meta(description="Summary in one line.")] = ""
    grandmaster: Annotated[GrandmasterOptions, Meta(description="The reference of all clocks.")] = GrandmasterOptions()
    clock: Annotated[ClockOptions, Meta(description="The graph's clocks.")] = ClockOptions()
    local: Annotated[OscillatorOptions, Meta(description="This machine's counter.")] = OscillatorOptions()
    network: Annotated[NetworkOptions, Meta(description="The network.")] = NetworkOptions()
    card: Annotated[CardOptions, Meta(description="The sound cards.")] = CardOptions()
