"""Pretrain a 3-D network on unlabelled videos by relative speed perception (RSPNet).

    python stages/pretrain.py --config configs/demo.yaml --data.root VIDEOS
    accelerate launch stages/pretrain.py --config configs/c3d.yaml --run_dir runs/c3d

Reads a folder of videos or an index of them; writes the run folder: config.yaml, index.parquet (the videos used),
metrics.jsonl, checkpoints/, encoder.safetensors with encoder.json (the trained encoder), environment.json, result.json.
The same command after an interruption goes on where it stopped; after the end it only prints the result again.
The last line on stdout is the result as JSON.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rspnet import console, machine, options, rundir, runlog
from rspnet.command import run
from rspnet.config import dump
from rspnet.errors import ConfigError


@dataclass
class Config:
    """Where the run is kept."""

    refused: ClassVar = dict.fromkeys(
        ("clips.views", "frozen", "test"),
        "this is a config of fine-tuning or of an evaluation; stages/finetune.py and stages/evaluate.py take it",
    )

    data: options.Data = field(default_factory=options.Data)
    clips: options.Clips = field(default_factory=options.Clips)
    augment: options.Augment = field(default_factory=options.Augment)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    pretext: options.Pretext = field(default_factory=options.Pretext)
    optim: options.Optim = field(default_factory=options.Optim)
    run: options.TrainingRun = field(default_factory=options.TrainingRun)
    run_dir: str = "runs/pretrain"
    """Folder of the run: everything that it writes lies there."""

    def __post_init__(self) -> None:
        if self.pretext.queue_length < self.optim.total_batch:
            raise ConfigError(
                f"pretext.queue_length: {self.pretext.queue_length}; it must hold a step's "
                f"{self.optim.total_batch} videos (optim.total_batch)"
            )


def main(config: Config) -> dict:
    """Train, and return the result that is also printed as the last line."""
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
    from rspnet.augment import Augment
    from rspnet.encoders import check_clips, create_encoder, encoder_spec
    from rspnet.index import describe, load, select
    from rspnet.pretext import LOG_TERMS, RSPNet, draw_step
    from rspnet.trainloop import TrainLoop
    from rspnet.weights import save_encoder

    accelerator, team = start.accelerator, start.team
    rank, world_size = team.rank, team.world_size
    seed, total_batch, speeds = config.run.seed, config.optim.total_batch, config.pretext.speeds
    groups, group_size = bn_groups(total_batch, config.pretext.bn_groups, world_size)
    clips, encoder = config.clips, config.encoder
    check_clips(encoder.name, clips.num_frames, clips.size, encoder.width, batch=group_size, training=True)

    # Videos -> batches of two clips each, of which only the frames are read that a step shows
    index = load(start.keep_videos())
    videos, left_out = select(index, "train" if any(index["split"]) else None, config.data.fold)
    picker = dataset.Picker(
        config.clips.num_frames,
        config.clips.stride,
        config.clips.sampling,
        views=2,
        crop_area=tuple(config.augment.crop_area),
        top_speed=max(speeds),
    )
    clips_of = dataset.ClipDataset(
        videos,
        picker,
        config.clips.size,
        seed=seed,
        frame_rate=config.clips.frame_rate,
        replace=True,
        time_limit=config.data.time_limit,
    )
    draw = partial(
        draw_step, seed, group_size=group_size, groups=groups, rank=rank, world_size=world_size, speeds=speeds
    )
    sampler = batches.TrainBatches(
        len(videos), total_batch, seed, rank, world_size, speeds=lambda step: draw(step).shown()
    )
    workers = machine.workers(config.data.num_workers)
    loader = batches.Loader(clips_of, sampler, workers, keep_workers=True)
    instead = "another video takes its place"
    failures = batches.Failures(videos, config.data.max_failures, world_size, instead)
    photometric = dataclasses.asdict(config.augment)
    photometric.pop("crop_area")
    spec = encoder_spec(config.encoder.name)
    augment = Augment(**photometric, mean=spec.mean, std=spec.std)

    # Encoder -> RSPNet; one process or many
    torch.manual_seed(seed)
    width = {} if config.encoder.width is None else {"width": config.encoder.width}
    method = dataclasses.asdict(config.pretext)
    del method["speeds"], method["bn_groups"]
    model = RSPNet(create_encoder(config.encoder.name, **width), config.clips.num_frames, groups=groups, **method)
    lr = optim.scaled_lr(config.optim.lr, total_batch, config.optim.lr_batch)
    lr_at = optim.schedule(config.optim.schedule, lr, config.optim.epochs, config.optim.milestones)
    optimizer = optim.sgd(model, lr, config.optim.momentum, config.optim.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    if config.run.tracker != "none":
        accelerator.init_trackers("tensorboard")

    chance_top1 = 100 / (1 + config.pretext.queue_length)
    missing = f" (left out: {dict(left_out)})" if left_out else ""
    device, milestones = accelerator.device.type, config.optim.milestones
    plan = runlog.plan(config.optim.epochs, len(sampler), total_batch, world_size, lr, device, milestones)
    groups_of = f"{console.some(groups * world_size, 'batch-norm group')} of {group_size}"
    console.say(f"{console.some(len(videos), 'video')}{missing}; {plan}; {groups_of}")
    lengths.tell_short(clips_of, "videos")
    if config.pretext.queue_length > len(videos):
        console.say(
            f"the queue of {config.pretext.queue_length} is longer than the data: it holds other clips of the query's "
            "own video as negatives; consider a shorter pretext.queue_length"
        )

    with TrainLoop(
        accelerator,
        team,
        model,
        optimizer,
        run_dir,
        sampler,
        loader,
        failures,
        config.optim.epochs,
        clips_per_step=2 * total_batch,
        lr_at=lr_at,
        chance={"avid_top1": chance_top1, "avid_top5": min(5 * chance_top1, 100), "rsp_accuracy": 50},
        log_every=config.run.log_every,
        checkpoint_every=config.run.checkpoint_every,
        keep_epochs=config.run.keep_epochs,
    ) as loop:
        for epoch in loop.epochs():
            optim.set_lr(optimizer, lr_at(epoch))
            for batch in loop.batches():
                query, key = (
                    augment(clips.to(accelerator.device, non_blocking=True), augment.draw(seeds))
                    for clips, seeds in zip(batch["clips"], batch["seeds"].numpy().T)
                )
                out = model(query, key, draw(loop.state.step).to(accelerator.device))
                accelerator.backward(out["loss"])
                optimizer.step()
                optimizer.zero_grad()
                loop.step({name: out[name] for name in ("loss", "loss_avid", "loss_rsp", *LOG_TERMS)})
            loop.end_epoch()

    result = {
        "stage": "pretrain",
        "run_dir": str(run_dir),
        "steps": loop.state.step,
        "epochs": config.optim.epochs,
        **loop.state.last_epoch,
        "num_videos": len(videos),
        **start.facts,
        "device_hours": round(loop.state.seconds * world_size / 3600, 3),
    }
    if accelerator.is_main_process:
        encoder = loop.model.query_encoder.encoder
        description = {
            "arch": config.encoder.name,
            "kwargs": width,
            "num_features": encoder.num_features,
            "clip": {**dataclasses.asdict(config.clips), "mean": spec.mean, "std": spec.std, "channels": "RGB"},
            "provenance": {**result, "epoch": config.optim.epochs, "data": describe(videos)},
        }
        save_encoder(run_dir, encoder.state_dict(), description)
    accelerator.end_training()
    return result


def bn_groups(total_batch: int, wanted: int, world_size: int) -> tuple[int, int]:
    """Batch-norm groups per process, and videos per group.

    Raises:
        ConfigError: the batch cannot be divided so.
    """
    groups = math.ceil(wanted / world_size)
    size, rest = divmod(total_batch, groups * world_size)
    if rest or size < 2:
        raise ConfigError(
            f"optim.total_batch: {total_batch} videos cannot be divided into {groups * world_size} batch-norm groups "
            "of one size, at least 2; change it, or pretext.bn_groups"
        )
    return groups, size


if __name__ == "__main__":
    run(main, Config)
