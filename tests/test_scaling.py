"""The model of what large runs cost: what bounds one, and where its numbers come from."""

import dataclasses
import sys

import pytest

from tests.support.pages import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
import scaling

MACHINES = scaling.Machines(cores=16, inside=300e9, between=40e9)
STEP = {"c3d": {"steps": {"literal": {"videos_per_second": 5000.0}, "ours+bf16": {"videos_per_second": 640.0}}}}


def predict(gpus=8, gpu=STEP, **changes):
    return scaling.predict("c3d", gpus, dataclasses.replace(MACHINES, **changes), gpu=gpu, share=0.15)


def test_the_slower_of_reading_and_computing_is_what_counts():
    one = predict(gpus=1)
    assert one["videos_per_second"] == pytest.approx(640)
    assert (one["bound"], one["step_basis"], one["step_seconds"]) == ("computing", "measured, bf16", 0.05)
    few = predict(gpus=1, cores=4)
    reading, basis = scaling.reading_seconds("c3d", scaling.read_json("decode.json"))
    assert basis.startswith("measured")
    assert few["videos_per_second"] == pytest.approx(4 / reading)
    assert few["bound"] == "reading"
    assert predict(gpus=1, cores=few["cores_needed"])["bound"] == "computing"
    assert predict(gpus=1, cores=few["cores_needed"] - 1)["bound"] == "reading"


def test_more_gpus_send_more_and_a_slow_link_bounds_them():
    assert scaling.sent("c3d", 1) == (0, 0)
    gradients, clips = scaling.sent("c3d", 4)
    assert clips == 0.75 * 2 * 32 * 3 * 16 * 112**2 * 2
    assert gradients == pytest.approx(1.5 * 4 * 27.8e6, rel=0.05)
    inside, outside, slow = predict(gpus=8), predict(gpus=64), predict(gpus=64, between=1e8)
    assert 7.5 < inside["videos_per_second"] / 640 < 8
    assert 60 < outside["videos_per_second"] / 640 < inside["videos_per_second"] / 640 * 8
    assert slow["bound"] == "network of the cluster"


def test_a_network_that_nobody_has_measured_is_assumed_to_do_its_operations():
    rate, basis = scaling.step_rate("c3d", {"c3d": {"steps": {"ours": {"error": "out of memory"}}}}, 0.15)
    assert basis == "assumed"
    assert rate == pytest.approx(0.15 * 989e12 / (5 * 2 * 38.5e9), rel=0.03)  # five passes of 38.5 G multiplications
