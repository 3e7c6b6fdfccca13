"""Phasegraph plugin: how a stream is fitted to a device that runs on another clock.

Registers compensators (strategies that choose how many input frames go into one output frame) and the resamplers
that they control. See README.md for every kind and option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phasegraph import hookimpl

if TYPE_CHECKING:
    from phasegraph import CompensatorKind, ResamplerKind


@hookimpl
def register_compensators() -> list[CompensatorKind[Any]]:
    """The strategies of this plugin."""
    from phasegraph import CompensatorKind

    from .buffer_feedback import BufferFeedback, BufferFeedbackConfig
    from .combined import Combined
    from .feed_forward import FeedForward, FeedForwardConfig
    from .none import NoneConfig, make

    return [
        CompensatorKind(
            kind="combined",
            summary="The device's measured rate, and slow feedback of the position: an exact latency.",
            config=FeedForwardConfig,
            factory=Combined,
            example='[compensators.align]\nkind = "combined"\n',
        ),
        CompensatorKind(
            kind="ptp-feed-forward",
            summary="The device's measured rate alone: the smoothest pitch, with a latency that drifts a little.",
            config=FeedForwardConfig,
            factory=FeedForward,
            example='[compensators.smooth]\nkind = "ptp-feed-forward"\nresync-after = "5ms"\n',
        ),
        CompensatorKind(
            kind="buffer-feedback",
            summary="Keeps the buffer's smoothed level: needs no reference clock, has no exact latency.",
            config=BufferFeedbackConfig,
            factory=BufferFeedback,
            example='[compensators.level]\nkind = "buffer-feedback"\nlatency = "20ms"\n',
        ),
        CompensatorKind(
            kind="none",
            summary="No compensation: refuses a clock-domain crossing, or slips by whole frames where allowed.",
            config=NoneConfig,
            factory=make,
            example='[compensators.raw]\nkind = "none"\nallow-slips = true\n',
        ),
    ]


@hookimpl
def register_resamplers() -> list[ResamplerKind]:
    """The variable-ratio resamplers of this plugin."""
    from phasegraph import ResamplerKind, call_imported

    return [
        ResamplerKind(
            kind="sinc",
            summary="Windowed sinc of 64 frames: linear phase, exact position, THD+N below -140 dB up to 20 kHz.",
            factory=call_imported("phasegraph_compensation.resamplers.sinc:SincResampler"),
        ),
        ResamplerKind(
            kind="soxr",
            summary="The variable-rate mode of libsoxr: THD+N below -115 dB, not of linear phase, 5 ms ahead.",
            factory=call_imported("phasegraph_compensation.resamplers.soxr:SoxrResampler"),
        ),
    ]
