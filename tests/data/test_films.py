"""Windows of films: the frames that they say they show, in any number of processes, each frame decoded once."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from rspnet.clipspec import ClipSpec
from rspnet.data import films, sampling
from rspnet.data.films import FilmDataset
from rspnet.data.index import new_row, to_dataset
from rspnet.data.lanes import Lanes
from rspnet.data.loader import Loader
from rspnet.data.windows import Length, Windows
from rspnet.video import reader, streaming
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


def read(index, num_workers=0, windows=WINDOWS, missing=None, rows=None, clips=16, parts=None):
    """Of each window that comes: what its clips show, and its span; and which cannot be read, and why."""
    rows = range(len(index)) if rows is None else rows
    lanes = Lanes(rows, missing, parts)
    lanes.turns(num_workers)
    found, reasons, readers = {}, {}, {}
    for part in Loader(FilmDataset(index, windows, clips=clips), lanes, num_workers):
        numbers = [[number(frame) for frame in clip] for clip in part["clips"][0].numpy()]
        for place, span in enumerate(part["spans"]):
            key, views = (part["row"], part["first"] + place), len(numbers) // len(part["spans"])
            assert key not in found
            found[key] = span, numbers[place * views : (place + 1) * views]
            readers.setdefault(part["row"], set()).add(part["lane"])
        if part["reason"]:
            assert (part["row"], part["first"] + len(part["spans"])) not in reasons
            reasons[part["row"], part["first"] + len(part["spans"])] = part["reason"]
    return found, reasons, readers


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
    found, reasons, readers = read(index, num_workers)
    broken = {key: found.pop(key) for key in list(found) if key[0] == 5}
    assert found == by_hand(index)
    assert set(reasons) == {(4, 0), (5, len(broken))}
    assert "none.mp4: cannot be opened" in reasons[4, 0]
    assert "promised 350 frames, but only 300 decode" in reasons[5, len(broken)]
    assert {place: clips for (_, place), (_, clips) in broken.items()} == {
        place: clips for (row, place), (_, clips) in by_hand(index).items() if row == 0 and place < len(broken)
    }
    assert len(broken) >= 39
    assert all(len(lanes) == 1 for lanes in readers.values())


@pytest.mark.parametrize(("num_workers", "clips"), [(1, 4), (2, 4), (2, 12), (3, 4), (3, 2)])
def test_a_film_is_shared_by_all(index, num_workers, clips):
    found, reasons, readers = read(index, num_workers, clips=clips, parts=100, rows=[0])
    assert found == {key: value for key, value in by_hand(index).items() if key[0] == 0}
    assert not reasons
    assert len(readers[0]) > 1


def test_those_who_share_a_film_go_through_it_for_its_plan_once(index, monkeypatch):
    surveyed = []

    class Counted(reader.Survey):
        def __init__(self, container, stream):
            surveyed.append(container.name)
            super().__init__(container, stream)

    monkeypatch.setattr(reader, "Survey", Counted)
    lanes = Lanes([0], parts=100)
    lanes.turns(3)  # as of three processes, in this one
    opened = {part["lane"] for part in Loader(FilmDataset(index, WINDOWS, clips=4), lanes, 0)}
    assert len(opened) == 6
    assert len(surveyed) == 1


def test_behind_what_cannot_be_read_nobody_goes_on(index):
    found, reasons, _ = read(index, 3, clips=2, parts=100, rows=[5])
    reached = next(place for place in range(99) if (5, place) not in found)
    assert reached >= 39
    assert "but only 300 decode" in reasons[5, reached]
    assert all(place >= reached for _, place in reasons)


def test_of_a_damaged_film_all_lanes_read_what_one_does(tmp_path):
    """The plan by which its first window could not be read is no use to anybody else."""
    path = write_numbered(tmp_path / "damaged.mkv", 120, codec="mpeg4", size=(80, 80))
    with av.open(str(path)) as container:
        packet = bytes([*container.demux(video=0)][5])
    path.write_bytes(path.read_bytes().replace(packet, packet[:20] + bytes(len(packet) - 20)))
    index = to_dataset([new_row(path.name, str(tmp_path))], tmp_path)
    alone, shared = read(index), read(index, 1, clips=4, parts=100)
    assert len(alone[0]) == 15
    assert shared[:2] == alone[:2]


@pytest.mark.parametrize("name", ["short.mp4", "longer.mp4"])
def test_of_a_film_that_is_replaced_meanwhile_nobody_reads_on(index, tmp_path, name):
    film, other = tmp_path / "film.mp4", tmp_path / name
    film.write_bytes(Path(index[0]["root"], "long.mp4").read_bytes())
    write_numbered(other, 310 if name == "longer.mp4" else 40, size=(80, 80))
    lanes, found = Lanes([0], parts=100), {}
    lanes.turns(2)  # as of two processes, in this one
    dataset = FilmDataset(to_dataset([new_row("film.mp4", str(tmp_path))], tmp_path), WINDOWS, clips=4)
    for part in Loader(dataset, lanes, 0):
        if not found:
            other.replace(film)
        if part["row"] == 0:
            found[part["first"]] = part["spans"], part["reason"]
    assert len(found.pop(0)[0]) == 1
    assert found
    assert all("film.mp4: was replaced while it was read" in reason for _, reason in found.values())


def test_a_pass_may_begin_anywhere(index):
    whole, _, _ = read(index, rows=[0, 2])
    for first in (1, 17, 18, 40, 41):
        part, _, _ = read(index, missing={0: [(first, 41)]}, rows=[0, 2], num_workers=first % 2)
        assert part == {key: value for key, value in whole.items() if key[0] == 2 or key[1] >= first}
    ranges = [(0, 3), (4, 5), (10, 30), (39, 41)]
    wanted = {place for span in ranges for place in range(*span)}
    for num_workers in (0, 2):
        part, _, _ = read(index, num_workers, missing={0: ranges}, rows=[0], clips=4, parts=100)
        assert part == {(0, place): whole[0, place] for place in wanted}


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
    assert max(held) <= 15 + streaming.AT_ONCE


def test_another_frame_rate(index):
    clip = ClipSpec(4, 80, (0, 0, 0), (1, 1, 1), frame_rate=12.5)
    found, _, _ = read(index, windows=Windows(clip, Length(0.4, True)), rows=[3])
    assert [(span, clips) for span, clips in found.values()] == [
        ((0.0, 0.36, 0, 9), [[0, 2, 4, 6], [2, 4, 6, 8]]),
        ((0.4, 0.76, 10, 19), [[10, 12, 14, 16], [12, 14, 16, 18]]),
        ((0.56, 0.92, 14, 23), [[14, 16, 18, 20], [16, 18, 20, 22]]),
    ]


def test_a_window_shorter_than_a_clip_is_a_reason(index):
    found, reasons, _ = read(index, windows=Windows(CLIP, Length(0.2, True)), rows=[0, 1])
    assert not found
    assert all("a window of 0.2 s is 5 frames, but a clip spans 15" in reason for reason in reasons.values())
