"""How far apart two runs are, against slow and obvious versions."""

import numpy as np
import pytest

from rspnet.report.differences import differences, newcombe
from rspnet.report.record import Record
from tests.support.run_folders import write_lines, write_run


def read(folder, said=None, **result):
    write_run(folder, "evaluate", **{"protocol": "knn", **result})
    if said is not None:
        lines = [{"video": name, "label": "a", "predicted": ["a" if right else "b"]} for name, right in said.items()]
        write_lines(folder / "predictions.jsonl", lines)
    return Record.read(folder)


def test_by_pairs_of_the_same_videos(tmp_path):
    rng = np.random.default_rng(0)
    one = {f"{number}.mp4": bool(rng.random() < 0.8) for number in range(200)}
    two = {name: right and rng.random() < 0.8 for name, right in one.items()} | {"of two alone.mp4": True}
    (found,) = differences(read(tmp_path / "one", one), read(tmp_path / "two", two))
    ahead = np.array([100.0 * one[name] - 100.0 * two[name] for name in one])
    assert (found.ahead, found.pairs) == (pytest.approx(ahead.mean()), 200)
    drawn = [ahead[rng.integers(0, 200, 200)].mean() for _ in range(4000)]
    assert found.interval == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.6)
    (unpaired,) = differences(
        read(tmp_path / "3", top1=80.0, num_videos=200), read(tmp_path / "4", top1=64.0, num_videos=200)
    )
    assert unpaired.interval[1] - unpaired.interval[0] > found.interval[1] - found.interval[0]


def test_by_numbers_alone():
    """The example of Newcombe (1998), table II, (a): 56/70 and 48/80."""
    low, high = newcombe(80.0, 70, 60.0, others_number=80)
    assert (low / 100, high / 100) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_films_are_drawn_where_names_tell_them(tmp_path):
    said = {f"v_Archery_g{film:02d}_c{clip:02d}.avi": film % 2 == 0 for film in range(8) for clip in range(6)}
    wrong = dict.fromkeys(said, False)
    (films,) = differences(read(tmp_path / "one", said), read(tmp_path / "two", wrong))
    plain = {f"{number}.mp4": right for number, right in enumerate(said.values())}
    (videos,) = differences(read(tmp_path / "3", plain), read(tmp_path / "4", dict.fromkeys(plain, False)))
    assert films.ahead == videos.ahead == 50
    assert (films.pairs, films.films, videos.pairs, videos.films) == (48, 8, 48, None)
    assert films.interval[0] < videos.interval[0] - 5


def test_what_is_not_comparable(tmp_path):
    one = read(tmp_path / "one", top1=80.0)
    assert differences(one, read(tmp_path / "other videos", top1=60.0, data_fingerprint="f")) == []
    assert differences(one, Record.read(write_run(tmp_path / "p", "pretrain"))) == []
    assert differences(one, read(tmp_path / "other protocol", protocol="linear")) == []
    assert differences(read(tmp_path / "2", {"a.mp4": True}, data_fingerprint="f"), one) == []
