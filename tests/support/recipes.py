"""Read the published recipes and those in configs/ into rows that can be compared.

tests/recorded/published_recipes.json holds the figures of every configuration of the published code, under our names:
``pretrain``, ``finetune`` and ``retrieval`` have the values of its files ("all": those common to all files of a kind);
``built_in`` has what the code does whatever its files say, and the number of GPUs in its commands; ``variants`` has
what the paper or the authors' tables say instead; ``results`` has the published percentages, ``hours_and_gpus`` their
cost.

Our side of a row is the config that results from a command in the header of its file, so that the header is tested too.
"""

import dataclasses
import functools
import json
import math
import re
import shlex

import torch

from rspnet.cli.config import parse
from rspnet.encoders import encoder_spec
from rspnet.method import optim
from stages import evaluate, finetune, pretrain
from tests.support import REPO

DATA = json.loads((REPO / "tests/recorded/published_recipes.json").read_text())
STAGES = {"pretrain": pretrain, "finetune": finetune, "retrieval": evaluate}
FOLDERS = {"pretrain": "configs", "finetune": "configs/finetune", "retrieval": "configs/retrieval"}


# Published fields -> our names for them, and published values -> ours.
FIGURES = {
    **{name: "encoder" for name in ("arch", "model.arch")},
    "batch_size": "batch_per_gpu",
    "validate.batch_size": "validation_batch_per_gpu",
    "final_validate.batch_size": "test_batch_per_gpu",
    "final_validate.milestones": "misplaced_milestones",
    "final_validate.schedule": "misplaced_schedule",
    "checkpoint_interval": "keep_epochs",
    "log_interval": "log_every",
    "num_epochs": "epochs",
    "num_workers": "workers",
    "opt_level": "precision",
    "method": "method",
    "model_type": "model_type",
    "model.base_model": "base_encoder",
    "model.num_segments": "segments",
    "dataset.blacklist": "left_out",
    "dataset.fold": "fold",
    "dataset.mean": "mean",
    "dataset.name": "dataset",
    "dataset.num_classes": "classes",
    "dataset.std": "std",
    "loss_lambda.A": "appearance_weight",
    "loss_lambda.F": "third_weight",
    "loss_lambda.M": "motion_weight",
    "moco.aug_plus": "augment_plus",
    "moco.diff_speed": "speeds",
    "moco.dim": "dim",
    "moco.fc_type": "head",
    "moco.k": "queue_length",
    "moco.m": "key_momentum",
    "moco.mlp": "mlp",
    "moco.t": "temperature",
    **{
        f"optimizer.{name}": name
        for name in (
            *("dampening", "lr", "milestones", "momentum", "nesterov", "patience", "schedule", "weight_decay"),
        )
    },
    **{f"spatial_transforms.color_jitter.{name}": name for name in ("brightness", "contrast", "hue", "saturation")},
    "spatial_transforms.crop_area.max": "crop_max",
    "spatial_transforms.crop_area.min": "crop_min",
    "spatial_transforms.gray_scale": "gray",
    "spatial_transforms.h_flip": "flip",
    "spatial_transforms.size": "size",
    "temporal_transforms.force_n_crop": "even_gallery",
    "temporal_transforms.frame_rate": "frame_rate",
    "temporal_transforms.random_crop": "random_crop",
    "temporal_transforms.size": "num_frames",
    "temporal_transforms.strides": "strides",
    "temporal_transforms.type": "sampling",
    "temporal_transforms.validate.final_n_crop": "test_clips",
    "temporal_transforms.validate.n_crop": "validation_clips",
    "temporal_transforms.validate.stride": "test_stride",
}
VALUES = {"r2plus1d-vcop": "r2plus1d", "kinetics400": "kinetics", "smth_smth": "something_v2"}
PATHS = ("dataset.root", "dataset.annotation_path")  # on the authors' machine


def translated(kind, content):
    """Return a published file's values under our names; fails for a field without one."""
    found = {}
    for field, value in flat(content).items():
        if field in PATHS:
            continue
        assert field in FIGURES, f"what is {field}?"
        name = "frames_read" if (kind, field) == ("pretrain", "temporal_transforms.size") else FIGURES[field]
        if name == "strides":
            value = {str(choice["stride"]): choice["weight"] for choice in value}
        if name == "epochs":
            value = int(value)
        value = VALUES.get(value, value) if isinstance(value, str) else value
        assert found.setdefault(name, value) == value, f"two values of {name}"
    return found


def published(kind, name):
    """Return the published figures of a recipe or a variant."""
    variant = dict(DATA["variants"][kind].get(name, {}))
    recipe = variant.pop("of", name)
    return DATA["built_in"][kind] | DATA[kind]["all"] | DATA[kind][recipe] | variant


def place(kind, name):
    """Return the config of a recipe and the place of its command in the header: second for a variant without a file."""
    path = f"{FOLDERS[kind]}/{name}.yaml"
    return (path, 0) if (REPO / path).is_file() else (f"{FOLDERS[kind]}/{DATA['variants'][kind][name]['of']}.yaml", 1)


def header(path):
    """Return the comment at the head of a config."""
    return re.match("(#.*\n)*", (REPO / path).read_text())[0]


def commands(path):
    """Return the commands in a config's header, split into words."""
    lines = header(path).replace("\\\n#", "").splitlines()
    return [shlex.split(line[1:]) for line in lines if re.search(r"\bstages/\w+\.py ", line)]


@functools.cache
def options(kind, name):
    """Return the options that a recipe's command results in (``data.root``), with the launcher's (``launch.NAME``)."""
    path, number = place(kind, name)
    words = commands(path)[number]
    stage = next(number for number, word in enumerate(words) if word.startswith("stages/"))
    assert words[stage:][:3] == [f"{STAGES[kind].__name__.replace('.', '/')}.py", "--config", path]
    config = parse(STAGES[kind].Config, ["--config", str(REPO / path), *words[stage + 3 :]])
    launch = re.findall(r"--(num_processes|mixed_precision) (\w+)", " ".join(words[:stage]))
    return flat(dataclasses.asdict(config)) | {f"launch.{option}": value for option, value in launch}


def flat(content, prefix=""):
    """Return nested sections as a flat dict with keys ``section.name``."""
    found = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def rows(kind, theirs, ours):
    """Return everything that a recipe determines: {what: (published, ours)}.

    Args:
        kind: pretrain, finetune or retrieval.
        theirs: `published` figures.
        ours: `options`.
    """
    spec = encoder_spec(ours["encoder.name"])
    more = {"pretrain": _pretrain_rows, "finetune": _finetune_rows, "retrieval": _retrieval_rows}[kind]
    return {
        "GPUs": (str(theirs["gpus"]), ours["launch.num_processes"]),
        "precision": ({"O0": "no"}.get(theirs["precision"]), ours["launch.mixed_precision"]),
        "encoder": (theirs["encoder"], ours["encoder.name"]),
        "width": (theirs["width"], ours["encoder.width"] or 64),
        # Kinetics is recognised by its folders, so that the same recipe serves for any other folder.
        "data set": (theirs["dataset"], "kinetics" if ours["data.layout"] == "auto" else ours["data.layout"]),
        "mean": (theirs["mean"], list(spec.mean)),
        "standard deviation": (theirs["std"], list(spec.std)),
        "size": (theirs["size"], ours["clips.size"]),
        "strides": ([int(stride) for stride in theirs["strides"]], [ours["clips.stride"]]),
        "frame rate": (theirs["frame_rate"], ours["clips.frame_rate"]),
        "sampling": (theirs["sampling"], ours["clips.sampling"]),
        "workers": (theirs["workers"], ours["data.num_workers"]),
        **more(theirs, ours),
    }


def _pretrain_rows(theirs, ours):
    total = theirs["batch_per_gpu"] * theirs["gpus"]
    return _training_rows(theirs, ours) | {
        "frames read": (theirs["frames_read"], ours["clips.num_frames"] * max(ours["pretext.speeds"])),
        "frames of a clip": (theirs["frames_read"] // theirs["speeds"][0], ours["clips.num_frames"]),
        "speeds": (theirs["speeds"], ours["pretext.speeds"]),
        "dim": (theirs["dim"], ours["pretext.dim"]),
        "queue": (theirs["queue_length"] // total * total, ours["pretext.queue_length"]),  # the published code trims it
        "key momentum": (theirs["key_momentum"], ours["pretext.momentum"]),
        "temperature": (theirs["temperature"], ours["pretext.temperature"]),
        "margin": (theirs["margin"], ours["pretext.margin"]),
        "appearance": (theirs["appearance_weight"], ours["pretext.appearance_weight"]),
        "motion": (theirs["motion_weight"], ours["pretext.motion_weight"]),
        "batch-norm groups": (theirs["gpus"], ours["pretext.bn_groups"]),
        "epochs kept": (theirs["keep_epochs"], ours["run.keep_epochs"]),
    }


def _finetune_rows(theirs, ours):
    return (
        _training_rows(theirs, ours)
        | _test_rows(theirs, ours)
        | {
            "frozen": (theirs["frozen"], ours["frozen"]),
            "training videos": (None, ours["subset.videos"]),
        }
    )


def _retrieval_rows(theirs, ours):
    # The evaluation stage has no options to augment with.
    augment = {name: option for name, option in ours.items() if name.startswith("augment.")}
    return _test_rows(theirs, ours) | {
        "protocol": ("retrieval", ours["protocol"]),
        "pooling": (theirs["pooling"], ours["pooling"]),
        "gallery crop": ([theirs["crop_min"], theirs["crop_max"]], augment.get("augment.crop_area")),
        "gallery flip": (theirs["flip"], augment.get("augment.flip")),
    }


def _test_rows(theirs, ours):
    return {
        "fold": (theirs["fold"], ours["data.fold"]),
        "frames": (theirs["num_frames"], ours["clips.num_frames"]),
        "test stride": (theirs["test_stride"], ours["clips.stride"]),
        "test clips": (theirs["test_clips"], ours["clips.views"]),
        "test batch": (theirs["test_batch_per_gpu"], ours["test.batch"]),
    }


def _training_rows(theirs, ours):
    total = theirs["batch_per_gpu"] * theirs["gpus"]
    lr = theirs["lr"] * (total / theirs["lr_videos"] if theirs["lr_videos"] else 1)
    epochs = ours["optim.epochs"]
    our_lr = optim.scaled_lr(ours["optim.lr"], ours["optim.total_batch"], ours["optim.lr_batch"])
    our_rate = optim.Schedule(ours["optim.schedule"], our_lr, epochs, ours["optim.milestones"])
    sgd = ("momentum", "weight_decay", "dampening", "nesterov")
    (group,) = optim.sgd(
        torch.nn.Linear(1, 1), our_lr, momentum=ours["optim.momentum"], weight_decay=ours["optim.weight_decay"]
    ).param_groups
    photometric = ("gray", "brightness", "contrast", "saturation", "hue", "flip")
    return {
        "videos per step": (total, ours["optim.total_batch"]),
        "epochs": (theirs["epochs"], epochs),
        "optimiser": ("sgd", ours["optim.optimizer"]),
        "passes": (1, ours["optim.passes"]),
        "factor at a milestone": (0.1, ours["optim.decay"]),
        "schedule": (theirs["schedule"], ours["optim.schedule"]),
        "milestones": (theirs["milestones"] if theirs["schedule"] == "multi_step" else [], ours["optim.milestones"]),
        "rate of each epoch": (_rates(theirs, lr), [our_rate(epoch) for epoch in range(epochs)]),
        **{f"SGD's {name}": (theirs[name], group[name]) for name in sgd},
        "crop": ([theirs["crop_min"], theirs["crop_max"]], ours["augment.crop_area"]),
        **{name: (theirs[name], ours[f"augment.{name}"]) for name in photometric},
        "log": (theirs["log_every"], ours["run.log_every"]),
    }


def _rates(theirs, lr):
    """Return the published learning rate of each epoch, by explicit formulas."""
    epochs = range(theirs["epochs"])
    if theirs["schedule"] == "multi_step":
        return [lr / 10 ** sum(epoch >= milestone for milestone in theirs["milestones"]) for epoch in epochs]
    return [lr * (0.001 + 0.999 * (1 + math.cos(math.pi * epoch / len(epochs))) / 2) for epoch in epochs]


def same(one, two):
    """Whether two figures are equal, except for rounding."""
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    numbers = all(isinstance(value, int | float) for value in (one, two))
    return math.isclose(one, two, rel_tol=1e-9) if numbers else one == two


def differences(kind, theirs, ours):
    """Return the rows that are not equal."""
    return {what: pair for what, pair in rows(kind, theirs, ours).items() if not same(*pair)}
