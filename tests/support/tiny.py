"""The stages at toy size: their configs, and readers of their run folders."""

import json
from pathlib import Path

import torch

from rspnet.cli import options

SOURCES = {"weights_sha256", "data_fingerprint", "fold", "seed", "precision", "processes", "device"}
"""Keys of every result that name its origin."""


def sizes(**views):
    clips = options.TestedClips if views else options.Clips
    return {"clips": clips(num_frames=8, size=48, **views), "encoder": options.Encoder("resnet18", width=16)}


def pretrain(root, run_dir, num_workers=0, **changes):
    """Two epochs of three steps on the 18 training videos of the `motions` fixture."""
    from stages.pretrain import Config

    settings = sizes() | {
        "data": options.DataSet(root=str(root), num_workers=num_workers),
        "pretext": options.Pretext(speeds=[2, 3], dim=16, queue_length=10, bn_groups=2),
        "optim": options.Optim(epochs=2, total_batch=6, lr=0.001, lr_batch=12),
        "run": options.TrainingRun(seed=1, log_every=1, trackers=[]),
    }
    return Config(run_dir=str(run_dir), **settings | changes)


def finetune(root, run_dir, weights="none", num_workers=0, **changes):
    """Two epochs of three steps on the 18 training videos of the `motions` fixture."""
    from stages.finetune import Config

    settings = sizes(views=2) | {
        "data": options.DataSet(root=str(root), num_workers=num_workers),
        "augment": options.Augment(crop_area=[0.25, 1.0], gray=0, brightness=0, contrast=0, saturation=0, hue=0),
        "optim": options.Optim(epochs=2, total_batch=6, lr=0.001),
        "run": options.TrainingRun(seed=1, log_every=1, trackers=[]),
    }
    return Config(weights=str(weights), run_dir=str(run_dir), **settings | changes)


def evaluate(root, run_dir, weights="none", protocol="classify", **changes):
    from stages.evaluate import Config

    settings = sizes(views=2) | {"data": options.DataSet(root=str(root), num_workers=0)} | changes
    return Config(weights=str(weights), protocol=protocol, run_dir=str(run_dir), **settings)


def extract(*sources, out, weights="none", **changes):
    from stages.extract import Config

    settings = sizes(views=2) | {"data": options.Data(num_workers=0)} | changes
    return Config(list(map(str, sources)), str(weights), str(out), **settings)


def predict(*sources, weights, **changes):
    from stages.predict import Config

    settings = sizes(views=2) | {"data": options.Data(num_workers=0)} | changes
    return Config(list(map(str, sources)), str(weights), **settings)


def rspnet(encoder, num_frames=16, groups=1, **changes):
    """Return an `RSPNet` with the published settings except for the changes."""
    from rspnet.method.pretext import RSPNet

    settings = vars(options.Pretext()) | changes
    del settings["speeds"], settings["bn_groups"]
    return RSPNet(encoder, num_frames, groups=groups, **settings)


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def metrics(run_dir, event=None):
    """Return the lines of metrics.jsonl without the times."""
    times = ("data_time", "step_time", "clips_per_second", "seconds_left", "slowest_videos")
    lines = [line for line in read_lines(Path(run_dir) / "metrics.jsonl") if event in (None, line["event"])]
    return [{key: value for key, value in line.items() if key not in times} for line in lines]


def state(run_dir, name="last"):
    """Return a checkpoint's contents without the time."""
    saved = torch.load(Path(run_dir) / "checkpoints" / name / "state.pt", weights_only=True)
    del saved["run"]["seconds"]
    return saved


def differences(one, two, where=""):
    """Return the paths of values that are not equal to the bit in two nested states."""
    if isinstance(one, torch.Tensor):
        return [] if one.dtype == two.dtype and torch.equal(one, two) else [where]
    if isinstance(one, list) and isinstance(two, list):
        one, two = dict(enumerate(one)), dict(enumerate(two))
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [path for key in one for path in differences(one[key], two[key], f"{where}.{key}")]
    return [] if one == two else [where]
