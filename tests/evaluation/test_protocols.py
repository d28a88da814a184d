"""The protocols: on features that are the class, on noise, and on what lies between."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rspnet.data.index import new_row, to_dataset
from rspnet.errors import ConfigError, VideoError
from rspnet.evaluation.found import compared
from rspnet.evaluation.interval import interval
from rspnet.evaluation.neighbours import recall
from rspnet.evaluation.predict import Outputs
from rspnet.evaluation.probes import PROBES
from rspnet.evaluation.protocols import PROTOCOLS, cluster, few_shot
from stages.evaluate import ON_CLIPS, ON_FEATURES

CLASSES = ["a", "b", "c", "d"]


def outputs(tmp_path, number, values, *, name="v{}.mp4", classes=CLASSES):
    """Videos of each class in turn, one of them unreadable, with these features of the labels."""
    labels = [classes[place % len(classes)] for place in range(number + 1)]
    rows = [new_row(name.format(place, label, place // 8), str(tmp_path), label) for place, label in enumerate(labels)]
    index = to_dataset(rows, tmp_path)
    read = torch.tensor([place for place in range(number + 1) if place != 2])
    labels = torch.tensor(index["label"])[read]
    return Outputs(index, read, values(labels), {2: "broken"})


def noise(labels, seed=0):
    return torch.randn(len(labels), 16, generator=torch.Generator().manual_seed(seed + len(labels)))


def the_class(labels):
    return torch.eye(len(CLASSES))[labels]


def between(labels):
    return 1.3 * torch.nn.functional.pad(the_class(labels), (0, 12)) + noise(labels)


def test_the_stage_names_them_all():
    assert tuple(PROTOCOLS) == ON_FEATURES
    assert (*PROBES, "pretext") == ON_CLIPS


@pytest.mark.parametrize("protocol", ["retrieval", "knn", "linear", "few_shot", "cluster"])
@pytest.mark.parametrize("values", [the_class, noise, between])
def test_they_measure(tmp_path, protocol, values):
    tested, known = outputs(tmp_path, 200, values), outputs(tmp_path, 120, values)
    score = PROTOCOLS[protocol](tested, known).score
    found = {
        "retrieval": lambda: {k: (score["recall"][k], score["chance"][k]) for k in ("1", "5")},
        "few_shot": lambda: {k: (value, score["chance_top1"]) for k, value in score["top1"].items()},
        "cluster": lambda: {"v_measure": (score["v_measure"], score["chance_v_measure"])},
    }.get(protocol, lambda: {"top1": (score["top1"], score["chance_top1"])})()
    for name, (value, chance) in found.items():
        if values is the_class and score["interval"][name] is None:  # all draws are alike
            assert (protocol in ("few_shot", "cluster"), value) == (True, pytest.approx(100))
            continue
        low, high = score["interval"][name]
        assert low <= value <= high
        if values is the_class and protocol != "cluster":  # of which k-means may divide one
            assert (value, low, high) == (100, *interval(100, 200))
        elif values is noise:
            assert abs(value - chance) < 9
        else:
            assert value > chance + 5


def test_intervals_are_over_films_where_names_tell_them(tmp_path):
    scores = []
    for name in ("v{}.mp4", "film{2}_{1}_u_nm_np1_ba_goo_{0}.mp4"):
        tested = outputs(tmp_path, 100, between, name=name)
        scores.append(PROTOCOLS["knn"](tested, outputs(tmp_path, 120, between)).score)
    assert [score["interval_over"] for score in scores] == ["videos", "13 films"]
    assert scores[1]["top1"] == scores[0]["top1"]
    assert scores[1]["interval"]["top1"] != scores[0]["interval"]["top1"]


def test_recall_is_that_of_the_published_protocol(tmp_path):
    tested, known = outputs(tmp_path, 90, between), outputs(tmp_path, 120, between)
    found = PROTOCOLS["retrieval"](tested, known)
    plain = recall(tested.values, tested.labels, gallery_features=known.values, gallery_labels=known.labels)
    assert found.score["recall"] == {str(k): value for k, value in plain.items()}
    assert len(found.lines) == 90
    assert all(len(line["neighbours"]) == 10 for line in found.lines)


def test_few_shots_of_one_class_are_refused(tmp_path):
    tested, known = (outputs(tmp_path, number, noise, classes=["a"]) for number in (8, 9))
    with pytest.raises(ConfigError, match="few_shot; the training videos are of one class only"):
        few_shot(tested, known)


def test_few_shots_say_how_many_there_were(tmp_path):
    known = outputs(tmp_path, 11, between)
    found = few_shot(outputs(tmp_path, 40, between), known).score
    assert found["fewest_of_a_class"] == int(np.bincount(known.labels).min()) == 2
    assert list(found["top1"]) == ["1", "5", "8", "10"]
    other = replace(known, rows=known.rows[known.labels != 3], values=known.values[known.labels != 3])
    assert few_shot(outputs(tmp_path, 40, between), other).score["fewest_of_a_class"] == 0


def test_clusters_of_one_class_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cluster; the test videos are of one class only"):
        cluster(outputs(tmp_path, 8, noise, classes=["a"]))


def test_clusters_need_no_training_videos(tmp_path):
    tested = outputs(tmp_path, 60, between)
    assert cluster(tested).score == cluster(tested, tested).score


@pytest.mark.parametrize("protocol", ["retrieval", "knn", "linear", "few_shot", "cluster"])
def test_a_network_is_compared_with_another_video_by_video(tmp_path, protocol):
    """Of two that are right about the same videos the difference is 0, and within what so many leave open."""
    one, other = ((outputs(tmp_path, 100, each), outputs(tmp_path, 120, each)) for each in (between, noise))
    found = PROTOCOLS[protocol](*one)
    ahead = compared(found, PROTOCOLS[protocol](*other))
    for name, (low, high) in ahead["difference_interval"].items():
        assert low <= ahead["difference"][name] <= high
    name = next(iter(ahead["difference"]))
    value = {"retrieval": "recall", "cluster": "v_measure"}.get(protocol, "top1")
    of = [score[value][name] if isinstance(score[value], dict) else score[value] for score in (found.score, ahead)]
    assert ahead["difference"][name] == pytest.approx(of[0] - of[1])
    assert ahead["difference_interval"][name][0] > 0
    same = compared(found, PROTOCOLS[protocol](*one))
    assert set(same["difference"].values()) == {0}
    ends = None if protocol in ("few_shot", "cluster") else (-interval(0, 100)[1], interval(0, 100)[1])
    assert set(same["difference_interval"].values()) == {ends}
    assert "class_accuracy" not in same


@pytest.mark.parametrize("protocol", ["knn", "few_shot", "cluster"])
def test_without_pairs_nothing_is_compared(tmp_path, protocol):
    """Nor where as many videos could be read each time, but not the same ones."""
    known = outputs(tmp_path, 120, between)
    one, fewer = (outputs(tmp_path, number, between) for number in (100, 99))
    others = replace(one, rows=torch.cat([one.rows[1:3], torch.tensor([2]), one.rows[3:]]))
    found = PROTOCOLS[protocol](one, known)
    for other in (fewer, others):
        with pytest.raises(VideoError, match="read for one network and not for the other"):
            compared(found, PROTOCOLS[protocol](other, known))


def test_a_class_is_not_looked_for_in_ones_own_film(tmp_path):
    """Features that are the film: all neighbours are of one's film and class, and tell nothing."""
    name = "film{2}_{1}_u_nm_np1_ba_goo_{0}.mp4"
    tested = outputs(
        tmp_path, 160, lambda labels: torch.eye(21)[torch.arange(161)[torch.arange(161) != 2] // 8], name=name
    )
    found = PROTOCOLS["retrieval"](tested)
    assert found.score["interval_over"] == "21 films"
    assert found.score["chance"]["1"] < 27
    assert found.score["recall"]["1"] < 60
    assert all(line["neighbours"][0]["video"].split("_")[0] == line["video"].split("_")[0] for line in found.lines[:-1])
    counted = [line["nearest_of_another_film"] for line in found.lines]
    assert all(near["video"].split("_")[0] != line["video"].split("_")[0] for near, line in zip(counted, found.lines))
    right = [near["label"] == line["label"] for near, line in zip(counted, found.lines)]
    assert 100 * np.mean(right) == pytest.approx(found.score["recall"]["1"])


def test_of_one_film_alone_nothing_is_nearest_elsewhere(tmp_path):
    tested = outputs(tmp_path, 6, noise, name="film_{1}_u_nm_np1_ba_goo_{0}.mp4")
    found = PROTOCOLS["retrieval"](tested)
    assert found.score["recall"]["50"] == 0
    assert [line["nearest_of_another_film"] for line in found.lines] == [None] * 6
    assert all(len(line["neighbours"]) == 5 for line in found.lines)
    assert "nearest_of_another_film" not in PROTOCOLS["retrieval"](tested, outputs(tmp_path, 20, noise)).lines[0]
