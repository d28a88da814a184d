"""Clusters: features that are the class are found, those that are noise are at chance; as in mteb."""

import random

import numpy as np
import pytest

from rspnet.evaluation.clusters import v_measures


def test_features_that_are_the_class_and_noise():
    labels = np.arange(200) % 5
    found, chance = v_measures(np.eye(5, dtype=np.float32)[labels], labels, size=400)
    assert len(found) == len(chance) == 10
    assert np.mean(found) > 80  # k-means may begin two clusters in one class
    assert max(found) == pytest.approx(100)
    noise = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    found, chance = v_measures(noise, labels, size=400)
    assert np.mean(found) == pytest.approx(np.mean(chance), abs=3)


def test_features_that_are_all_the_same():
    assert max(v_measures(np.zeros((20, 4), np.float32), np.arange(20) % 2, size=50)[0]) == 0


@pytest.mark.filterwarnings("ignore")  # mteb's own
def test_it_is_what_mteb_computes():
    pytest.importorskip("mteb", reason="mteb is not installed")
    from mteb.abstasks.clustering import _evaluate_clustering_bootstrapped

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 150)
    features = (rng.normal(size=(150, 10)) + 0.8 * labels[:, None]).astype(np.float32)
    theirs, _ = _evaluate_clustering_bootstrapped(
        features,
        [[label] for label in labels.tolist()],
        n_clusters=10,
        cluster_size=16_384,
        kmean_batch_size=512,
        max_depth=None,
        rng_state=random.Random(42),
        seed=42,
    )
    assert v_measures(features, labels)[0] == pytest.approx([100 * each for each in theirs["v_measure"]["Level 0"]])
