"""The SEVERE benchmark's protocol: figure by figure as its code has them, and its draw of a few videos."""

import math
import re

import numpy as np
import pytest

from rspnet.cli.config import parse
from rspnet.data.few import draw
from rspnet.data.index import to_dataset
from rspnet.data.rows import new_row
from rspnet.errors import ConfigError
from rspnet.method.optim import Schedule
from stages import evaluate, finetune
from tests.support import REPO

# Of https://github.com/fmthoker/SEVERE-BENCHMARK, configs/benchmark: clip_duration * video_fps, batch_size,
# clips_per_video in training, num_epochs, base_lr, milestones that come to pass, num_of_examples.
PUBLISHED = {
    "ucf101": (32, 32, 10, 16, 1e-4, [6, 10, 14], 0),
    "ucf101_1000": (32, 32, 10, 16, 1e-4, [6, 10, 14], 1000),
    "ucf101_linear": (16, 128, 10, 10, 1e-2, [4, 8], 0),
    "hmdb51": (32, 32, 10, 16, 1e-4, [6, 10, 14], 0),
    "something_v2": (32, 32, 2, 22, 1e-4, [12, 17, 20], 0),
    "kinetics400_linear": (16, 64, 1, 40, 1e-2, [10, 20, 30], 0),
    "gym99": (32, 32, 10, 16, 1e-4, [6, 10, 14], 0),
    "gym99_1000": (32, 32, 10, 18, 1e-4, [8, 13, 16], 1000),
    "gym_set": (32, 32, 10, 18, 1e-4, [7, 12, 16], 0),
}
# And what all of them say.
COLOUR = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2, "gray": 0.0, "flip": 0.5}


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_figures(name):
    frames, batch, passes, epochs, lr, milestones, videos = PUBLISHED[name]
    config = parse(finetune.Config, ["--config", str(REPO / f"configs/severe/{name}.yaml"), "--weights", "none"])
    clips, optim = config.clips, config.optim
    assert (clips.num_frames, clips.frame_rate, clips.size, clips.stride, clips.views) == (frames, 16, 112, 1, 10)
    assert (optim.total_batch, optim.passes, optim.epochs, optim.lr) == (batch, passes, epochs, lr)
    assert (optim.optimizer, optim.momentum, optim.weight_decay, optim.lr_batch) == ("adam", 0.9, 0, None)
    assert (optim.schedule, optim.milestones, optim.decay) == ("multi_step", milestones, 0.3)
    assert vars(config.augment) == {"crop_area": [0.08, 1.0], **COLOUR}
    assert (config.subset.videos or 0, config.subset.seed) == (videos, 19)
    assert config.frozen == name.endswith("_linear")


def test_all_of_them_are_known_and_in_the_page():
    assert {path.stem for path in (REPO / "configs/severe").glob("*.yaml")} == set(PUBLISHED)
    page = (REPO / "docs/severe.md").read_text()
    for name, (_, _, _, epochs, _, milestones, _) in PUBLISHED.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*", page, re.MULTILINE)
        assert f"| {epochs} | {', '.join(map(str, milestones))} |" in row


def test_published_numbers_stand_in_their_own_column(shared):
    facts = (shared / "facts/published_method.md").read_text()
    (stated,) = re.findall(r"SEVERE benchmark\): (.*)", facts)
    page = (REPO / "docs/severe.md").read_text()
    for name, words in (("ucf101", "UCF101"), ("ucf101_1000", "UCF 1k-clips low-shot"), ("kinetics400_linear", "400")):
        (number,) = re.findall(rf"{words} (\d+\.\d)", stated)
        (row,) = re.findall(rf"^\| `{name}` \|.*", page, re.MULTILINE)
        assert row.split("|")[-2].strip() == number
        assert f"for RSPNet: {number} %" in (REPO / f"configs/severe/{name}.yaml").read_text()
    assert "published for RSPNet, not measured here" in page


def test_the_rate_falls_as_torchs_schedule_has_it():
    rate = Schedule("multi_step", 1e-4, 16, [6, 10, 14], 0.3)
    falls = [1e-4] * 6 + [3e-5] * 4 + [9e-6] * 4 + [2.7e-6] * 2
    assert [rate(epoch) for epoch in range(16)] == pytest.approx(falls)


def videos_of(counts):
    rows = [new_row(f"{name}/{n:02d}.avi", "/videos", name) for name, count in counts.items() for n in range(count)]
    return to_dataset(rows)


def slow(counts, number, seed):
    """Class by class, of as many of each; written down from the benchmark's words."""
    random, each, found = np.random.RandomState(seed), math.ceil(number / len(counts)), set()
    for name, count in counts.items():
        found |= {f"{name}/{place:02d}.avi" for place in random.choice(count, min(each, count), replace=False)}
    return found


@pytest.mark.parametrize(
    ("counts", "number"),
    [
        ({"Hammering": 9, "HammerThrow": 12, "HandstandPushups": 7}, 10),  # in UCF101's own order
        ({"2": 5, "10": 3, "11": 9}, 12),  # of numbered classes
        ({"one": 4}, 4),
    ],
    ids=str,
)
def test_few_videos_are_those_that_its_code_draws(counts, number):
    videos = videos_of(counts)
    drawn = draw(videos, number, 19)
    assert set(drawn["video"]) == slow(counts, number, 19)
    assert list(drawn["video"]) == sorted(drawn["video"], key=list(videos["video"]).index)
    assert drawn.features == videos.features
    if len(counts) > 1:
        assert set(draw(videos, number, 20)["video"]) != set(drawn["video"])


def test_more_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"^subset\.videos: 12; there are only 11 training videos$"):
        draw(videos_of({"a": 6, "b": 5}), 12, 0)


def test_mvebs_protocols():
    config = parse(evaluate.Config, ["--config", str(REPO / "configs/mveb/frozen.yaml"), "--weights", "none"])
    assert (config.protocols, config.pooling, config.clips.views) == (["few_shot", "cluster"], "average", 10)
