"""Rates and durations: a header's promise where it fits the frames' own times, else those."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from rspnet.video.reader import inspect
from rspnet.video.times import Timeline, in_order, promised_rate
from tests.support.numbered import write_numbered


def a_stream(rate=None, unit=Fraction(1, 1000), duration=None, name="matroska,webm"):
    container = SimpleNamespace(format=SimpleNamespace(name=name))
    return SimpleNamespace(
        average_rate=rate and Fraction(rate),
        guessed_rate=None,
        base_rate=None,
        time_base=unit,
        duration=duration,
        container=container,
    )


def paced(times, rate=None, unit=Fraction(1, 1000), name="matroska,webm", lengths=None, duration=None, decoded=None):
    timeline = Timeline(a_stream(rate, unit, duration, name), name)
    for place, time in enumerate(times):
        timeline.note(time, decoded[place] if decoded else time, lengths[place] if lengths else 0, size=100)
    order = sorted(range(len(times)), key=times.__getitem__) if None not in times else range(len(times))
    return timeline.pace(order)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(240)])
def test_a_promise_that_fits_is_kept_to_the_digit(rate):
    times = [round(1000 * index / rate) for index in range(300)]
    for start in (0, 7, 1_000_000, -500):
        pace = paced([time + start for time in times], rate)
        assert pace.rate == rate
        assert pace.seconds == pytest.approx(300 / float(rate), abs=0.002)
        assert pace.moments is None


def test_a_browsers_recording():
    """Promised are 1000 frames per second, each of a millisecond: the tick of its clock."""
    times = [40 * index for index in range(250)]
    for promise in (None, 1000, 500):
        pace = paced(times, promise, lengths=[1] * 250)
        assert (pace.rate, pace.seconds, pace.moments) == (25, 10, None)
    assert promised_rate(a_stream(1000)) == 0
    assert promised_rate(a_stream(240, Fraction(1, 240))) == 240


def test_half_the_promise():
    """Two packets to a frame, or a header that counts what is never shown."""
    for count in (2, 3, 10, 300):
        pace = paced([40 * index for index in range(count)], 50, lengths=[40] * count)
        assert pace.rate == 25
        assert pace.seconds == pytest.approx(count / 25)


def test_a_lost_frame_changes_nothing_but_the_duration():
    times = [40 * (index + (index > 50)) for index in range(100)]
    pace = paced(times, 25)
    assert (pace.rate, pace.moments) == (25, None)
    assert pace.seconds == pytest.approx(101 / 25)


def test_a_rate_that_varies():
    times = [100, *(100 + 40 * index for index in range(1, 50)), *(2100 + 200 * index for index in range(50))]
    pace = paced(times, 25)
    assert pace.seconds == 12
    assert pace.rate == Fraction(100, 12)
    assert pace.moments.tolist() == [*(time - 100 for time in times), 12000]


def test_empty_packets_of_an_avi_let_time_pass():
    """Of 4 places each second and third is empty, one more at the end; decoding order is not display order."""
    timeline = Timeline(a_stream(20, Fraction(1, 20), name="avi"), "avi")
    for place in range(41):
        timeline.note(None, place, 1, size=0 if place % 4 in (1, 2) or place == 40 else 10)
    shown = [place for place in range(40) if place % 4 in (0, 3)]
    shown[1], shown[2] = shown[2], shown[1]
    pace = timeline.pace(shown)
    assert pace.seconds == pytest.approx(41 / 20)
    assert pace.rate == pytest.approx(20 / 2.05)


def test_times_of_decoding_where_others_are_missing():
    times = [None if index % 3 else 40 * index for index in range(30)]
    pace = paced(times, 50, decoded=[40 * index for index in range(30)])
    assert (pace.rate, pace.seconds) == (25, pytest.approx(1.2))


def test_no_times_at_all():
    assert paced([None] * 30, 25).seconds == pytest.approx(1.2)
    assert paced([0] * 30, 25).rate == 25
    assert paced([None] * 30).rate == 0
    assert paced([None] * 30).seconds is None
    assert paced([0], 25, duration=40).seconds == 0.04
    assert paced([0], 25, duration=40).rate == 25


def test_a_clock_that_is_set():
    """Back to its start in the middle, or a year ahead: the video goes on."""
    for length in (1000, 10_000):
        for second in (0, 10**10):
            times = [*range(0, length, 40), *range(second, second + length, 40)]
            timeline = Timeline(a_stream(25), "mpegts")
            for time in times:
                timeline.note(time, time, 40, size=100)
            pace = timeline.pace(range(len(times)))
            assert (pace.rate, pace.seconds, pace.moments) == (25, length / 500, None)


def test_slow_pictures_out_of_order():
    """A picture that is shown before one stored earlier, by however many seconds, sets no clock back."""
    places = [0, *(4 * group + place for group in range(10) for place in (4, 2, 1, 3))]
    for name in ("matroska,webm", "mpegts"):
        times = [10_000 * place for place in places]
        decoded = None if name != "mpegts" else [10_000 * (index - 2) for index in range(len(places))]
        pace = paced(times, Fraction(1, 10), name=name, lengths=[10_000] * len(places), decoded=decoded)
        assert (pace.rate, pace.seconds, pace.moments) == (Fraction(1, 10), 410, None)


def test_parts_that_an_edit_list_shows():
    """What is decoded for the second part alone goes back in time, and sets no clock back."""
    shown, read_ahead, before, then = range(10), range(10, 30), range(4, 10), range(10, 20)
    timeline, numbers = Timeline(a_stream(25), "mov,mp4,m4a,3gp,3g2,mj2"), []
    for part, hidden in ((shown, False), (read_ahead, True), (before, True), (then, False)):
        for place in part:
            timeline.note(40 * place, 40 * place, 40, size=100, hidden=hidden)
            numbers.append(None if hidden else len(numbers))
    pace = timeline.pace([number for number in numbers if number is not None])
    assert (pace.rate, pace.seconds, pace.moments) == (25, 0.8, None)


def test_a_promise_that_the_first_packets_contradict():
    places = [0, *(3 * group + place for group in range(7) for place in (3, 1, 2))]  # two B-frames to a P-frame
    for step, keeps in ((40, True), (33, False), (100, False)):
        timeline = Timeline(a_stream(25), "matroska,webm")
        assert timeline.keeps_promise()
        for place in places:
            timeline.note(step * place, None, step, size=100)
        assert timeline.keeps_promise() == keeps


def test_repeated_times():
    times = [40 * (index // 2) for index in range(100)]
    pace = paced(times, 50, lengths=[20] * 100)
    assert pace.rate == 50
    assert pace.seconds == pytest.approx(1.98)
    assert pace.moments is None


def test_the_promised_duration_where_it_fits():
    times = [33 * index for index in range(100)]
    assert paced(times, 30, duration=3320).seconds == 3.32
    assert paced(times, 30, duration=12_000).seconds == pytest.approx(3.3)


def test_times_in_rising_order():
    """Of decoding, for frames in display order: each gets the lowest that is left."""
    frames = [(0, "a"), (2, "b"), (3, "c"), (1, "d"), (6, "e"), (4, "f"), *((time, time) for time in range(7, 60))]
    assert list(in_order(frames[:6])) == [(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e"), (6, "f")]
    numbers = np.random.default_rng(0).permutation(16).tolist()
    assert [time for time, _ in in_order((time, None) for time in [*numbers, *range(16, 60)])] == list(range(60))


def test_rates_and_durations_that_are_lies(tmp_path):
    """Of a header; the frames' own times are kept, and a single frame lasts no longer than a frame can."""
    path = write_numbered(tmp_path / "a.mp4", 1)
    content = bytearray(path.read_bytes())
    for name, place in ((b"mvhd", 16), (b"mdhd", 16), (b"stts", 16)):  # 2**32 - 2 units of time
        at = content.index(name) + 4 + place - (4 if name == b"stts" else 0)
        content[at : at + 4] = b"\xff\xff\xff\xfe" if name != b"mvhd" else content[at : at + 4]
    path.write_bytes(content)
    for depth in ("probe", "decode"):
        found = inspect(path, depth)
        assert found["duration"] is None or found["duration"] <= 6 * 3600
        assert found["fps"] is None or found["fps"] > 1 / 30_000
