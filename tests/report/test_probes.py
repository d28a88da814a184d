"""Probes with their controls: what is drawn, and what is said of it."""

import pytest

from rspnet.report.probes import probes
from tests.support.findings import record, text_of


def score(value, low, high, **more):
    return {"top1": value, "interval": {"top1": [low, high]}, **more}


def speed(value, low, high, **more):
    controls = {"shuffled": score(55.0, 48.0, 62.0), "still": score(50.0, 44.0, 56.0)}
    facts = {"stage": "evaluate", "protocol": "speed", "chance_top1": 50.0, "num_videos": 200, "controls": controls}
    return score(value, low, high, **facts | more)


def text(tmp_path, result):
    return text_of(probes(record(tmp_path, result=result)).html)


def test_a_number_with_its_controls_and_fresh_weights(tmp_path):
    fresh = score(78.0, 70.0, 86.0, difference={"top1": 20.0}, difference_interval={"top1": [12.0, 28.0]})
    found = text(tmp_path, speed(98.0, 95.0, 100.0, random=fresh))
    assert (
        "above chance; better than with frames shuffled; better than with one frame repeated; ahead of fresh weights."
        in found
    )
    assert "98.0 [95.0, 100.0]" in found
    assert "frames shuffled 55.0 [48.0, 62.0]" in found
    assert "one frame repeated 50.0 [44.0, 56.0]" in found
    assert "fresh weights 78.0 [70.0, 86.0]" in found
    assert "+20.0 [+12.0, +28.0]" in found
    html = probes(record(tmp_path, result=speed(98.0, 95.0, 100.0, random=fresh))).html
    assert html.count('class="chance" x1="50.0%"') == 5  # beside the controls too, and no difference


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((45.0, 60.0), "not shown to be better than chance; not shown to be better than with frames shuffled"),
        ((40.0, 49.0), "below chance"),
        ((51.0, 61.9), "above chance; not shown to be better than with frames shuffled"),
    ],
)
def test_nothing_is_claimed_that_the_intervals_do_not_show(tmp_path, ends, said):
    assert said in text(tmp_path, speed(sum(ends) / 2, *ends))


@pytest.mark.parametrize(
    ("ends", "said"), [([1.0, 9.0], "above chance; better"), ([-1.0, 9.0], "not shown to be better")]
)
def test_paired_differences_tell_more_than_intervals(tmp_path, ends, said):
    controls = {"shuffled": score(55.0, 48.0, 62.0, difference=5.0, difference_interval=ends)}
    assert f"{said} than with frames shuffled." in text(tmp_path, speed(60.0, 53.0, 67.0, controls=controls))


@pytest.mark.parametrize(
    ("ends", "said"), [((-3.0, 5.0), "not shown to be ahead of fresh weights"), ((-9.0, -1.0), "behind fresh weights")]
)
def test_what_training_has_taught_is_not_claimed_either(tmp_path, ends, said):
    fresh = score(90.0, 85.0, 95.0, difference={"top1": sum(ends) / 2}, difference_interval={"top1": list(ends)})
    assert said in text(tmp_path, speed(91.0, 86.0, 96.0, random=fresh))


def test_several_protocols(tmp_path):
    few = {"top1": {"1": 20.0, "8": 40.0}, "interval": {"1": [15.0, 25.0], "8": [36.0, 44.0]}, "chance_top1": 10.0}
    near = {"recall": {"1": 30.0}, "interval": {"1": [25.0, 35.0]}, "chance": {"1": 10.0}}
    group = {"v_measure": 22.0, "interval": {"v_measure": [20.0, 24.0]}, "chance_v_measure": 21.0}
    result = {"protocol": "few_shot,retrieval,cluster", "few_shot": few, "retrieval": near, "cluster": group}
    found = text(tmp_path, result | {"stage": "evaluate"})
    for numbers in ("20.0 [15.0, 25.0]", "40.0 [36.0, 44.0]", "30.0 [25.0, 35.0]", "22.0 [20.0, 24.0]"):
        assert numbers in found
    assert found.count("above chance") == 3
    assert "few-shot probe, top-1 from 8 a class: above chance." in found
    assert found.count("not shown to be better than chance") == 1


def test_each_task_of_a_pretraining_is_told_of(tmp_path):
    fresh = {"rsp_accuracy": 60.0, "avid_top1": 50.0}
    fresh |= {"difference": {"rsp_accuracy": 5.0, "avid_top1": -9.0}}
    fresh |= {"difference_interval": {"rsp_accuracy": [1.0, 9.0], "avid_top1": [-15.0, -3.0]}}
    own = {"rsp_accuracy": 65.0, "avid_top1": 41.0, "chance": {"rsp_accuracy": 50.0, "avid_top1": 1.0}}
    own |= {"interval": {"rsp_accuracy": [60.0, 70.0], "avid_top1": [35.0, 47.0]}, "random": fresh}
    found = text(tmp_path, own | {"stage": "evaluate", "protocol": "pretext"})
    assert "RSP accuracy: above chance; ahead of fresh weights." in found
    assert "A-VID top-1: above chance; behind fresh weights." in found


def test_damaged_scores_are_passed_over(tmp_path):
    bad = speed(98.0, 95.0, 100.0, controls=["shuffled"])
    assert "above chance." in text(tmp_path, bad)
    assert probes(record(tmp_path, result={"stage": "evaluate", "protocol": "speed", "top1": "<b>"})) is None
    assert probes(record(tmp_path)) is None
    nasty = speed(98.0, 95.0, 100.0, controls={"<img>": score(1.0, 0.0, 2.0)})
    assert "<img>" not in probes(record(tmp_path, result=nasty)).html
