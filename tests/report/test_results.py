"""The numbers of a run, with what they must be compared with."""

import pytest

from rspnet.evaluation.interval import interval
from rspnet.report.record import Record
from rspnet.report.results import measures, results
from tests.support.run_folders import write_run

RETRIEVAL = {
    "recall": {"1": 40.0, "5": 80.0},
    "chance": {"1": 10.0, "5": 40.0},
    "interval": {"1": [30.0, 50.0], "5": [70.0, 90.0]},
    "interval_over": "12 films",
    "num_queries": 50,
    "num_gallery": 90,
}
FEW_SHOT = {
    "fewest_of_a_class": 5,
    "top1": {"1": 20.0, "5": 30.0},
    "chance_top1": 10.0,
    "interval": {"1": [15.0, 25.0]},
    "interval_over": "draws",
    "num_draws": 10,
    "num_videos": 50,
}
CLUSTER = {"v_measure": 33.0, "chance_v_measure": 12.0, "num_videos": 50, "num_draws": 10}


def read(folder, **said):
    return Record.read(write_run(folder, "evaluate", **said))


def test_each_protocol_by_its_names(tmp_path):
    parts = {"retrieval": RETRIEVAL, "few_shot": FEW_SHOT, "cluster": CLUSTER}
    record = read(tmp_path / "e", protocol=",".join(parts), **parts)
    found = [(each.name, each.value, each.interval, each.chance) for each in measures(record)]
    assert found == [
        ("recall at 1", 40, (30, 50), 10),
        ("recall at 5", 80, (70, 90), 40),
        ("top-1 from 1 a class", 20, (15, 25), 10),
        ("top-1 from 5 a class", 30, None, 10),
        ("v-measure", 33, None, 12),
    ]
    html = results(record).html
    assert "Intervals are of 95 %, over 12 films (nearest neighbours), over draws (few-shot probe)." in html
    assert '<td class="figure">[30.0, 50.0]</td><td class="figure">10.0</td>' in html


def test_fresh_weights_stand_beside(tmp_path):
    random = {"top1": 50.0, "top5": 80.0, "difference": {"top1": 10.0}, "difference_interval": {"top1": [-2.0, 22.0]}}
    record = read(tmp_path / "e", protocol="knn", random=random)
    first = measures(record)[0]
    assert (first.fresh, first.ahead, first.ahead_interval) == (50, 10, (-2, 22))
    assert "+10.0 [-2.0, +22.0]" in results(record).html


def test_a_fine_tuned_network_has_an_interval_too(tmp_path):
    (top1, _) = measures(Record.read(write_run(tmp_path / "f", "finetune")))
    assert top1.interval == pytest.approx(interval(60, 5))
    for classes, chance in ((21, 500 / 21), (4, 100)):
        said = {"class_accuracy": dict.fromkeys(map(str, range(classes)), 60.0)}
        (_, top5) = measures(Record.read(write_run(tmp_path / str(classes), "finetune", **said)))
        assert (top5.name, top5.chance) == ("top-5", pytest.approx(chance))


def test_where_there_is_no_interval_none_is_made_up(tmp_path):
    """For a classifier there would be Wilson's, of videos that are all of one film."""
    record = read(tmp_path / "e", interval={"top1": None, "top5": None}, interval_over="1 film")
    assert [measure.interval for measure in measures(record)] == [None, None]
    assert "over 1 film. Where one film or video alone was tested" in results(record).html


def test_where_there_is_no_number(tmp_path):
    record = Record.read(write_run(tmp_path / "f", "finetune", result=None))
    assert results(record).note == "None yet: the run is not finished."
    unlabelled = read(tmp_path / "e", protocol="retrieval", num_queries=5, num_gallery=5, interval={})
    assert results(unlabelled).note.startswith("No number: the videos have no classes")
    assert results(Record.read(write_run(tmp_path / "p", "pretrain"))) is None


def test_a_protocol_that_nobody_has_told_of(tmp_path):
    said = {"protocol": "own", "accuracy": 90.0, "chance_accuracy": 50.0, "interval": {"accuracy": [80, 95]}}
    record = read(tmp_path / "e", **said)
    assert [(each.name, each.chance) for each in measures(record) if each.name == "accuracy"] == [("accuracy", 50)]
