"""Windows of films: the frames that they say they show, in any number of processes, each frame decoded once."""

import os

import numpy as np
import pytest

from rspnet.clipspec import ClipSpec
from rspnet.data import films, sampling
from rspnet.data.films import FilmDataset, Lanes, PartRequest
from rspnet.data.index import new_row, to_dataset
from rspnet.data.loader import Loader
from rspnet.data.windows import Length, Windows
from rspnet.video.reader import inspect
from tests.support.numbered import number, write_numbered

LENGTHS = {"long.mp4": 300, "short.mp4": 10, "middle.mkv": 77, "exact.mp4": 24}
CLIP = ClipSpec(8, 80, (0, 0, 0), (1, 1, 1), stride=2)
WINDOWS = Windows(CLIP, Length(24, False), Length(7, False))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for name, length in LENGTHS.items():
        write_numbered(root / name, length, size=(80, 80), options={"bf": "3"})
    whole = (root / "long.mp4").read_bytes()
    (root / "none.mp4").write_bytes(whole[:1000])
    rows = [new_row(name, str(root)) for name in [*LENGTHS, "none.mp4"]]
    rows.append(new_row("long.mp4", f"{root}/.", num_frames=350))
    return to_dataset(rows, root)


def read(index, num_workers=0, windows=WINDOWS, begun=None, rows=None):
    """Of each window that comes: what its clips show, and its span; and why videos end early."""
    rows = range(len(index)) if rows is None else rows
    lanes = Lanes(rows, begun)
    lanes.turns(num_workers)
    found, reasons = {}, {}
    for part in Loader(FilmDataset(index, windows), lanes, num_workers):
        numbers = [[number(frame) for frame in clip] for clip in part["clips"][0].numpy()]
        for place, span in enumerate(part["spans"]):
            key, views = (part["row"], part["first"] + place), len(numbers) // len(part["spans"])
            assert key not in found
            found[key] = span, numbers[place * views : (place + 1) * views]
        if part["reason"]:
            assert part["total"] == part["first"] + len(part["spans"])
            reasons[part["row"]] = part["reason"]
    return found, reasons


def by_hand(index):
    found = {}
    for row, length in enumerate(LENGTHS.values()):
        starts = [start for start in range(0, length, 7) if start + 24 <= length] or [0]
        if starts[-1] + 24 < length:
            starts.append(length - 24)
        for place, start in enumerate(starts):
            end = min(start + 24, length)
            clips = sampling.even_clips(end - start, 8, 2, n=2) + start
            found[row, place] = (start / 25, end / 25, start, end), clips.tolist()
    return found


@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_windows_show_what_they_say(index, num_workers):
    found, reasons = read(index, num_workers)
    broken = {key: found.pop(key) for key in list(found) if key[0] == 5}
    assert found == by_hand(index)
    assert set(reasons) == {4, 5}
    assert "none.mp4: cannot be opened" in reasons[4]
    assert "promised 350 frames, but only 300 decode" in reasons[5]
    assert {place: clips for (_, place), (_, clips) in broken.items()} == {
        place: clips for (row, place), (_, clips) in by_hand(index).items() if row == 0 and place < len(broken)
    }
    assert len(broken) >= 39


def test_a_pass_may_begin_anywhere(index):
    whole, _ = read(index, rows=[0, 2])
    for first in (1, 17, 18, 40, 41):
        part, _ = read(index, begun={0: first}, rows=[0, 2], num_workers=first % 2)
        assert part == {key: value for key, value in whole.items() if key[0] == 2 or key[1] >= first}


def test_a_lost_process_is_replaced(index):
    lanes = Lanes(range(4))
    lanes.turns(2)
    loader = Loader(FilmDataset(index, WINDOWS), lanes, 2)
    spans = []
    for count, part in enumerate(loader):
        spans += [(part["row"], part["first"] + place) for place in range(len(part["spans"]))]
        if count == 2:
            os.kill(loader.pids[0], 9)
    assert sorted(spans) == sorted(by_hand(index))


def test_each_frame_is_converted_once_and_few_are_held(index, monkeypatch):
    rows = [dict(index[0]) | {"plan": inspect(f"{index[0]['root']}/long.mp4", "decode")["plan"]}]
    film = films.Film(rows[0], Windows(CLIP, Length(15, False), Length(1, False)), time_limit=60, max_pixels=2**30)
    made, real, held = [], films.stream, []

    def counted(video, wanted, **how):
        for pictures in real(video, wanted, **how):
            made.append(len(pictures))
            yield pictures

    monkeypatch.setattr(films, "stream", counted)
    out = np.empty((1, 8, 80, 80, 3), np.uint8)
    assert len(film.grid) == 286
    for window in range(286):
        film.read(window, out)
        assert [number(frame) for frame in out[0]] == list(range(window, window + 15, 2))
        held.append(len(film._pictures))
    film.close()
    assert sum(made) == 300
    assert max(held) <= 15 + 64


def test_another_frame_rate(index):
    clip = ClipSpec(4, 80, (0, 0, 0), (1, 1, 1), frame_rate=12.5)
    found, _ = read(index, windows=Windows(clip, Length(0.4, True)), rows=[3])
    assert [(span, clips) for span, clips in found.values()] == [
        ((0.0, 0.36, 0, 9), [[0, 2, 4, 6], [2, 4, 6, 8]]),
        ((0.4, 0.76, 10, 19), [[10, 12, 14, 16], [12, 14, 16, 18]]),
        ((0.56, 0.92, 14, 23), [[14, 16, 18, 20], [16, 18, 20, 22]]),
    ]


def test_a_window_shorter_than_a_clip_is_a_reason(index):
    found, reasons = read(index, windows=Windows(CLIP, Length(0.2, True)), rows=[0, 1])
    assert not found
    assert all("a window of 0.2 s is 5 frames, and a clip reaches over 15" in reason for reason in reasons.values())


def test_lanes_stay_with_a_video_and_ask_for_nothing_twice():
    lanes = Lanes([5, 6, 7], {6: 4})
    lanes.turns(1)
    totals, asked, seen = {5: 3, 6: 5, 7: 1}, [], 0
    requests = iter(lanes)
    waiting = [next(requests), next(requests)]
    while waiting:
        seen += 1
        request = waiting.pop(0)
        if request:
            asked.append(request[0])
            row, first = request[0]
            lanes.answered({"row": row, "first": first, "spans": [None], "total": totals[row], "clips": []})
        waiting += [found for found in [next(requests, None)] if found is not None]
    expected = [(5, 0), (6, 4), (5, 1), (7, 0), (5, 2)]
    assert asked == [PartRequest(*pair) for pair in expected]
