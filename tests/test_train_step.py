"""The step that ours is timed against is the published one: its pixels, its losses, its gradients, its queue.

And the benchmarks themselves run, on a network of a few channels.
"""

import argparse
import json
import random
import sys
from collections import defaultdict

import numpy as np
import pytest
import torch

from rspnet import create_encoder
from rspnet.data.sampling import random_area_crop
from tests.data.test_augment import PythonRandom
from tests.support.pages import REPO
from tests.support.replay_step import load_recipe

sys.path.insert(0, str(REPO / "benchmarks"))
import literal
import precision
import train
import train_step
from steps import Case, Way


def test_literal_augmentation_gives_the_published_pixels(shared):
    """Crop, resize, grey, jitter, flip, normalise, from one stream of draws; hue at the edges of its circle too."""
    frames = torch.from_numpy(np.random.default_rng(300).random((3, 20, 28, 3)) * 256).byte()
    with np.load(shared / "fixtures/augment_cases.npz") as published:
        for seed in range(8):
            draw = random.Random(seed)
            top, left, height, width = random_area_crop(PythonRandom(draw), 20, 28, area=(0.4, 1.0))
            clip = literal.augment(frames[:, top : top + height, left : left + width], 16, draw)
            np.testing.assert_allclose(clip, published[f"vid_seed{seed}"], rtol=0, atol=1e-5)
            assert draw.random() == published[f"vid_seed{seed}_next_random"]
        turned = literal.turn_hue(torch.from_numpy(published["edge_in"]), 0.25)
        np.testing.assert_allclose(turned, published["edge_hue_0.25"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("resnet18", 1), *(pytest.param(name, 3, marks=pytest.mark.slow) for name in ("resnet18", "c3d"))],
)
def test_literal_step_gives_the_published_losses_gradients_and_queue(shared, name, steps):
    recipe, recorded = load_recipe(shared / "fixtures"), np.load(shared / f"fixtures/step_{name}.npz")
    model = literal.Literal(create_encoder(name), queue_length=32)
    recipe.fill_module(model)
    model = model.double()
    optimizer = literal.sgd(model, 0.1)
    worst = defaultdict(float)

    def compare(what, ours, theirs, scale=None):
        ours, theirs = (np.asarray(each, dtype=np.float64) for each in (ours, theirs))
        error = np.abs(ours.reshape(theirs.shape) - theirs).max() / (scale or np.abs(theirs).max())
        worst[what] = max(worst[what], error)

    for step in range(steps):
        orders = [torch.from_numpy(recipe.draws(step, 4)[which]) for which in ("speed", "neg", "pos")]
        clips = (torch.from_numpy(recipe.clip_array(base + 10 * step, (4, 3, 32, 64, 64))) for base in (200, 201))
        optimizer.zero_grad()
        out = model(*(clip.double() for clip in clips), orders)
        out["loss"].backward()
        names = {"loss_avid": "loss_A", "loss_rsp": "loss_M", "logits_same": "logits1", "logits_other": "logits2"}
        for ours, theirs in (names | {"loss": "loss", "near": "l_pos_M", "far": "l_neg_M"}).items():
            compare(ours, out[ours].detach(), recorded[f"f64/step{step}/{theirs}"])
        norms = dict(zip(recorded["f32/param_names"], recorded[f"f64/step{step}/grad_norm_per_param"]))
        norms = {name: norm for name, norm in norms.items() if not np.isnan(norm)}
        gradients = {name: weight.grad.norm() for name, weight in model.named_parameters() if weight.grad is not None}
        assert gradients.keys() == norms.keys()
        for weight, norm in norms.items():
            compare("gradients", gradients[weight], norm, scale=max(norms.values()))
        optimizer.step()
        written = model.queue[:, recorded[f"f32/step{step}/queue_cols_written"]]
        compare("queue", written, recorded[f"f64/step{step}/queue_written"])
        assert model.queue_ptr.item() == recorded[f"f32/step{step}/queue_ptr"].item()
        sums = dict(zip(recorded["f32/init/keys"], recorded[f"f64/step{step}/state_sum_l2"]))
        for entry, value in model.state_dict().items():
            compare("weights and statistics", value.double().norm(), sums[entry][1], scale=max(sums[entry][1], 1))
    assert len(worst) == 10
    assert all(error < 1e-8 for error in worst.values()), dict(worst)


TINY = Case("resnet18", videos=2, size=48, width=2)
CPU = torch.device("cpu")


def test_every_way_is_measured_though_one_fails():
    ways, told = ["literal", "ours+channels_last", "ours+fp8"], {}
    with pytest.raises(SystemExit, match="'ours\\+fp8': literal or ours, then"):
        train_step.measure(TINY, ways, CPU, rounds=1, tell=told.update)
    small = Case("resnet18", videos=1, size=16, width=2)  # one value is left of it in the end
    train_step.measure(small, ways[:1], CPU, rounds=1, tell=told.update)
    assert "Expected more than 1 value per channel" in told["literal"]["error"]
    train_step.measure(TINY, ways[:2], CPU, rounds=2, tell=told.update)
    train_step.rates(told, TINY, {"float32": 1e12})
    for way in ways[:2]:
        assert len(told[way]["rounds"]) == 2
        assert told[way]["flops"] == pytest.approx(told[way]["share_of_peak"] * 1e12)
        assert told[way]["prepare_seconds"] > 0


def test_words_of_a_way():
    assert Way.parse("ours+bf16+micro4") == Way(False, "bf16", frozenset(), 4)
    for text in ("ours+micro0", "ours+microfour", "ours+micro2+micro4", "ours+bf16+fp16", "theirs"):
        with pytest.raises(SystemExit, match="literal or ours, then"):
            Way.parse(text)


def test_epochs_have_the_same_ways_as_their_results_unless_others_are_given(tmp_path, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(train, "measure", lambda paths, case, ways, **how: told.append(ways) or {})
    monkeypatch.setattr(sys, "argv", ["train.py", str(tmp_path), "--device", "cpu"])
    train.main()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--ways", "literal"])
    train.main()
    kept = json.loads((REPO / "results/train.json").read_text())
    assert told == [list(kept["ways"]), ["literal"]]


def test_half_precision_is_judged_by_its_gradients(videos):
    """The imitated one: the coarser type lies farther off, and what a way keeps in float32 changes the answer."""
    told = {}
    precision.measure(TINY, CPU, videos, steps=1, tell=told.update)
    for state in ("fresh", "trained"):
        cosines = {way: each["cosine"] for way, each in told[state].items()}
        assert cosines["tf32"] > 1 - 1e-9  # there is none on a CPU
        assert 0.5 < cosines["bf16"] < cosines["fp16"] < 1
        assert len(set(cosines.values())) == len(precision.WAYS)
    assert told["steps"] == 1


def test_whole_epochs_are_measured_both_ways(videos):
    args = argparse.Namespace(workers=0, epochs=1)
    paths = sorted(videos.rglob("*.mp4"))[:5]
    found = train.measure(paths, TINY, ["literal", "ours"], device=CPU, args=args)
    for each in found.values():
        assert each["videos_per_second"] == pytest.approx(TINY.videos / each["step"])
        assert 0 < each["waited"] < each["step"]
        assert min(each["reading_alone"], each["training_alone"]) > 0
