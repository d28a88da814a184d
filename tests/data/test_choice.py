"""Which of many videos are looked at."""

import pytest

from rspnet.data.choice import FEW, check_usable, chosen, drawn, named, status_of
from rspnet.data.index import write_rows
from rspnet.data.rows import new_row
from rspnet.errors import ConfigError, VideoError
from rspnet.video.opening import TimeLimitError

ROWS = [new_row(f"walk/{number:02d}.mp4", "/data") for number in range(30)]
ROWS[3] |= {"status": "broken", "reason": "no header"}


def videos(rows):
    return [row["video"] for row in rows]


def test_drawn_ones_are_usable_in_order_and_the_seeds():
    found = [videos(drawn(ROWS, 5, seed)) for seed in range(30)]
    assert found == [videos(drawn(ROWS, 5, seed)) for seed in range(30)]
    assert all(each == sorted(set(each)) and len(each) == 5 for each in found)
    assert set().union(*found) == set(videos(ROWS)) - {"walk/03.mp4"}
    assert videos(drawn(ROWS, 100, 0)) == [video for video in videos(ROWS) if video != "walk/03.mp4"]
    with pytest.raises(ConfigError, match=r"no video is usable of 1: the first, walk/03\.mp4, is broken"):
        drawn(ROWS[3:4], 5, 0)


def test_named_ones_by_name_or_path_each_once():
    names = ["walk/07.mp4", "/data/walk/03.mp4", "./walk/07.mp4"]
    assert videos(named(ROWS, names)) == ["walk/07.mp4", "walk/03.mp4"]
    with pytest.raises(ConfigError, match=r"walk/7.mp4: is not one of these 30 videos; did you mean walk/\d7.mp4"):
        named(ROWS, ["walk/7.mp4"])
    with pytest.raises(ConfigError, match=r"videos: x: is not one .*; their names look like walk/00\.mp4"):
        named(ROWS, ["x"])


def test_all_files_that_are_given_but_a_few_of_a_folder(tmp_path):
    for number in range(FEW + 2):
        (tmp_path / f"{number:02d}.mp4").touch()
    files = sorted(map(str, tmp_path.glob("*.mp4")))
    write_rows([new_row(f"{number:02d}.mp4", str(tmp_path)) for number in range(FEW + 2)], str(tmp_path / "i.jsonl"))

    def number_of(sources, number=None, names=()):
        return len(chosen(sources, "folder", names=names, number=number, seed=0))

    assert number_of(files) == FEW + 2
    assert number_of(files, number=3) == 3
    for source in (str(tmp_path), str(tmp_path / "i.jsonl")):
        assert number_of([source]) == FEW
        assert number_of([source], number=9) == 9
        assert number_of([source], names=["03.mp4"]) == 1


def test_what_its_index_calls_damaged_is_not_looked_at():
    with pytest.raises(VideoError, match=r"walk/03\.mp4: is broken according to its index \(no header\)"):
        check_usable(ROWS[3])
    assert status_of(ROWS[3], VideoError("")) == "broken"
    check_usable(ROWS[4])
    check_usable(ROWS[4] | {"status": "ok"})


def test_why_a_video_is_not_looked_at(tmp_path):
    (tmp_path / "a.mp4").touch()
    row = new_row("a.mp4", str(tmp_path))
    assert status_of(row, VideoError("")) == "broken"
    assert status_of(row, TimeLimitError("")) == "timeout"
    assert status_of(row | {"status": "empty"}, VideoError("")) == "empty"
    assert status_of(new_row("b.mp4", str(tmp_path)), VideoError("")) == "missing"
