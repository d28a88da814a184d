"""Probes of motion: against a slow version, and on features of which the answer is known."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from rspnet.data.index import new_row, to_dataset
from rspnet.data.speed_clips import SpeedPicker
from rspnet.errors import ConfigError
from rspnet.evaluation.found import compared
from rspnet.evaluation.interval import interval
from rspnet.evaluation.played import Played
from rspnet.evaluation.predict import Outputs
from rspnet.evaluation.probes import PLAYS, PROBES, Pairs, arrow_of_time, remarks, speed, told
from rspnet.evaluation.taught import sentence, table
from rspnet.running.results import summary
from tests.support import slow, waves

BOTH = tuple(dict.fromkeys([*PLAYS["speed"], *PLAYS["arrow_of_time"]]))


def played(tmp_path, number, feature, *, tops=None, name="v{}.mp4"):
    """Videos with these features of each way to play them."""
    index = to_dataset([new_row(name.format(place, place // 5), str(tmp_path)) for place in range(number)], tmp_path)
    tops = torch.full((number,), 4) if tops is None else torch.tensor(tops)
    values = torch.cat([tops[:, None].float(), *(feature(play, number) for play in BOTH)], dim=1)
    return Played(Outputs(index, torch.arange(number), values, {}), BOTH, SpeedPicker(8, 2))


def noise(play, number):
    seed = BOTH.index(play) + 100 * number
    return torch.randn(number, 12, generator=torch.Generator().manual_seed(seed))


def the_answer(play, number):
    """But for the controls, which look alike."""
    value = play.speed + 10 * play.backwards if play.order == "real" else 0
    return torch.full((number, 2), float(value))


def between(play, number):
    value = play.speed + 2 * play.backwards if play.order == "real" else 0
    return noise(play, number) + 0.7 * value * torch.eye(12)[:2].sum(0)


@pytest.mark.parametrize("size", [(6, 9, 3), (14, 11, 2)])
def test_a_probe_is_that_of_gradient_descent_by_hand(size):
    known, tested, width = size
    draw = torch.Generator().manual_seed(known)
    ahead = torch.randn(width, generator=draw)

    def pairs(number):
        second = torch.randn(number, width, generator=draw)
        first = second + torch.randn(number, width, generator=draw) + ahead
        return Pairs(first, second, np.arange(number), np.zeros(number, int))

    one, other = pairs(known), pairs(tested)
    learnt = (one.first - one.second).tolist()
    examples = [[-value for value in row] for row in learnt] + learnt
    asked = (other.first - other.second).tolist()
    logits = slow.logistic_regression(examples, [0] * known + [1] * known, asked, 2, width / known)
    expected = [1.0 if yes > no else 0.0 for no, yes in logits]
    assert told(one, other).tolist() == expected
    assert set(expected) == {0, 1}
    swapped = told(one, Pairs(other.second, other.first, other.video, other.kind))
    assert swapped.tolist() == [1 - each for each in expected]


def test_features_that_are_the_same_are_a_draw():
    """Among others that differ, and where all differ by rounding alone."""
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 20, 4, generator=draw)
    second[3] = first[3]
    pairs = Pairs(first, second, np.arange(20), np.zeros(20, int))
    assert told(pairs, pairs)[3] == 0.5
    assert (told(pairs, pairs) == 0.5).sum() == 1
    rounding = Pairs(first, first * (1 + 1e-7 * torch.randn(20, 4, generator=draw)), pairs.video, pairs.kind)
    assert (told(rounding, rounding) == 0.5).all()


@pytest.mark.parametrize("probe", PROBES)
def test_what_is_known(tmp_path, probe):
    number = 150
    found = {
        feature.__name__: PROBES[probe](played(tmp_path, number, feature), played(tmp_path, 120, feature)).score
        for feature in (noise, the_answer, between)
    }
    assert found["the_answer"]["top1"] == 100
    assert found["the_answer"]["interval"]["top1"] == interval(100, number)
    for control in found["the_answer"]["controls"].values():
        assert control["top1"] == 50
        assert control["difference"] == 50
    for score in (found["noise"], *found["noise"]["controls"].values(), *found["between"]["controls"].values()):
        low, high = score["interval"]["top1"]
        assert low <= 50 <= high
        assert low <= score["top1"] <= high
    assert found["between"]["interval"]["top1"][0] > 55
    assert found["between"]["top1"] < 100
    for control in found["between"]["controls"].values():
        low, high = control["difference_interval"]
        assert 0 < low < control["difference"] < high
    for score in found.values():
        assert (score["chance_top1"], score["num_videos"], score["num_gallery"]) == (50, number, 120)
        assert (score["left_out"], score["interval_over"]) == (0, "videos")


def test_each_pair_of_speeds_is_told_apart(tmp_path):
    """A feature that stops at 2x tells nothing of 2x and 4x; the mean is over videos."""

    def stops(play, number):
        return torch.full((number, 1), float(min(play.speed, 2)))

    score = speed(played(tmp_path, 9, stops), played(tmp_path, 8, stops)).score
    assert {name: each["top1"] for name, each in score["pairs"].items()} == {"1x 2x": 100, "1x 4x": 100, "2x 4x": 50}
    assert {each["num_videos"] for each in score["pairs"].values()} == {9}
    assert score["top1"] == pytest.approx(250 / 3)


def test_videos_that_are_too_short(tmp_path):
    """For 4x: asked for less; for 2x: left out of speed; for a clip: left out of both. All is said, once."""
    tops = [4, 4, 2, 1, 0, 2, 4, 4]
    tested, known = played(tmp_path, 8, between, tops=tops), played(tmp_path, 9, between, tops=[4] * 7 + [0, 1])
    found = speed(tested, known).score
    assert (found["num_videos"], found["num_gallery"], found["left_out"]) == (6, 7, 4)
    assert {name: each["num_videos"] for name, each in found["pairs"].items()} == {"1x 2x": 6, "1x 4x": 4, "2x 4x": 4}
    arrow = arrow_of_time(tested, known).score
    assert (arrow["num_videos"], arrow["num_gallery"], arrow["left_out"]) == (7, 8, 2)
    assert remarks(["speed"], tested, known) == [
        "4 of 17 videos are shorter than a clip at 2x, 29 frames, and left out of speed",
        "2 of 17 videos are shorter than a clip at 4x, 57 frames, and compared at lower speeds only",
    ]
    assert remarks(["arrow_of_time"], tested, known) == [
        "2 of 17 videos are shorter than a clip at 1x, 15 frames, and left out of arrow_of_time"
    ]
    assert len(remarks(["speed", "arrow_of_time"], tested, known)) == 3
    assert remarks(["speed"], *[played(tmp_path, 5, between)] * 2) == []
    few = played(tmp_path, 8, between, tops=[2, 2, 4, 1, 1, 1, 0, 0])
    with pytest.raises(
        ConfigError, match="speed; only 7 videos to learn from and 3 to test are as long as a clip at 2x"
    ):
        speed(few, known)
    assert arrow_of_time(few, known).score["num_videos"] == 6


def test_films_are_drawn_where_names_tell_them(tmp_path):
    name = "v_Run_g{1:02d}_c{0:02d}.mp4"
    score = speed(played(tmp_path, 60, between, name=name), played(tmp_path, 40, between)).score
    assert score["interval_over"] == "12 films"


def test_of_one_film_there_is_no_interval(tmp_path):
    """Neither of the number, nor of its controls, nor of the difference to fresh weights."""
    known, one_film = played(tmp_path, 40, between), "v_Run_g01_c{:02d}.mp4"
    found, other = (speed(played(tmp_path, 6, feature, name=one_film), known) for feature in (between, noise))
    assert (found.score["interval"], found.score["interval_over"]) == ({"top1": None}, "1 film")
    assert [each["interval"]["top1"] for each in found.score["controls"].values()] == [None, None]
    assert [each["difference_interval"] for each in found.score["controls"].values()] == [None, None]
    assert set(compared(found, other)["difference_interval"].values()) == {None}
    result = {"protocol": "speed", "stage": "evaluate", **found.score, "random": compared(found, other)}
    text = summary(result)
    assert text.count(" [no interval: 1 film alone]") == 3
    assert "ahead of fresh weights by: accuracy" in text
    told = {"speed": result | {"num_videos": 6}}
    assert "nan" not in "".join(table(told)).lower()
    assert sentence(told) == (
        "Whether training taught anything is not known: 1 film alone was tested, which says nothing about others."
    )


@pytest.mark.parametrize("probe", PROBES)
def test_networks_are_compared_video_by_video(tmp_path, probe):
    one, other = (
        PROBES[probe](played(tmp_path, 80, feature), played(tmp_path, 60, feature)) for feature in (between, noise)
    )
    ahead = compared(one, other)
    assert list(ahead["difference"]) == ["top1", "shuffled", "still"]
    assert ahead["difference"]["top1"] == pytest.approx(one.score["top1"] - other.score["top1"])
    assert ahead["difference_interval"]["top1"][0] > 0
    assert ahead["controls"] == other.score["controls"]
    same = compared(one, one)
    assert set(same["difference"].values()) == {0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return waves.write_waves(tmp_path_factory.mktemp("waves"), 40)


@pytest.fixture(scope="module")
def seen(root):
    """What encoders say of the videos, half of them tested."""
    names = sorted(path.name for path in root.glob("*.mp4"))
    lists, accelerator = [waves.index_of(root, names[half::2]) for half in (0, 1)], Accelerator(cpu=True)
    networks = (waves.Mean(), waves.Differences(), waves.Brighter())
    return {type(each): [waves.shown(each, videos, accelerator, BOTH) for videos in lists] for each in networks}


def test_an_encoder_that_is_blind_to_order(seen):
    """Chance on the arrow of time, exactly; and of speed it tells shuffled what it tells."""
    score = arrow_of_time(*seen[waves.Mean]).score
    assert score["top1"] == 50
    assert score["controls"]["shuffled"]["top1"] == 50
    assert score["controls"]["still"]["top1"] > 90  # which picture is the brighter one it sees
    score = speed(*seen[waves.Mean]).score
    assert score["controls"]["shuffled"]["top1"] == score["top1"]


def test_an_encoder_that_sees_changes_tells_speed(seen):
    score = speed(*seen[waves.Differences]).score
    assert score["top1"] > 95
    assert score["controls"]["still"]["top1"] == 50
    assert score["controls"]["shuffled"]["top1"] > 95  # for waves that wander far do not come back
    assert arrow_of_time(*seen[waves.Differences]).score["top1"] == 50


def test_an_encoder_that_sees_it_get_brighter_tells_the_arrow_of_time(seen):
    score = arrow_of_time(*seen[waves.Brighter]).score
    assert score["top1"] == 100
    low, high = score["controls"]["shuffled"]["interval"]["top1"]
    assert low <= 50 <= high
    assert score["controls"]["still"]["top1"] == 50
