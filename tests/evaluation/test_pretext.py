"""The pretraining's tasks: against loops over videos, and on embeddings of which the answer is known."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional

from rspnet import create_encoder
from rspnet.data.augment import normaliser
from rspnet.data.batches import Request
from rspnet.data.index import new_row, to_dataset
from rspnet.data.sets import Failures, TestSet
from rspnet.data.speed_clips import SpeedClips, SpeedPicker
from rspnet.errors import ConfigError
from rspnet.evaluation import pretext as module
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predict import Outputs
from rspnet.evaluation.pretext import Embeddings, embed, instance_hits, pretext, relative_speed_hits
from rspnet.method.heads import Embedder
from rspnet.running.team import Team
from tests.support import waves

PICKER = SpeedPicker(8, 2, views=2, speeds=(1, 2))


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def outputs(tmp_path, clips, tops=None):
    """What `embed` gives for embeddings (N, 4, 2, D)."""
    index = to_dataset([new_row(f"v{place}.mp4", str(tmp_path)) for place in range(len(clips))], tmp_path)
    tops = torch.full((len(clips),), 4.0) if tops is None else torch.tensor(tops, dtype=torch.float32)
    return Outputs(index, torch.arange(len(clips)), torch.cat([tops[:, None], clips.flatten(1)], dim=1), {})


def test_against_loops():
    query, key, order = (
        unit(13, 2, 5),
        unit(13, 2, 5, seed=1),
        torch.from_numpy(np.random.default_rng(2).permutation(13)),
    )
    near = [[float(query[n, s] @ key[n, t]) for s in (0, 1) for t in (0, 1)] for n in range(13)]
    expected = [((a > b) + (d > c)) / 2 for a, b, c, d in near]
    assert relative_speed_hits(query, key).tolist() == expected
    for negatives in (1, 4, 12):
        hits = {}
        for place in range(13):
            video, total = int(order[place]), 0
            for s in (0, 1):
                for t in (0, 1):
                    others = [int(order[(place + 1 + step) % 13]) for step in range(negatives)]
                    total += all(query[video, s] @ key[video, t] > query[video, s] @ key[each, t] for each in others)
            hits[video] = total / 4
        assert instance_hits(query, key, order, negatives=negatives).tolist() == [hits[n] for n in range(13)]
        assert 0 < sum(hits.values()) < 13


def test_cut_into_parts_it_is_the_same(monkeypatch):
    query, key, order = unit(30, 2, 5), unit(30, 2, 5, seed=1), torch.randperm(30)
    whole = instance_hits(query, key, order, negatives=9)
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    assert torch.equal(instance_hits(query, key, order, negatives=9), whole)


def test_what_is_known(tmp_path, monkeypatch):
    """Embeddings that are the video, and the speed; noise; and such as have collapsed."""
    video = torch.eye(40)[:, None].expand(40, 4, 40)
    pace = torch.eye(40)[[0, 1, 0, 1]].expand(40, 4, 40)
    score = pretext(outputs(tmp_path, torch.stack([video, pace], dim=2)), PICKER, seed=0).score
    assert (score["rsp_accuracy"], score["avid_top1"]) == (100, 100)
    assert score["chance"] == {"rsp_accuracy": 50, "avid_top1": 2.5}
    assert (score["num_negatives"], score["num_videos"], score["left_out"]) == (39, 40, 0)
    collapsed = pretext(outputs(tmp_path, torch.ones(40, 4, 2, 1)), PICKER, seed=0).score
    assert (collapsed["rsp_accuracy"], collapsed["avid_top1"]) == (0, 0)
    monkeypatch.setattr(module, "NEGATIVES", 4)
    found = pretext(outputs(tmp_path, unit(400, 4, 2, 16)), PICKER, seed=0)
    for name, chance in (("rsp_accuracy", 50), ("avid_top1", 20)):
        low, high = found.score["interval"][name]
        assert low <= chance == found.score["chance"][name] <= high
        assert low <= found.score[name] <= high
    assert found.names == ["rsp_accuracy", "avid_top1"]


def test_short_videos_are_left_out(tmp_path):
    clips = unit(6, 4, 2, 8)
    score = pretext(outputs(tmp_path, clips, [4, 2, 1, 0, 2, 2]), PICKER, seed=3).score
    assert (score["num_videos"], score["left_out"], score["num_negatives"]) == (4, 2, 3)
    with pytest.raises(ConfigError, match="; 1 of 6 videos is as long as a clip at 2x, 29 frames"):
        pretext(outputs(tmp_path, clips, [4, 1, 1, 0, 1, 1]), PICKER, seed=3)


def test_embeddings_are_those_of_each_clip(tmp_path):
    torch.manual_seed(0)
    query, key = (Embedder(create_encoder("resnet18", width=4), 6).eval() for _ in range(2))
    index = waves.index_of(waves.write_waves(tmp_path, 3, frames=16))
    clips = SpeedClips(index, waves.CLIP, (1, 2), seed=0, time_limit=60.0)
    normalise = normaliser(waves.CLIP)
    forward = Forward(Embeddings(query, key), normalise, accelerator=Accelerator(cpu=True), team=Team())
    found = embed(forward, TestSet(clips, Failures(index, 0), batch=2, team=Team(), num_workers=0), "waves")
    assert found.values[:, 0].tolist() == [2, 2, 2]
    for row in range(3):
        views = [normalise(view) for view in clips.__getitems__([Request(0, row, row)])["clips"]]
        for number, encoder in enumerate((query, query, key, key)):
            with torch.no_grad():
                expected = torch.cat(encoder(views[number]))
            there = found.values[row, 1:].view(4, 2, 6)[number]
            torch.testing.assert_close(there, expected, rtol=0, atol=1e-5)
