"""What a scenario says, as options: described, with ranges and units, like those of a graph."""

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
    """A change of rate that stays."""

    at: Instant
    by: Annotated[RateOffset, Meta(description="By how much the rate changes.", ge=-_MOST_PPB, le=_MOST_PPB)]
    over: Annotated[Duration, Meta(description="How long the change takes.", ge=0, le=_YEAR_NS)] = 0


class OscillatorOptions(Table, frozen=True, kw_only=True):
    """How a crystal runs, against true time."""

    rate_offset: Annotated[
        RateOffset, Meta(description="How much it runs fast at the start.", ge=-_MOST_PPB, le=_MOST_PPB)
    ] = 0.0
    warm_up: Annotated[
        RateOffset,
        Meta(description="How much faster it runs when it has become warm.", ge=-_MOST_PPB, le=_MOST_PPB),
    ] = 0.0
    warm_up_time: Annotated[Duration, Meta(description="Time constant of becoming warm.", ge=NS_PER_S, le=DAY_NS)] = (
        120 * NS_PER_S
    )
    ageing: Annotated[
        RateOffset, Meta(description="How much faster it runs with every day.", ge=-_MOST_PPB, le=_MOST_PPB)
    ] = 0.0
    swing: Annotated[
        RateOffset,
        Meta(description="How far its rate swings to both sides, as temperature does.", ge=0, le=_MOST_PPB),
    ] = 0.0
    swing_period: Annotated[Duration, Meta(description="How long one swing takes.", ge=NS_PER_S, le=_YEAR_NS)] = DAY_NS
    ramps: Annotated[
        tuple[RampOptions, ...], Meta(description='Changes that stay: `[{at = "60s", by = "5ppm", over = "10s"}]`.')
    ] = ()

    def oscillator(self) -> Oscillator:
        """As the simulated world takes it."""
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
    silence: Annotated[Duration, Meta(description="How long clocks hear neither.", ge=0, le=DAY_NS)] = 3 * NS_PER_S


class SpanOptions(Table, frozen=True, kw_only=True):
    """A time during which something is not there, or stands still."""

    at: Instant
    lasts: Annotated[Duration, Meta(description="For how long.", gt=0, le=_YEAR_NS)]


class GrandmasterOptions(Table, frozen=True, kw_only=True):
    """The reference of all clocks. Its time is true time, but for what is said here."""

    changes: Annotated[
        tuple[ChangeOptions, ...],
        Meta(description='Other grandmasters that take over: `[{at = "60s", step = "5us"}]`. Senders follow at once.'),
    ] = ()
    silences: Annotated[
        tuple[SpanOptions, ...],
        Meta(description='When clocks do not hear it: `[{at = "60s", lasts = "2min"}]`. Senders still do.'),
    ] = ()


class ClockOptions(Table, frozen=True, kw_only=True):
    """What a clock of the graph makes of its grandmaster."""

    noise: Annotated[
        Duration, Meta(description="Standard deviation of its error once it has locked.", ge=0, le=NS_PER_S)
    ] = 1000
    noise_time: Annotated[
        Duration, Meta(description="Time constant with which that error wanders.", ge=1_000_000, le=DAY_NS)
    ] = 10 * NS_PER_S
    asymmetry: Annotated[
        Duration,
        Meta(
            description="Half of what the way to here is longer than the way back: a lasting error that nothing shows.",
            ge=-NS_PER_S,
            le=NS_PER_S,
        ),
    ] = 0
    first_error: Annotated[
        Duration, Meta(description="How wrong it may be when it first hears the grandmaster.", ge=0, le=NS_PER_S)
    ] = 20_000
    lock_time: Annotated[
        Duration,
        Meta(description="How long it takes to lock. An error that it corrects goes down to 1/150.", ge=0, le=DAY_NS),
    ] = 4 * NS_PER_S
    interval: Annotated[
        Duration, Meta(description="How often it publishes an estimate.", ge=1_000_000, le=60 * NS_PER_S)
    ] = 125_000_000


class NetworkOptions(Table, frozen=True, kw_only=True):
    """The way of a stream's packets, and of those that clocks exchange."""

    delay: Annotated[Duration, Meta(description="What every packet takes.", ge=0, le=10 * NS_PER_S)] = 100_000
    jitter: Annotated[
        Duration,
        Meta(description="On top: its mean (exponential) or the most (uniform).", ge=0, le=10 * NS_PER_S),
    ] = 50_000
    jitter_shape: Annotated[
        Literal["exponential", "uniform"], Meta(description="How the delay on top is distributed.")
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
        Meta(description="How much a packet holds, of sources that do not say.", ge=20_000, le=200_000_000),
    ] = 1_000_000


class CardOptions(OscillatorOptions, frozen=True, kw_only=True):
    """A sound card: how it runs, and how well its driver tells."""

    block: Annotated[
        int,
        Meta(description="Frames of a callback; 0 for 64 to 512, as many as the link offset allows.", ge=0, le=65536),
    ] = 0
    blocks: Annotated[int, Meta(description="Blocks between a callback and what sounds: its latency.", ge=1, le=64)] = 2
    granularity: Annotated[
        int,
        Meta(description="Frames by which the hardware's pointer moves on at a time; 0 for smoothly.", ge=0, le=65536),
    ] = 1
    stamp_noise: Annotated[
        Duration, Meta(description="Standard deviation of the driver's times.", ge=0, le=NS_PER_S)
    ] = 3_000
    callback_jitter: Annotated[Duration, Meta(description="How late callbacks run, typically.", ge=0, le=NS_PER_S)] = (
        60_000
    )
    late_callbacks: Annotated[Share, Meta(description="Share of callbacks that run much later.")] = 0.01
    late_by: Annotated[Duration, Meta(description="How much later those run, on average.", ge=0, le=NS_PER_S)] = 200_000
    stalls: Annotated[
        tuple[SpanOptions, ...],
        Meta(
            description='When no callback runs: `[{at = "60s", lasts = "5ms"}]`. One that outlasts the card\'s latency '
            "is an xrun: silence sounds, and the frames of that time are lost."
        ),
    ] = ()


class Scenario(Table, frozen=True, kw_only=True):
    """A deployment: grandmaster, clocks, network, this machine and its sound cards."""

    summary: Annotated[str, Meta(description="What it is like, in one line.")] = ""
    grandmaster: Annotated[GrandmasterOptions, Meta(description="The reference of all clocks.")] = GrandmasterOptions()
    clock: Annotated[ClockOptions, Meta(description="What the graph's clocks make of it.")] = ClockOptions()
    local: Annotated[OscillatorOptions, Meta(description="This machine's own counter.")] = OscillatorOptions()
    network: Annotated[NetworkOptions, Meta(description="The way of packets.")] = NetworkOptions()
    card: Annotated[CardOptions, Meta(description="The sound cards.")] = CardOptions()
