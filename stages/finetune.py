"""Fine-tune an encoder for action recognition, or train a linear probe on it, and test the best epoch.

    python stages/finetune.py --config configs/finetune/ucf101_c3d.yaml --weights runs/c3d
    accelerate launch stages/finetune.py --weights runs/c3d --data.root VIDEOS --frozen

Reads labelled videos with a training and a test split; --weights is a pretraining run, a published checkpoint, another
weight file, or `none` to train from scratch. It also determines the network and its clips; a config or an option that
differs wins, and a line says so. Writes the run folder and resumes as stages/pretrain.py does, with the best epoch's
network in encoder.safetensors, predictions.jsonl (one line per test video), and confusion.csv (rows: the classes of
test videos, columns: what they are taken for). As published, the best epoch is chosen on the test list itself, by one
central clip per video. The options' defaults are those of the published C3D on UCF101. The last line on stdout is the
result as JSON: the final test over `clips.views` clips per video. With --estimate it runs a few dozen steps, says what
the run would take, and keeps nothing.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rspnet import console
from rspnet.cli import implied, options
from rspnet.cli.command import run
from rspnet.console import some
from rspnet.disk import write_text
from rspnet.errors import ConfigError
from rspnet.report.leaving import leave
from rspnet.running import estimate, launch, log, machine
from rspnet.running.folder import Run, run_once
from rspnet.running.telling import opening

if TYPE_CHECKING:
    from datasets import Dataset

    from rspnet.clipspec import ClipSpec
    from rspnet.evaluation.by_class import ByClass
    from rspnet.evaluation.predict import Outputs
    from rspnet.method.classifier import Classifier
    from rspnet.running.loop import TrainLoop
    from rspnet.weights.read import WeightFile

# As in every published fine-tuning: no grey, no colour jitter.
AUGMENT = partial(
    options.Augment, crop_area=[0.25, 1.0], gray=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0
)


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
    data: options.DataSet = field(default_factory=options.DataSet)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    augment: options.Augment = field(default_factory=AUGMENT)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    optim: options.Optim = field(default_factory=lambda: options.Optim(epochs=30, total_batch=40, lr=0.005))
    subset: options.Subset = field(default_factory=options.Subset)
    test: options.Test = field(default_factory=options.Test)
    run: options.TrainingRun = field(default_factory=options.TrainingRun)
    run_dir: str = "runs/finetune"
    """Folder of the run, to which everything is written."""
    estimate: bool = False
    """Run a few dozen steps and a validation, say what the run would take and what sets its pace, and keep nothing."""


def main(config: Config) -> dict[str, Any]:
    """Train, test, and return the result that is also printed as the last line."""
    if config.weights is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` to train from scratch")
    return estimate.only(config, begin) if config.estimate else begin(config)


def begin(config: Config) -> dict[str, Any]:
    """Train and test in the run's folder, and return the result."""
    start = partial(launch.start, trains=True, run_dir=config.run_dir, trackers=config.run.trackers)
    return run_once(config.run_dir, config, train, start=start, report=leave)


def train(config: Config, run: Run) -> dict[str, Any]:
    """Train from the newest checkpoint, if there is one, and test."""
    # torch takes seconds to import; mistakes in the config and missing videos have been reported by now.
    from rspnet.data.augment import Augment, normaliser
    from rspnet.data.batches import share_of
    from rspnet.data.clip_dataset import even_clips, random_clips
    from rspnet.data.index import describe, load
    from rspnet.data.lengths import tell_short
    from rspnet.data.sets import Failures, TestSet, TrainSet
    from rspnet.encoders import check_clips
    from rspnet.evaluation.forward import Forward
    from rspnet.evaluation.predict import Outputs, predict, predictions
    from rspnet.method import optim, steps
    from rspnet.running import tuning
    from rspnet.running.loop import TrainLoop
    from rspnet.weights.load import save_network

    accelerator, team, data = run.accelerator, run.team, config.data
    in_parts: Any = {"accelerator": accelerator, "micro_batches": config.run.micro_batches}
    share = share_of(config.optim.total_batch, team.world_size)
    part = steps.check_micro_batches(config.run.micro_batches, share, "videos")
    check_clips(config.encoder, config.clips, batch=part, training=not config.frozen)
    weights = run.read_weights()

    # Labelled videos
    train_videos, test_videos, described = labelled_videos(config, index := load(run.keep_videos()))

    # Encoder -> classifier; one process or many
    names = index.features["label"].names
    model, clip = begun_classifier(config, weights, names)
    del weights  # frees memory: a published file also holds its optimiser and queue
    optimizer, schedule = optim.recipe(model, config.optim)
    model, optimizer = accelerator.prepare(model, optimizer)

    # Videos -> random training clips, and evenly spaced test views
    augment, limits = Augment.to_feed(clip, **vars(config.augment)), data.limits()
    tuning.compile_step(model, accelerator.device, augment, wanted=config.run.compile)
    clips = random_clips(train_videos, clip, augment.crop_area, seed=config.run.seed, **limits)
    workers, failures = machine.workers(data.num_workers), Failures(test_videos, data.max_failures)
    reading: Any = {"num_workers": workers, "max_failures": data.max_failures, "passes": config.optim.passes}
    train_set = TrainSet(clips, config.optim.total_batch, team, **reading)

    def test(views: int, desc: str) -> Outputs:
        clips = even_clips(test_videos, clip, views=views, **limits)
        test_set = TestSet(clips, failures, batch=config.test.batch, team=team, num_workers=workers)
        return predict(Forward(model, normaliser(clip), accelerator=accelerator, team=team), test_set, desc)

    console.say(opening(run.config, run.run_dir), described)
    console.say(*log.plan(schedule, train_set, world_size=team.world_size, device=accelerator.device.type))
    tell_short(clips, "training videos")
    tell_short(even_clips(test_videos, clip, **limits), "test videos")

    with TrainLoop(run, model, optimizer, schedule=schedule, train_set=train_set, often=config.run) as loop:
        for epoch in loop.epochs():
            optim.set_lr(optimizer, schedule(epoch))
            model.train()
            for _, batch in loop.batches():
                inputs, labels = loop.shown(augment.views(batch, accelerator.device), clip), batch["label"]
                terms = steps.finetune_step(model, inputs, labels.to(accelerator.device, non_blocking=True), **in_parts)
                optimizer.step()
                optimizer.zero_grad()
                loop.step(terms)
            found = test(1, "validation")
            loop.end_epoch(measured(found), failed=found.num_failed, class_accuracy=classes(found).accuracy)

    loop.load_best()
    result = tested(config, loop, found := test(clip.views, f"test, {clip.views} clips a video"))
    run.write_lines("predictions.jsonl", predictions(found))
    if accelerator.is_main_process:
        write_text(run.run_dir.joinpath("confusion.csv"), classes(found).csv())
        provenance = {**result, "epoch": loop.state.best_epoch, "data": describe(index)}
        save_network(run.run_dir, loop.model, clips=vars(config.clips), provenance=provenance)
    return result


def labelled_videos(config: Config, index: "Dataset") -> "tuple[Dataset, Dataset, str]":
    """Return the training videos, the test videos, and their numbers in words."""
    from rspnet.data.clip_dataset import test_split
    from rspnet.data.duplicates import tell_leaks
    from rspnet.data.few import draw
    from rspnet.data.index import check_labels, select, selection

    train_videos, left_out = select(index, "train", config.data.fold)
    test_videos, test_left_out = select(index, test_split(index), config.data.fold)
    check_labels(train_videos, test_videos)
    if config.subset.videos is not None:
        train_videos = draw(train_videos, config.subset.videos, config.subset.seed)
    tell_leaks(train_videos, test_videos)
    described = (
        f"{some(len(train_videos), 'training video')} and {some(len(test_videos), 'test video')} of "
        f"{some(len(index.features['label'].names), 'class', 'classes')}{selection(left_out, test_left_out)}"
    )
    return train_videos, test_videos, described


def begun_classifier(config: Config, weights: "WeightFile | None", names: list[str]) -> "tuple[Classifier, ClipSpec]":
    """Return the classifier that training begins with, and the clips that it expects."""
    from rspnet.method.classifier import Classifier
    from rspnet.running.network import begin_network

    classifier = partial(Classifier, num_classes=len(names), frozen=config.frozen, class_names=names)
    return begin_network(config, classifier, weights=weights)


def measured(found: "Outputs") -> dict[str, float]:
    """Return the accuracy and the loss of a test's logits."""
    from torch.nn.functional import cross_entropy

    from rspnet.evaluation.accuracy import accuracy

    return {**accuracy(found.values, found.labels), "loss": cross_entropy(found.values, found.labels).item()}


def classes(found: "Outputs") -> "ByClass":
    """Return a test's outcome class by class."""
    from rspnet.evaluation.by_class import by_class

    return by_class(found.values, found.labels, found.index.features["label"].names)


def tested(config: Config, loop: "TrainLoop", found: "Outputs") -> dict[str, Any]:
    """Return the result of the run, with its final test."""
    return loop.result(
        "finetune",
        **measured(found),
        class_accuracy=classes(found).accuracy,
        num_videos=len(found),
        num_failed=found.num_failed,
        best_val_top1=loop.state.best,
        best_epoch=loop.state.best_epoch,
        chance_top1=loop.model.chance["val_top1"],
        views=config.clips.views,
        weights=config.weights,
        frozen=config.frozen,
    )


if __name__ == "__main__":
    run(main, Config)
