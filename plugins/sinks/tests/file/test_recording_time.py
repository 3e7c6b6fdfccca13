from datetime import UTC, datetime

import pytest

from phasegraph import MediaPosition
from phasegraph_sinks.file.recording_time import DAY_NS, RecordingTime, has_start, path_at

S = 1_000_000_000
HOUR = 3600 * S
DAY_S = datetime(2026, 11, 29, tzinfo=UTC).timestamp()


def at(seconds, rate=48_000, timescale="ptp"):
    """The frame at a number of seconds after midnight UTC of a day in 2026, of a clock that counts TAI or UTC."""
    return MediaPosition(round((DAY_S + seconds + 37 * (timescale == "ptp")) * rate), timescale)


@pytest.mark.parametrize("timescale", ["ptp", "utc"])
@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
@pytest.mark.parametrize(
    ("seconds", "split", "left_s"),
    [(0, HOUR, 3600), (3599, HOUR, 1), (1.5, HOUR, 3598.5), (86_399, DAY_NS, 1), (7230, 60 * S, 30)],
)
def test_a_file_ends_on_the_hour_of_utc(timescale, rate, seconds, split, left_s):
    time = RecordingTime(rate, 37, split)
    position = at(seconds, rate, timescale)
    left = time.frames_left(position)
    assert left == left_s * rate
    last, next = (MediaPosition(position.frame + count, timescale) for count in (left - 1, left))
    assert time.period(last) == time.period(position) == time.period(next) - 1
    assert time.start(next).timestamp() % (split // S) == 0


@pytest.mark.parametrize("split", [1_333_333_333, 1_000_000_007])
def test_every_frame_belongs_to_one_file_also_where_files_end_between_frames(split):
    time = RecordingTime(44_100, 37, split)
    position = at(5, 44_100)
    for _ in range(50):
        after = MediaPosition(position.frame + time.frames_left(position), "ptp")
        assert time.period(MediaPosition(after.frame - 1, "ptp")) == time.period(position)
        assert time.period(after) == time.period(position) + 1
        position = after


def test_one_file_has_no_end():
    assert RecordingTime(48_000, 37).frames_left(at(3599)) is None


@pytest.mark.parametrize(("seconds", "samples"), [(0, 0), (1, 48_000), (86_399.5, 86_399.5 * 48_000)])
def test_the_time_reference_counts_from_midnight(seconds, samples):
    assert RecordingTime(48_000, 37).samples_since_midnight(at(seconds)) == samples


def test_a_clock_without_a_time_of_day_counts_from_its_epoch():
    time = RecordingTime(48_000, 37, HOUR)
    assert time.utc_ns(MediaPosition(0, "arb")) == 0
    assert time.frames_left(MediaPosition(0, "arb")) == 3600 * 48_000


def test_names():
    start = RecordingTime(48_000, 37).start(at(3600))
    assert path_at("/r/{start:%Y/%m-%d}/stage-{start:%Y-%m-%dT%H%M%SZ}.wav", start) == (
        "/r/2026/11-29/stage-2026-11-29T010000Z.wav"
    )
    assert has_start("a-{start:%H}.wav")
    assert not has_start("a-{{b}}.wav")


@pytest.mark.parametrize("frame", [-(1 << 62), 1 << 62])
def test_no_time_is_outside_the_calendar(frame):
    assert RecordingTime(48_000, 37).start(MediaPosition(frame, "ptp")).year in (1970, 9999)


@pytest.mark.parametrize(
    "path", ["{}", "{0}", "{stop}", "{start.year}", "{start!r}", "{start:{start}}", "{start", "a}", "{start[0]}"]
)
def test_other_braces_are_refused(path, refused):
    refused(lambda: has_start(path), "by time", option="path")
