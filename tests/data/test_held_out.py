"""Which videos are tested, and which are learnt from."""

import pytest

from rspnet.data.held_out import chosen, without_labels
from rspnet.data.index import new_row, to_dataset
from rspnet.errors import ConfigError

UCF = "v_{}_g{:02d}_c{:02d}.avi"


def index(tmp_path, names, **facts):
    told = facts or {"split": None}
    rows = [
        new_row(name, str(tmp_path), **{key: value(name) if callable(value) else value for key, value in told.items()})
        for name in names
    ]
    return to_dataset(rows, tmp_path)


def videos(lists):
    return set(lists.known["video"]), set(lists.tested["video"])


def test_the_official_split_needs_no_labels(tmp_path):
    split = {"a": "train", "b": "test", "c": "val", "d": None}.get
    known, tested = videos(without_labels(index(tmp_path, "abcd", split=split), 1, 0))
    assert (known, tested) == ({"a"}, {"b"})


def test_without_one_halves_are_drawn(tmp_path):
    names = [f"{place:02d}.mp4" for place in range(31)]
    found = [without_labels(index(tmp_path, names), 1, seed) for seed in (0, 0, 1)]
    known, tested = videos(found[0])
    assert known | tested == set(names)
    assert not known & tested
    assert abs(len(known) - len(tested)) == 1
    assert videos(found[1]) == (known, tested) != videos(found[2])
    assert found[0].told == f"no split: {len(tested)} of 31 videos are tested, drawn with run.seed"


@pytest.mark.parametrize("seed", range(8))
def test_a_film_is_in_one_half(tmp_path, seed):
    sizes = [20, 1, 1, 2, 3, 5, 8]
    names = [UCF.format("Run", film, clip) for film, size in enumerate(sizes) for clip in range(size)]
    lists = without_labels(index(tmp_path, names), 1, seed)
    halves = [{name.split("_c")[0] for name in half} for half in videos(lists)]
    assert not halves[0] & halves[1]
    assert len(halves[0] | halves[1]) == 7
    assert {len(half) for half in videos(lists)} == {20}
    assert lists.told == "no split: 20 of 40 videos are tested, drawn with run.seed, film by film (7)"


def test_videos_of_one_film_are_drawn_by_themselves(tmp_path):
    names = [UCF.format("Run", 1, clip) for clip in range(9)]
    lists = without_labels(index(tmp_path, names), 1, 0)
    assert {len(half) for half in videos(lists)} == {4, 5}
    assert "film" not in lists.told


def test_a_train_split_alone_is_none(tmp_path):
    lists = without_labels(index(tmp_path, "abcdefgh", split="train"), 1, 0)
    assert [len(half) for half in videos(lists)] == [4, 4]


def test_too_few_are_said_before_any_is_read(tmp_path):
    with pytest.raises(ConfigError, match="speed,arrow_of_time; 3 videos to learn from and 4 to test are too few"):
        chosen(index(tmp_path, "abcdefg"), [], ["speed", "arrow_of_time"], fold=1, seed=0)
    labelled, probed = chosen(index(tmp_path, "abcdefgh"), ["retrieval"], ["speed"], fold=1, seed=0)
    assert (len(labelled.tested), labelled.known, len(probed.tested), len(probed.known)) == (8, None, 4, 4)


def test_both_look_at_the_same_split(tmp_path):
    split, label = (lambda name: "train" if name < "e" else "test"), (lambda name: "x")
    labelled, probed = chosen(index(tmp_path, "abcdefgh", split=split, label=label), ["knn"], ["speed"], fold=1, seed=0)
    assert labelled is probed
    assert chosen(index(tmp_path, "abcdefgh", split=split, label=label), ["knn"], [], fold=1, seed=0)[1] is None
