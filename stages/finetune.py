"""Fine-tune an encoder for action recognition, or train a linear probe on it, and test the best epoch.

    python stages/finetune.py --config configs/finetune/ucf101_c3d.yaml --weights runs/c3d
    accelerate launch stages/finetune.py --weights runs/c3d --data.root VIDEOS --frozen

Reads labelled videos with a training and a test split; --weights is a pretraining run, a published checkpoint, another
weight file, or `none` to train from scratch. They also say which network it is and which clips it was trained on:
options and configs that differ win, and it is said. Writes the run folder as stages/pretrain.py does, with the best
epoch's network in encoder.safetensors, and predictions.jsonl (one line per test video). Resumes as it does.
As published, the epoch is chosen by one central clip per video of the test list itself. The options' defaults are those
of the published C3D on UCF101. The last line on stdout is the result as JSON: the final test over `clips.views` clips
per video.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rspnet import console, implied, machine, options, rundir, runlog
from rspnet.command import run
from rspnet.config import dump
from rspnet.errors import ConfigError

# Of every published fine-tuning: no grey, no colour jitter.
AUGMENT = {"crop_area": [0.25, 1.0], "gray": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


@dataclass
class Config:
    """What is trained, and where the run is kept."""

    refused: ClassVar = {
        "pretext": "this is a pretraining's config, whose rates and colour jitter are wrong for fine-tuning; --weights "
        "brings the network and the clips along"
    }
    implied: ClassVar = implied.by_weights

    weights: str | None = None
    """Where the encoder comes from: a run folder, a weight file, or `none` for fresh weights."""
    frozen: bool = False
    """Train the classifier alone, on the unchanged encoder in evaluation mode (a linear probe)."""
    data: options.Data = field(default_factory=options.Data)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    augment: options.Augment = field(default_factory=lambda: options.Augment(**AUGMENT))
    encoder: options.Encoder = field(default_factory=options.Encoder)
    optim: options.Optim = field(default_factory=lambda: options.Optim(epochs=30, total_batch=40, lr=0.005))
    test: options.Test = field(default_factory=options.Test)
    run: options.TrainingRun = field(default_factory=options.TrainingRun)
    run_dir: str = "runs/finetune"
    """Folder of the run: everything that it writes lies there."""


def main(config: Config) -> dict:
    """Train, test, and return the result that is also printed as the last line."""
    if config.weights is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` to train from scratch")
    run_dir = Path(config.run_dir)
    work = partial(train, config, run_dir)
    return rundir.run_once(run_dir, dataclasses.asdict(config), dump(config), partial(start, config), work)


def start(config: Config) -> Any:
    """The accelerator of all processes of the run."""
    from accelerate import Accelerator

    tracker = None if config.run.tracker == "none" else config.run.tracker
    return rundir.fit(Accelerator(log_with=tracker, project_dir=config.run_dir), trains=True)


def train(config: Config, run_dir: Path, start: rundir.Start) -> dict:
    """The run itself, from the newest checkpoint if there is one."""
    # torch takes seconds to import: a mistake in the config or in what it says of the videos has answered by now.
    import torch

    from rspnet import batches, dataset, lengths, optim
    from rspnet.accuracy import TopK, top_classes
    from rspnet.augment import Augment, normalise
    from rspnet.classifier import Classifier
    from rspnet.encoders import check_clips, create_encoder, encoder_spec
    from rspnet.index import check_labels, describe, load, select
    from rspnet.predict import predict, write_predictions
    from rspnet.trainloop import TrainLoop
    from rspnet.weightfile import read_weights
    from rspnet.weights import clip_of, load_weights, save_encoder

    accelerator, team = start.accelerator, start.team
    rank, world_size = team.rank, team.world_size
    seed, clips, workers = config.run.seed, config.clips, machine.workers(config.data.num_workers)
    batch = {"batch": max(1, config.optim.total_batch // world_size), "training": not config.frozen}
    check_clips(config.encoder.name, clips.num_frames, clips.size, config.encoder.width, **batch)
    weights = None if config.weights == "none" else read_weights(config.weights)

    # Videos -> random training clips, and evenly spaced test views
    index = load(start.keep_videos())
    train_videos, train_out = select(index, "train", config.data.fold)
    test_videos, test_out = select(index, dataset.test_split(index), config.data.fold)
    check_labels(train_videos, test_videos)
    num_classes = index.features["label"].num_classes

    def clips_of(videos, views: int, **kwargs) -> dataset.ClipDataset:
        picker = dataset.Picker(clips.num_frames, clips.stride, clips.sampling, views, kwargs.pop("crop_area", None))
        kwargs |= {"seed": seed, "frame_rate": clips.frame_rate, "time_limit": config.data.time_limit}
        return dataset.ClipDataset(videos, picker, clips.size, **kwargs)

    train_clips = clips_of(train_videos, 1, crop_area=tuple(config.augment.crop_area), replace=True)
    sampler = batches.TrainBatches(len(train_videos), config.optim.total_batch, seed, rank, world_size)
    train_loader = batches.Loader(train_clips, sampler, workers, keep_workers=True)
    instead = "another video takes its place"
    train_failures = batches.Failures(train_videos, config.data.max_failures, world_size, instead)
    test_failures = batches.Failures(test_videos, config.data.max_failures)
    fed = encoder_spec(config.encoder.name).clip if weights is None else clip_of(weights)
    colours = {"mean": fed.mean, "std": fed.std, "channels": fed.channels}
    photometric = dataclasses.asdict(config.augment)
    photometric.pop("crop_area")
    augment = Augment(**photometric, **colours)
    normalise_clips = partial(normalise, **colours)

    # Encoder and classifier; one process or many
    torch.manual_seed(seed)
    width = {} if config.encoder.width is None else {"width": config.encoder.width}
    model = Classifier(create_encoder(config.encoder.name, **width), num_classes, frozen=config.frozen)
    if weights is not None:
        for line in (load_weights(model, weights).summary(), *implied.remarks(clips, weights)):
            console.say(line)
        del weights  # a published file brings its optimiser and queue along
    lr = optim.scaled_lr(config.optim.lr, config.optim.total_batch, config.optim.lr_batch)
    lr_at = optim.schedule(config.optim.schedule, lr, config.optim.epochs, config.optim.milestones)
    optimizer = optim.sgd(model, lr, config.optim.momentum, config.optim.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    if config.run.tracker != "none":
        accelerator.init_trackers("tensorboard")
    left_out = f" (left out: {dict(train_out + test_out)})" if train_out + test_out else ""
    plan = runlog.plan(
        config.optim.epochs,
        len(sampler),
        config.optim.total_batch,
        world_size,
        lr,
        accelerator.device.type,
        config.optim.milestones,
    )
    console.say(
        f"{len(train_videos)} training and {len(test_videos)} test videos of "
        f"{console.some(num_classes, 'class', 'classes')}{left_out}; {plan}"
    )

    lengths.tell_short(train_clips, "training videos")
    lengths.tell_short(clips_of(test_videos, 1), "test videos")

    def accuracy(views: int, desc: str) -> tuple[dict[str, float], torch.Tensor, torch.Tensor, int]:
        load = {"batch": config.test.batch, "num_workers": workers, "desc": desc}
        videos = clips_of(test_videos, views)
        rows, logits, failed = predict(model, videos, normalise_clips, accelerator, team, test_failures, **load)
        labels = torch.tensor(test_videos["label"])[rows]
        topk = TopK().compute(predictions=top_classes(logits).tolist(), references=labels.tolist())
        return topk, rows, logits, failed

    with TrainLoop(
        accelerator,
        team,
        model,
        optimizer,
        run_dir,
        sampler,
        train_loader,
        train_failures,
        config.optim.epochs,
        clips_per_step=config.optim.total_batch,
        lr_at=lr_at,
        chance={name: 100 * min(k, num_classes) / num_classes for name, k in (("val_top1", 1), ("val_top5", 5))},
        log_every=config.run.log_every,
        checkpoint_every=config.run.checkpoint_every,
        keep_epochs=config.run.keep_epochs,
    ) as loop:
        for epoch in loop.epochs():
            optim.set_lr(optimizer, lr_at(epoch))
            model.train()
            for batch in loop.batches():
                draws = augment.draw(batch["seeds"][:, 0].numpy())
                inputs = augment(batch["clips"][0].to(accelerator.device, non_blocking=True), draws)
                labels = batch["label"].to(accelerator.device)
                out = model(inputs, labels)
                accelerator.backward(out["loss"])
                optimizer.step()
                optimizer.zero_grad()
                hits = (out["logits"].argmax(1) == labels).float()
                loop.step({"loss": out["loss"], "train_top1": 100 * hits.mean()})
            validation, _, _, failed = accuracy(1, "validation")
            loop.end_epoch({f"val_{name}": value for name, value in validation.items()}, failed)

    loop.load_best()
    topk, rows, logits, failed = accuracy(clips.views, f"test, {clips.views} clips a video")
    result = {
        "stage": "finetune",
        "run_dir": str(run_dir),
        **topk,
        "num_videos": len(rows),
        "num_failed": failed,
        "best_val_top1": loop.state.best,
        "best_epoch": loop.state.best_epoch,
        "chance_top1": 100 / num_classes,
        "views": clips.views,
        "epochs": config.optim.epochs,
        "steps": loop.state.step,
        "weights": config.weights,
        "frozen": config.frozen,
        **start.facts,
        "device_hours": round(loop.state.seconds * world_size / 3600, 3),
    }
    if accelerator.is_main_process:
        write_predictions(run_dir / "predictions.jsonl", test_videos, rows, logits)
        description = {
            "arch": config.encoder.name,
            "kwargs": width,
            "num_features": loop.model.encoder.num_features,
            "class_names": index.features["label"].names,
            "clip": {**dataclasses.asdict(clips), **colours},
            "provenance": {**result, "epoch": config.optim.epochs, "data": describe(index)},
        }
        save_encoder(run_dir, loop.model.state_dict(), description)
    accelerator.end_training()
    return result


if __name__ == "__main__":
    run(main, Config)
