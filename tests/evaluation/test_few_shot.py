"""A few labels: the draws are mteb's, and a classifier learns what there is to learn."""

import numpy as np
import pytest

from rspnet.evaluation.few_shot import draws, few_shot_classes


def test_a_draw_has_so_many_of_each_class():
    labels = np.repeat([0, 1, 2], [20, 9, 3])
    for shots in (1, 5, 8):
        found = draws(labels, shots)
        assert len(found) == 10
        for places in found:
            assert len(set(places)) == len(places)
            assert np.bincount(labels[places]).tolist() == [shots, shots, min(3, shots)]
        assert len({tuple(sorted(places)) for places in found}) > 1
        assert all(np.array_equal(one, two) for one, two in zip(found, draws(labels, shots)))


@pytest.mark.filterwarnings("ignore")  # mteb's own
def test_draws_and_accuracies_are_those_of_mteb():
    pytest.importorskip("mteb", reason="mteb is not installed")
    from datasets import Dataset
    from mteb.abstasks.classification import AbsTaskClassification

    class Task(AbsTaskClassification):
        seed = 42

        def __init__(self):
            pass

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 100)
    features = rng.normal(size=(100, 6)).astype(np.float32) + labels[:, None]
    test_labels = rng.integers(0, 4, 60)
    test = rng.normal(size=(60, 6)).astype(np.float32) + test_labels[:, None]
    task, order, accuracies = Task(), None, []
    known, tested = (Dataset.from_dict({"label": each.tolist()}) for each in (labels, test_labels))
    for number, places in enumerate(draws(labels, 8)):
        _, order, theirs = task._undersample_data(known, number, order)
        assert theirs == places.tolist()
        chosen = known.select(theirs)
        scores, _ = task._run_experiment(chosen, tested, features[theirs], test, timer=None)
        accuracies.append(100 * scores["accuracy"])
    said = np.array(few_shot_classes(features, labels, test, shots=8))
    assert 100 * (said == test_labels).mean(1) == pytest.approx(accuracies)


@pytest.mark.parametrize("classes", [21, 101])
def test_one_video_of_each_of_many_classes_is_no_reason_to_warn(classes):
    labels, same = np.arange(2 * classes) % classes, np.tile(np.eye(classes, dtype=np.float32), (2, 1))
    assert (np.array(few_shot_classes(same, labels, same[:classes], shots=1)) == labels[:classes]).all()


def test_what_is_there_to_learn_is_learnt():
    rng = np.random.default_rng(0)
    labels, test_labels = np.arange(200) % 5, np.arange(100) % 5
    same = [np.eye(5, dtype=np.float32)[each] for each in (labels, test_labels)]
    assert (np.array(few_shot_classes(same[0], labels, same[1], shots=1)) == test_labels).all()
    noise = [rng.normal(size=(len(each), 16)).astype(np.float32) for each in (labels, test_labels)]
    said = np.array(few_shot_classes(noise[0], labels, noise[1], shots=10))
    assert 100 * (said == test_labels).mean() == pytest.approx(20, abs=5)
