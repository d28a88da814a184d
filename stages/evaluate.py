"""Evaluate a network: as a classifier, or by what its features tell without training it further.

    python stages/evaluate.py --config configs/finetune/ucf101_c3d.yaml --weights runs/finetune
    accelerate launch stages/evaluate.py --weights runs/c3d --protocol retrieval --data.root VIDEOS

--weights is a run folder, a published checkpoint or another weight file, or `none` for a network with fresh weights. It
also says which network it is and which clips it was trained on: options and configs that differ win, and it is said.
The protocols, all on central crops of `clips.views` clips spread evenly over each video
(configs/retrieval/ has the published retrieval):

    classify    the fine-tuned classifier; its logits averaged over the clips
    retrieval   test videos look for their class among the training videos,
                by the cosine of pooled features averaged over the clips;
                without labels it only lists each video's neighbours
    knn         the same features; a weighted vote of the 20 nearest
                training videos
    linear      the same features; logistic regression on those of the
                training videos

Retrieval is measured by the recall at 1, 5, 10, 20 and 50, the others by the top-1 and top-5 accuracy.

Writes into --run_dir: result.json, predictions.jsonl (retrieval: neighbours.jsonl) with one line per test video,
config.yaml, environment.json and index.parquet. The last line on stdout is the result as JSON.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rspnet import console
from rspnet.cli import implied, options
from rspnet.cli.command import run
from rspnet.console import some
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running import launch, machine
from rspnet.running.folder import Run, run_once
from rspnet.weights.description import named_weights

if TYPE_CHECKING:
    from collections import Counter

    from datasets import Dataset
    from torch import nn

    from rspnet.clipspec import ClipSpec
    from rspnet.evaluation.predict import Outputs
    from rspnet.weights.read import WeightFile


@dataclass
class Config:
    """What is measured, of which network, and where the result is kept."""

    unused: ClassVar = ("augment", "frozen", "optim", "pretext")  # in a training's config, which serves here too
    private: ClassVar = ("weights", "run", "run_dir")
    implied: ClassVar = implied.by_weights

    weights: str | None = None
    """Network to evaluate: a run folder, a weight file, or `none` for fresh weights."""
    protocol: Literal["classify", "retrieval", "knn", "linear"] = "classify"
    """What is measured; the protocols are explained above."""
    pooling: Literal["average", "max"] = "average"
    """How retrieval, knn and linear pool a feature map over its positions: average as in the published code, or max as
    the paper describes retrieval."""
    data: options.DataSet = field(default_factory=options.DataSet)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    test: options.Test = field(default_factory=options.Test)
    run: options.Run = field(default_factory=options.Run)
    run_dir: str | None = None
    """Folder of the evaluation: everything that it writes lies there (null: PROTOCOL_DIGEST in the run folder that
    --weights names, or in runs/NAME of a weight file; the digest tells options apart)."""

    def __post_init__(self) -> None:
        if self.protocol == "classify" and self.pooling != "average":
            raise ConfigError(f"pooling: {self.pooling}; a classifier is tested as it was trained, on averages")
        if self.run.seed and named_weights(self.weights) is not None:
            raise ConfigError(
                f"run.seed: {self.run.seed}; only fresh weights (--weights none) are drawn: leave the seed out"
            )


def main(config: Config) -> dict[str, Any]:
    """Evaluate, and return the result that is also printed as the last line."""
    if config.weights is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` for fresh weights")
    run_dir = config.run_dir or default_run_dir(config, Path(config.weights))
    return run_once(run_dir, config, evaluate, start=partial(launch.start, trains=False, run_dir=run_dir))


def default_run_dir(config: Config, weights: Path) -> Path:
    """A folder of this evaluation's own: beside the weights, and told apart from others by what decides the result."""
    home = weights if os.path.isdir(weights) else Path("runs", weights.name.split(".")[0])
    files = [str(Path(name).absolute()) for name in (weights, config.data.root or "", config.data.index or "")]
    parts = (config.clips, config.encoder, config.pooling, config.run.seed, config.data.layout, config.data.fold)
    digest = hashlib.sha256(repr((files, parts)).encode()).hexdigest()[:8]
    return home.joinpath(f"{config.protocol}_{digest}")


def evaluate(config: Config, run: Run) -> dict[str, Any]:
    """The evaluation itself: read, embed, score, write."""
    # torch takes seconds to import: a mistake in the config or in what it says of the videos has answered by now.
    from rspnet.data.augment import normaliser
    from rspnet.data.clip_dataset import even_clips
    from rspnet.data.index import load, selection
    from rspnet.data.lengths import tell_short
    from rspnet.data.sets import Failures, TestSet
    from rspnet.encoders import check_clips
    from rspnet.evaluation.forward import Forward
    from rspnet.evaluation.predict import Outputs, predict

    check_clips(config.encoder, config.clips)
    weights = run.read_weights()
    index = load(run.keep_videos())
    queries, gallery, left_out = test_and_training_videos(config, index)
    network, clip = trained_network(config, weights, index.features["label"].names)
    if weights is not None and config.protocol == "classify":
        for line in implied.fold_remarks(weights, run.facts):
            console.say(line)
    model = run.accelerator.prepare_model(network, evaluation_mode=True)
    forward = Forward(model, normaliser(clip), accelerator=run.accelerator, team=run.team)
    workers = machine.workers(config.data.num_workers)

    def outputs_of(videos: "Dataset", desc: str) -> Outputs:
        clips = even_clips(videos, clip, **config.data.limits())
        tell_short(clips, desc)
        failures = Failures(videos, config.data.max_failures)
        test_set = TestSet(clips, failures, batch=config.test.batch, team=run.team, num_workers=workers)
        return predict(forward, test_set, desc)

    pooling = {} if config.protocol == "classify" else {"pooling": config.pooling}
    pooled = f", {config.pooling} pooling" if pooling else ""
    console.say(
        f"{config.protocol}: {some(len(queries), 'video')}{selection(*left_out)}, {some(clip.views, 'clip')} of "
        f"{some(clip.num_frames, 'frame')} each, central crop {clip.size}{pooled}"
    )
    tested = outputs_of(queries, "test videos")
    known = [] if gallery is None else [outputs_of(gallery, "training videos")]
    file, lines, score = PROTOCOLS[config.protocol](tested, *known)
    run.write_lines(file, lines)
    return {
        "stage": "evaluate",
        "protocol": config.protocol,
        "weights": config.weights,
        "arch": config.encoder.name,
        "views": clip.views,
        **run.facts,
        "num_failed": sum(outputs.num_failed for outputs in (tested, *known)),
        **pooling,
        **score,
    }


def test_and_training_videos(config: Config, index: "Dataset") -> "tuple[Dataset, Dataset | None, list[Counter[str]]]":
    """The queries, the gallery of features if there is one, and what was left out of both."""
    from rspnet.data.clip_dataset import test_split
    from rspnet.data.duplicates import tell_leaks
    from rspnet.data.index import check_labels, select

    unlabelled = not index.features["label"].names or set(index["split"]) == {None}
    if config.protocol == "retrieval" and unlabelled:
        videos, left_out = select(index, None, config.data.fold)
        return videos, None, [left_out]
    queries, left_out = select(index, test_split(index), config.data.fold)
    if config.protocol == "classify":
        check_labels(queries)
        with suppress(ConfigError):  # a test set alone is enough
            tell_leaks(select(index, "train", config.data.fold)[0], queries)
        return queries, None, [left_out]
    gallery, gallery_left_out = select(index, "train", config.data.fold)
    check_labels(queries, gallery)
    tell_leaks(gallery, queries)
    return queries, gallery, [left_out, gallery_left_out]


def trained_network(config: Config, weights: "WeightFile | None", names: list[str]) -> "tuple[nn.Module, ClipSpec]":
    """What maps views (N, V, 3, T, H, W) to logits or features, and what it is to be fed with."""
    from rspnet.evaluation.predict import ViewFeatures
    from rspnet.method.classifier import Classifier
    from rspnet.running.network import begin_network

    if config.protocol != "classify":
        return begin_network(config, partial(ViewFeatures, pooling=config.pooling), weights=weights)
    network, clip = begin_network(config, partial(Classifier, num_classes=len(names)), weights=weights, trained=True)
    known = names if weights is None else weights.description.get("class_names", names)
    if known != names:
        raise CheckpointError(f"{config.weights}: was trained on other classes than these videos have: {known[:5]} ...")
    return network, clip


# The protocols: outputs for the test videos, and for the training videos where they are looked at -> the file for what
# is said of each test video, its lines, and what the result tells.
Score = tuple[str, list[dict[str, Any]], dict[str, Any]]


def classify(tested: "Outputs") -> Score:
    """Of logits."""
    from rspnet.evaluation.accuracy import accuracy, chance_top
    from rspnet.evaluation.predict import predictions

    chance = chance_top(tested.index.features["label"].num_classes)["top1"]
    found = accuracy(tested.values, tested.labels)
    return "predictions.jsonl", predictions(tested), {**found, "num_videos": len(tested), "chance_top1": chance}


def retrieval(tested: "Outputs", known: "Outputs | None" = None) -> Score:
    """Of features; where there is no gallery, each video's neighbours among the others, and no number."""
    from rspnet.evaluation.neighbours import chance_recall, neighbours, recall
    from rspnet.evaluation.predict import nearest

    gallery = tested if known is None else known
    score: dict[str, Any] = {"num_gallery": len(gallery), "num_queries": len(tested)}
    if known is not None:
        found = recall(tested.values, tested.labels, gallery_features=known.values, gallery_labels=known.labels)
        score["recall"] = {str(k): value for k, value in found.items()}
        score["chance"] = {str(k): value for k, value in chance_recall(tested.labels, known.labels).items()}
    places, similarities = neighbours(tested.values, gallery.values, 10, exclude_self=known is None)
    return "neighbours.jsonl", nearest(tested, gallery, places=places, similarities=similarities), score


def knn(tested: "Outputs", known: "Outputs") -> Score:
    """Of features."""
    from rspnet.evaluation.neighbours import knn_votes

    num_classes = known.index.features["label"].num_classes
    votes = knn_votes(tested.values, known.values, known.labels, num_classes=num_classes)
    file, lines, score = classify(dataclasses.replace(tested, values=votes))
    return file, lines, {"num_gallery": len(known), **score}


def linear(tested: "Outputs", known: "Outputs") -> Score:
    """Of features."""
    from rspnet.evaluation.linear import linear_probe

    num_classes = known.index.features["label"].num_classes
    logits = linear_probe(known.values, known.labels, tested.values, num_classes=num_classes)
    file, lines, score = classify(dataclasses.replace(tested, values=logits))
    return file, lines, {"num_gallery": len(known), **score}


PROTOCOLS: dict[str, Callable[..., Score]] = {
    "classify": classify,
    "knn": knn,
    "linear": linear,
    "retrieval": retrieval,
}


if __name__ == "__main__":
    run(main, Config)
