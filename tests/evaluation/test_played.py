"""Clips played in several ways, and the features of each way beside those that were made one at a time."""

import pytest
import torch
from accelerate import Accelerator

from rspnet.data.augment import normalise
from rspnet.data.batches import Request
from rspnet.data.speed_clips import SPEEDS, SpeedClips
from rspnet.evaluation.played import Play
from rspnet.evaluation.probes import PLAYS
from tests.support import waves

CLIPS = torch.arange(24).view(2, 4, 3)  # two clips of four frames


def test_ways_to_play():
    frames = CLIPS[0].tolist()
    assert torch.equal(Play(1)(CLIPS, [5, 6]), CLIPS)
    assert Play(1, backwards=True)(CLIPS, [5, 6])[0].tolist() == frames[::-1]
    assert Play(1, "still")(CLIPS, [5, 6])[0].tolist() == [frames[0]] * 4
    assert Play(1, "still", True)(CLIPS, [5, 6])[0].tolist() == [frames[3]] * 4


def test_a_shuffle_is_of_the_seed_and_the_speed():
    found = {
        (speed, seed): Play(speed, "shuffled")(CLIPS[:1], [seed])[0].tolist() for speed in SPEEDS for seed in range(9)
    }
    for order in found.values():
        assert sorted(order) == CLIPS[0].tolist()
    assert len({str(order) for order in found.values()}) > 8
    both = Play(2, "shuffled")(CLIPS, [3, 4])
    assert both[0].tolist() == found[2, 3]
    assert torch.equal(both[1] - 12, torch.tensor(found[2, 4]))
    assert torch.equal(Play(2, "shuffled", True)(CLIPS, [3, 4]), both.flip(1))


def test_features_are_those_of_one_video_and_one_way_at_a_time(tmp_path):
    root = waves.write_waves(tmp_path, 4)
    waves.write_waves(tmp_path, 1, frames=12, first=4)  # long enough for 2x
    (tmp_path / "002.mp4").write_bytes(b"no video")
    index, network = waves.index_of(root), waves.Mean()
    plays = [*PLAYS["speed"], *PLAYS["arrow_of_time"]]
    found = waves.shown(network, index, Accelerator(cpu=True), plays, batch=3)
    assert len(found.plays) == len(set(plays)) == 12  # three of fifteen are asked for twice
    assert found.outputs.rows.tolist() == [0, 1, 3, 4]
    assert found.outputs.num_failed == 1
    assert found.tops.tolist() == [4, 4, 4, 2]
    clips = SpeedClips(index, waves.CLIP, SPEEDS, seed=0, time_limit=60.0)
    for place, row in enumerate(found.outputs.rows.tolist()):
        batch = clips.__getitems__([Request(0, row, row)])
        for play in plays:
            if play.speed > found.tops[place]:
                continue
            views = []
            for number in range(2):
                clip = batch["clips"][3 * number + SPEEDS.index(play.speed)]
                played = play(clip, [int(batch["seeds"][0, number])])
                views.append(normalise(played, mean=waves.CLIP.mean, std=waves.CLIP.std))
            expected = network(torch.stack(views, dim=1))[0]
            assert found.features(play)[place] == pytest.approx(expected, abs=1e-6)
