"""Evaluate a network: as a classifier, or by what its features tell without training it further.

    python stages/evaluate.py --config configs/finetune/ucf101_c3d.yaml --weights runs/finetune
    accelerate launch stages/evaluate.py --weights runs/c3d --protocol knn,linear --data.root DIR

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
    few_shot    the same on 1, 5, 8 and 10 training videos of each class,
                ten draws of each
    cluster     the same features; k-means on test videos, ten draws

Retrieval is measured by the recall at 1, 5, 10, 20 and 50, clusters by their v-measure, the others by the top-1 and
top-5 accuracy, each with its 95 % interval and chance. All but the first may be taken together, as
`retrieval,knn,linear`: the videos are looked at once. --features FILE takes what stages/extract.py wrote of whole
videos, or an evaluation left behind, in place of weights and videos. --compare random tells what training has taught:
it measures the same network with fresh weights beside it, and how far they are apart.

Writes into --run_dir: result.json, predictions.jsonl (retrieval: neighbours.jsonl; of several protocols
predictions_PROTOCOL.jsonl) with one line per test video, features.parquet (but of a classifier), config.yaml,
environment.json and index.parquet. The last line on stdout is the result as JSON; of several protocols it has those of
each under its name.
"""

if __name__ == "__main__":  # before all that takes its time
    from rspnet.signals import end_at_once

    end_at_once()

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
from rspnet.disk import write_text
from rspnet.errors import CheckpointError, ConfigError
from rspnet.report.leaving import leave
from rspnet.running import launch, machine
from rspnet.running.folder import Run, run_once
from rspnet.weights.description import is_export, named_weights, settled
from rspnet.weights.manifest import is_checkpoint

if TYPE_CHECKING:
    from collections import Counter

    from datasets import Dataset
    from torch import nn

    from rspnet.clipspec import ClipSpec
    from rspnet.evaluation.predict import Outputs
    from rspnet.evaluation.protocols import Found
    from rspnet.weights.read import WeightFile

NAMES = ("classify", "retrieval", "knn", "linear", "few_shot", "cluster")
"""Of the protocols, which lie in rspnet/evaluation/protocols.py."""


@dataclass
class Config:
    """What is measured, of which network, and where the result is kept."""

    unused: ClassVar = options.OF_TRAINING
    private: ClassVar = ("weights", "run", "run_dir", "estimate")
    implied: ClassVar = implied.by_weights

    weights: str | None = None
    """Network to evaluate: a run folder, a weight file, or `none` for fresh weights."""
    features: str | None = None
    """File or folder of features that is measured, in place of a network and videos."""
    protocol: str = "classify"
    """What is measured: classify, or one or several of the others, with commas; explained above."""
    compare: Literal["random"] | None = None
    """Also measure a network of the same kind with fresh weights (drawn by run.seed), and the differences."""
    pooling: Literal["average", "max"] = "average"
    """How features are pooled from a feature map over its positions: average as in the published code, or max as
    the paper describes retrieval."""
    data: options.DataSet = field(default_factory=options.DataSet)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    test: options.Test = field(default_factory=options.Test)
    run: options.Evaluation = field(default_factory=options.Evaluation)
    run_dir: str | None = None
    """Folder of the evaluation: everything that it writes lies there (null: PROTOCOL_DIGEST in the run folder that
    --weights names, or in runs/NAME of a weight file or an exported folder; the digest tells options apart)."""

    @property
    def protocols(self) -> list[str]:
        """The protocols by name."""
        return [name.strip() for name in self.protocol.split(",")]

    def __post_init__(self) -> None:
        for name in self.protocols:
            if name not in NAMES:
                raise ConfigError(f"protocol: {name!r}; choose from {', '.join(NAMES)}")
        if len(set(self.protocols)) < len(self.protocols) or (len(self.protocols) > 1 and "classify" in self.protocols):
            raise ConfigError(f"protocol: {self.protocol}; together may be {', '.join(NAMES[1:])}, each once")
        if self.features is not None and self.protocol == "classify":
            raise ConfigError(f"--features: a classifier is tested on videos; choose from {', '.join(NAMES[1:])}")
        if self.features is not None and (self.weights or self.data.root or self.data.index):
            raise ConfigError("--features: stands in place of --weights, --data.root and --data.index; leave them out")
        if self.features is not None and self.run.compile:
            raise ConfigError("run.compile: true; --features stands in place of a network, and nothing is computed")
        if self.protocol == "classify" and self.pooling != "average":
            raise ConfigError(f"pooling: {self.pooling}; a classifier is tested as it was trained, on averages")
        if self.compare and (self.features is not None or self.protocol == "classify" or self.weights == "none"):
            raise ConfigError("--compare: is for the features of a network with weights, which are made of videos")
        if self.run.seed and not self.compare and named_weights(self.weights) is not None:
            raise ConfigError(
                f"run.seed: {self.run.seed}; only fresh weights (--weights none, --compare random) are drawn: leave "
                "the seed out"
            )


def main(config: Config) -> dict[str, Any]:
    """Evaluate, and return the result that is also printed as the last line."""
    measured = config.features if config.features is not None else config.weights
    if measured is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` for fresh weights")
    if config.features is None and named_weights(measured) is not None:
        with suppress(CheckpointError):  # which `run_once` says, where it matters
            measured = settled(measured)
        config = dataclasses.replace(config, weights=measured)
    run_dir = config.run_dir or default_run_dir(config, Path(measured))
    start = partial(launch.start, trains=False, run_dir=run_dir)
    return run_once(run_dir, config, evaluate, start=start, report=leave)


def default_run_dir(config: Config, measured: Path) -> Path:
    """A folder of this evaluation's own, in that of the weights; told apart from others by what decides the result."""
    has_home = os.path.isdir(measured) and config.features is None and not is_export(measured)
    home = measured if has_home else Path("runs", measured.name.split(".")[0])
    if has_home and is_checkpoint(measured):  # which is to stay as it was written
        home = measured.parent.parent if measured.parent.name == "checkpoints" else Path("runs", measured.name)
    files = [str(Path(name).absolute()) for name in (measured, config.data.root or "", config.data.index or "")]
    known = (config.clips, config.encoder, config.pooling, config.run.seed, config.data.layout, config.data.fold)
    parts = known if config.compare is None else (*known, config.compare)
    digest = hashlib.sha256(repr((files, parts)).encode()).hexdigest()[:8]
    return home.joinpath(f"{config.protocol.replace(',', '_')}_{digest}")


def evaluate(config: Config, run: Run) -> dict[str, Any]:
    """The evaluation itself: read, embed, score, write."""
    # torch takes seconds to import: a mistake in the config or in what it says of the videos has answered by now.
    from rspnet.data.index import load, selection
    from rspnet.encoders import check_clips
    from rspnet.evaluation.protocols import PROTOCOLS, compared

    weights = None
    if config.features is None:
        check_clips(config.encoder, config.clips)
        weights = run.read_weights()
    index = load(run.keep_videos())
    queries, gallery, left_out = test_and_training_videos(config, index)
    names = index.features["label"].names
    told = of_videos(config, run, weights, names=names) if config.features is None else of_features(config, run)
    outputs_of, facts, described, clip = told
    console.say(f"{config.protocol}: {some(len(queries), 'video')}{selection(*left_out)}, {described}")
    lists = [(queries, "test videos"), *([] if gallery is None else [(gallery, "training videos")])]
    outputs = [outputs_of(videos, desc) for videos, desc in lists]
    if clip is not None and config.protocol != "classify" and run.team.rank == 0:
        keep_features(run, outputs, facts, clip=clip)
    found = {name: PROTOCOLS[name](*outputs) for name in config.protocols}
    keep_findings(run, found)
    scores = {name: each.score for name, each in found.items()}
    if config.compare is not None:
        console.say("the same of a network with fresh weights")
        fresh_of, *_ = of_videos(dataclasses.replace(config, weights="none", compare=None), run, None, names=names)
        fresh = [fresh_of(videos, desc) for videos, desc in lists]
        for name, each in found.items():
            scores[name]["random"] = compared(each, PROTOCOLS[name](*fresh))
    score = scores[config.protocol] if len(scores) == 1 else scores
    num_failed = sum(each.num_failed for each in outputs)
    return {"stage": "evaluate", "protocol": config.protocol, **facts, "num_failed": num_failed, **score}


def of_videos(config: Config, run: Run, weights: "WeightFile | None", *, names: list[str]) -> "Told":
    """What gives the network's outputs for videos; what a result says of where they come from, and in words."""
    from rspnet.data.augment import normaliser
    from rspnet.data.clip_dataset import even_clips
    from rspnet.data.lengths import tell_short
    from rspnet.data.sets import Failures, TestSet
    from rspnet.evaluation.forward import Forward
    from rspnet.evaluation.predict import predict
    from rspnet.running import tuning

    network, clip = trained_network(config, weights, names)
    if weights is not None and config.protocol == "classify":
        for line in implied.fold_remarks(weights, run.facts):
            console.say(line)
    model = run.accelerator.prepare_model(network, evaluation_mode=True)
    tuning.compile_step(model, run.accelerator.device, wanted=config.run.compile)
    forward = Forward(model, normaliser(clip), accelerator=run.accelerator, team=run.team)
    workers = machine.workers(config.data.num_workers)

    def outputs_of(videos: "Dataset", desc: str) -> "Outputs":
        clips = even_clips(videos, clip, **config.data.limits())
        tell_short(clips, desc)
        failures = Failures(videos, config.data.max_failures)
        test_set = TestSet(clips, failures, batch=config.test.batch, team=run.team, num_workers=workers)
        return predict(forward, test_set, desc)

    pooling = {} if config.protocol == "classify" else {"pooling": config.pooling}
    fed = f"{some(clip.views, 'clip')} of {some(clip.num_frames, 'frame')} each, central crop {clip.size}"
    facts = {"weights": config.weights, "arch": config.encoder.name, "views": clip.views, **run.facts, **pooling}
    return outputs_of, facts, f"{fed}, {config.pooling} pooling" if pooling else fed, clip


def of_features(config: Config, run: Run) -> "Told":
    """The same of features that are in a file."""
    from rspnet.evaluation import features
    from rspnet.evaluation.predict import stored_outputs

    stored = features.read(str(config.features))
    made = stored.made
    facts = {"weights": made["weights"], "arch": made["arch"], "views": made["clip"]["views"], **run.facts}
    described = f"features of {config.features}, {made['pooling']} pooling"
    return partial(stored_outputs, stored), facts | {"pooling": made["pooling"]}, described, None


def keep_findings(run: Run, found: "dict[str, Found]") -> None:
    """Write what is said of each test video, and which classes are taken for which."""
    for name, each in found.items():
        suffix = "" if len(found) == 1 else f"_{name}"
        if each.lines:
            run.write_lines(each.file.replace(".", f"{suffix}."), each.lines)
        if each.confusion and run.team.rank == 0:
            write_text(run.run_dir.joinpath(f"confusion{suffix}.csv"), each.confusion)


def keep_features(run: Run, outputs: "list[Outputs]", facts: dict[str, Any], *, clip: "ClipSpec") -> None:
    """Leave the features of test and training videos behind."""
    from rspnet.evaluation import features
    from rspnet.evaluation.predict import feature_rows

    splits = ["test", "train"] if len(outputs) > 1 else [None]
    shape = outputs[0].values.shape[1:]
    known = {"shape": list(shape), "videos": facts["data_fingerprint"]}
    known["seed"] = None if facts["weights_sha256"] else facts["seed"]
    made = features.made_with(clip, facts | known)
    features.write(
        str(run.run_dir.joinpath("features.parquet")), [feature_rows(outputs, splits)], made, shape=tuple(shape)
    )


def test_and_training_videos(config: Config, index: "Dataset") -> "tuple[Dataset, Dataset | None, list[Counter[str]]]":
    """The queries, the gallery of features if there is one, and what was left out of both."""
    from rspnet.data.clip_dataset import test_split
    from rspnet.data.duplicates import tell_leaks
    from rspnet.data.index import check_labels, select

    unlabelled = not index.features["label"].names or set(index["split"]) == {None}
    if config.protocol == "retrieval" and unlabelled:
        videos, left_out = select(index, None, config.data.fold)
        return videos, None, [left_out]
    if config.protocol == "cluster":
        queries, left_out = select(
            index, None if set(index["split"]) == {None} else test_split(index), config.data.fold
        )
        check_labels(queries)
        return queries, None, [left_out]
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


# Videos of a list and what to call them -> outputs; facts for the result; how the videos are looked at, in words, and
# by what clips if they are.
Told = tuple[Callable[["Dataset", str], "Outputs"], dict[str, Any], str, "ClipSpec | None"]


if __name__ == "__main__":
    run(main, Config)
