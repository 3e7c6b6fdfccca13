import numpy as np
import pytest

from phasegraph_sinks.meter.level_meter import LevelMeter, LevelSettings

RATE = 48_000
S = 1_000_000_000
BLOCK = RATE // 5


def meter_of(channels=2, **changes):
    settings = {
        "rate": RATE,
        "channels": channels,
        "weights": (1.0, 1.0),
        "silence_level": 0.001,
        "silence_ns": 2 * S,
        "overload_level": 0.999,
        "stuck_ns": S,
    } | changes
    return LevelMeter(LevelSettings(**settings), 0)


def play(meter, frames, block=BLOCK, begin_ns=0):
    """Events with the time of their block, in tenths of a second."""
    events = []
    for at in range(0, len(frames), block):
        part = frames[at : at + block]
        now = begin_ns + (at + len(part)) * S // RATE
        events += [(round(now / S, 2), event.name, event.fields) for event in meter.measure(part, now)]
    return events


def noise(seconds, channels=2, level=0.1, seed=1):
    uniform = np.random.default_rng(seed).uniform(-level, level, (round(seconds * RATE), channels))
    return uniform.astype(np.float32)


def test_peaks_are_of_the_last_second():
    meter = meter_of(weights=())
    frames = noise(3)
    frames[100, 1] = -0.5
    play(meter, frames[: RATE // 2])
    assert meter.figures().peaks_dbfs == pytest.approx((-20.0, -6.02), abs=0.02)
    play(meter, frames[RATE // 2 :])
    assert meter.figures().peaks_dbfs == pytest.approx((-20.0, -20.0), abs=0.02)


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (lambda left: left, 1.0),
        (lambda left: -left, -1.0),
        (lambda left: 0 * left, None),
        (lambda left: 0.1 * left, 1.0),
    ],
)
def test_phase_of_a_pair(right, expected):
    frames = noise(1, 3)
    frames[:, 1] = right(frames[:, 0])
    meter = meter_of(3)
    play(meter, frames)
    (correlation,) = meter.figures().correlations  # the third channel has no partner
    assert correlation == expected


def test_channels_that_have_nothing_in_common_have_no_phase():
    meter = meter_of()
    play(meter, noise(1))
    assert meter.figures().correlations[0] == pytest.approx(0, abs=0.03)


def test_silence_begins_and_ends():
    meter = meter_of()
    frames = np.concatenate([noise(1), noise(3, level=0.0009), noise(1)])
    events = play(meter, frames)
    assert [(at, name) for at, name, _ in events] == [(3.0, "silence"), (4.2, "silence_ended")]
    assert events[0][2] == {"silent_ns": 2 * S}


def test_frames_that_do_not_come_are_silence_too():
    meter = meter_of()
    play(meter, noise(1))
    none = np.empty((0, 2), np.float32)
    assert meter.measure(none, 3 * S - 1) == []
    assert [event.name for event in meter.measure(none, 3 * S)] == ["silence"]
    assert meter.figures().trouble == "silence"


@pytest.mark.parametrize("block", [BLOCK, 997, *(pytest.param(it, marks=pytest.mark.slow) for it in (2, 1))])
@pytest.mark.parametrize(("run", "overloads"), [(2, 0), (3, 1), (50, 1)])
def test_samples_in_a_row_at_full_scale_are_an_overload(block, run, overloads):
    frames = noise(0.1)
    frames[1000 : 1000 + run, 1] = 1.0
    frames[3000 : 3000 + run, 0] = -1.0
    frames[3000 + run + 1, 1] = 1.0
    meter = meter_of(weights=(), true_peak=False)
    play(meter, frames, block)
    assert meter.figures().overloads == 2 * overloads


def test_an_overload_is_an_alarm_until_a_second_after_it():
    frames = noise(4)
    frames[RATE : 2 * RATE, 1] = 1.0
    meter = meter_of(stuck_ns=10 * S)
    events = play(meter, frames)
    assert [(at, name) for at, name, _ in events] == [(1.2, "overload"), (3.0, "overload_ended")]
    assert meter.figures().overloads == 1
    assert meter.figures().trouble == ""


@pytest.mark.parametrize("block", [BLOCK, 9_000, 12_345])
@pytest.mark.parametrize("begin", [0, 10_000, 10_001])
def test_a_sample_that_repeats_is_stuck(block, begin):
    frames = noise(4)
    frames[begin : begin + round(1.1 * RATE), 1] = 0.25
    meter = meter_of()
    events = play(meter, frames, block)
    assert [name for _, name, _ in events] == ["sample_stuck", "sample_moves"]
    at, _, fields = events[0]
    assert fields == {"channels": "2"}
    assert begin / RATE + 1 <= at + 0.01 <= begin / RATE + 1.1 + block / RATE


@pytest.mark.parametrize(("value", "seconds"), [(0.0, 3.0), (0.25, 0.9)])
def test_silence_and_short_repetitions_are_not_stuck(value, seconds):
    frames = noise(4)
    frames[RATE : RATE + round(seconds * RATE), 0] = value
    assert play(meter_of(silence_ns=10 * S), frames) == []


def test_samples_that_are_no_numbers_do_no_harm():
    frames = noise(4)
    frames[100] = np.nan
    frames[200, 0] = np.inf
    meter = meter_of()
    play(meter, frames)
    figures = meter.figures()
    assert figures.peaks_dbfs == pytest.approx((-20, -20), abs=0.02)
    assert -30 < figures.short_term_lufs < -15
    assert figures.trouble == ""
