"""Pretrain a 3-D network on unlabelled videos by relative speed perception (RSPNet).

    python stages/pretrain.py --config configs/demo.yaml --data.root VIDEOS
    accelerate launch stages/pretrain.py --config configs/c3d.yaml --run_dir runs/c3d

Reads a folder of videos or an index of them. Begins with fresh weights, or with those of --weights: a run, a checkpoint
of one or a published file, with heads, key encoder and queue if it has them. --weights also determines the network and
its clips; a config or an option that differs wins, and a line says so. Writes the run folder: config.yaml,
index.parquet (the videos used), metrics.jsonl, checkpoints/, encoder.safetensors with encoder.json (the trained
encoder), environment.json, result.json. After an interruption the same command goes on where it stopped; after the end
it only prints the result again. With --estimate it runs a few dozen steps, says what the run would take, and keeps
nothing. The last line on stdout is the result as JSON.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from rspnet import console
from rspnet.cli import implied, options
from rspnet.cli.command import run
from rspnet.errors import ConfigError
from rspnet.report.leaving import leave
from rspnet.running import estimate, launch, log, machine
from rspnet.running.folder import Run, run_once
from rspnet.running.telling import opening


@dataclass
class Config:
    """Options of pretraining."""

    refused: ClassVar = dict.fromkeys(
        ("clips.views", "frozen", "test"),
        "this is a config of fine-tuning or of an evaluation; stages/finetune.py and stages/evaluate.py take it",
    )

    implied: ClassVar = implied.by_weights

    weights: str | None = None
    """Weights that training begins with, at its first step: a run folder, finished or not, a checkpoint in one, or a
    weight file (null or `none`: fresh ones)."""
    data: options.DataSet = field(default_factory=options.DataSet)
    clips: options.Clips = field(default_factory=options.Clips)
    augment: options.Augment = field(default_factory=options.Augment)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    pretext: options.Pretext = field(default_factory=options.Pretext)
    optim: options.Optim = field(default_factory=options.Optim)
    monitor: options.Monitor = field(default_factory=options.Monitor)
    run: options.TrainingRun = field(default_factory=options.TrainingRun)
    run_dir: str = "runs/pretrain"
    """Folder of the run, to which everything is written."""
    estimate: bool = False
    """Run a few dozen steps, say what the run would take and what sets its pace, and keep nothing."""

    def __post_init__(self) -> None:
        if self.pretext.queue_length < self.optim.total_batch:
            raise ConfigError(
                f"pretext.queue_length: {self.pretext.queue_length}; it must hold a step's "
                f"{self.optim.total_batch} videos (optim.total_batch)"
            )


def main(config: Config) -> dict[str, Any]:
    """Train, and return the result that is also printed as the last line."""
    return estimate.only(config, begin) if config.estimate else begin(config)


def begin(config: Config) -> dict[str, Any]:
    """Train in the run's folder, and return the result."""
    start = partial(launch.start, trains=True, run_dir=config.run_dir, trackers=config.run.trackers)
    return run_once(config.run_dir, config, train, start=start, report=leave)


def train(config: Config, run: Run) -> dict[str, Any]:
    """Train from the newest checkpoint, if there is one."""
    # torch takes seconds to import; mistakes in the config and missing videos have been reported by now.
    from rspnet.data.augment import Augment
    from rspnet.data.clip_dataset import random_clips
    from rspnet.data.index import describe, load, others, select, selection
    from rspnet.data.lengths import tell_long_queue, tell_speeds
    from rspnet.data.sets import TrainSet
    from rspnet.encoders import check_clips
    from rspnet.method import optim
    from rspnet.method.draws import StepDraws
    from rspnet.method.pretext import RSPNet
    from rspnet.method.steps import check_micro_batches, pretrain_step
    from rspnet.running import monitor, tuning
    from rspnet.running.loop import TrainLoop
    from rspnet.running.network import begin_network
    from rspnet.weights.load import save_network
    from rspnet.weights.pretraining import load_pretraining

    accelerator, processes = run.accelerator, {"rank": run.team.rank, "world_size": run.team.world_size}
    seed, total_batch, speeds = config.run.seed, config.optim.total_batch, config.pretext.speeds
    draws = StepDraws(seed, total_batch, speeds, bn_groups=config.pretext.bn_groups, **processes)
    check_micro_batches(config.run.micro_batches, draws.groups, "batch-norm groups")
    check_clips(config.encoder, config.clips, batch=draws.group_size, training=True)

    # Encoder -> RSPNet; one process or many
    method = {name: value for name, value in vars(config.pretext).items() if name not in ("speeds", "bn_groups")}
    rspnet = partial(RSPNet, num_frames=config.clips.num_frames, groups=draws.groups, **method)
    weights = run.read_weights()
    model, clip = begin_network(config, rspnet, weights=weights, load=load_pretraining)
    del weights
    optimizer, schedule = optim.recipe(model, config.optim)
    model, optimizer = accelerator.prepare(model, optimizer)

    # Videos -> batches of two clips of each video; only the frames that a step shows are read
    index = load(run.keep_videos())
    videos, left_out = select(index, "train" if any(index["split"]) else None, config.data.fold)
    augment = Augment.to_feed(clip, **vars(config.augment))
    tuning.compile_step(model, accelerator.device, augment, wanted=config.run.compile)
    views = {"views": 2, "top_speed": max(speeds)}
    clips = random_clips(videos, clip, augment.crop_area, seed=seed, **views, **config.data.limits())
    workers, allowed = machine.workers(config.data.num_workers), config.data.max_failures
    reading: Any = {"num_workers": workers, "max_failures": allowed, "passes": config.optim.passes}
    train_set = TrainSet(clips, total_batch, run.team, speeds=draws.shown, **reading)

    in_parts: Any = {"accelerator": accelerator, "micro_batches": config.run.micro_batches}
    monitored = monitor.Monitor(config.monitor, run, clip, data=config.data, num_workers=workers)

    plan = log.plan(schedule, train_set, world_size=run.team.world_size, device=accelerator.device.type)
    of_videos = f"{console.some(len(videos), 'video')}{selection(left_out, others(index, videos, left_out))}; {draws}"
    console.say(opening(run.config, run.run_dir), of_videos, *plan, *draws.remarks())
    tell_speeds(clips)
    tell_long_queue(config.pretext.queue_length, len(videos))

    with TrainLoop(run, model, optimizer, schedule=schedule, train_set=train_set, often=config.run) as loop:
        for epoch in loop.epochs():
            optim.set_lr(optimizer, schedule(epoch))
            for step, batch in loop.batches():
                query_and_key = loop.shown(augment.views(batch, accelerator.device), clip)
                terms = pretrain_step(model, query_and_key, draws[step], **in_parts)
                optimizer.step()
                optimizer.zero_grad()
                loop.step(terms)
            encoder = loop.model.query_encoder.encoder
            loop.end_epoch(monitored=monitored(encoder, epoch, schedule.epochs))

    result = loop.result("pretrain", **loop.state.last_epoch, num_videos=len(videos), weights=config.weights)
    if accelerator.is_main_process:
        provenance = {**result, "epoch": config.optim.epochs, "data": describe(videos)}
        save_network(run.run_dir, loop.model.query_encoder.encoder, clips=vars(config.clips), provenance=provenance)
    return result


if __name__ == "__main__":
    run(main, Config)
