"""Evaluate a network: as a classifier, or by its features, without training it further.

    python stages/evaluate.py --config configs/finetune/ucf101_c3d.yaml --weights runs/finetune
    accelerate launch stages/evaluate.py --weights runs/c3d --protocol knn,linear --data.root DIR

--weights is a run folder, a published checkpoint or another weight file, or `none` for a network with fresh weights. It
also determines the network and its clips; a config or an option that differs wins, and a line says so. The protocols,
on central crops of `clips.views` clips of each video, spread evenly but for the last three (configs/retrieval/ has the
published retrieval):

    classify    the fine-tuned classifier; logits are averaged over the clips
    retrieval   test videos look for their class among the training videos,
                by the cosine of pooled features averaged over the clips;
                without labels it only lists each video's neighbours
    knn         the same; a weighted vote of the 20 nearest training videos
    linear      the same features; logistic regression on those of the
                training videos
    few_shot    the same on 1, 5, 8 and 10 training videos of each class,
                ten draws of each
    cluster     the same features; k-means on test videos, ten draws
    speed       which of two clips of a video plays faster, 1x, 2x or 4x:
                a linear probe on the difference of their features
    arrow_of_time
                which of two plays of a clip runs backwards: likewise
    pretext     the pretraining's own two tasks; for weights that have its heads

Retrieval is measured by recall at 1, 5, 10, 20 and 50, clusters by their v-measure, the others by accuracy, each with
chance and a 95 % interval. The last three need neither labels nor a split: without one, half of the videos are tested.
All but the first can be combined, as in `retrieval,knn,linear`: retrieval to cluster together read each video once, and
so do the two probes. For retrieval to cluster, --features FILE, from stages/extract.py (whole videos) or an evaluation,
takes the place of weights and videos. --compare random also measures the same network with fresh weights.

Writes into --run_dir: result.json, predictions.jsonl (retrieval: neighbours.jsonl; for several protocols
predictions_PROTOCOL.jsonl) with one line per test video, features.parquet (retrieval to cluster), config.yaml,
environment.json and index.parquet. The last line on stdout is the result as JSON, for several each under its name.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import dataclasses
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from rspnet import console
from rspnet.cli import implied, options
from rspnet.cli.command import run
from rspnet.console import some
from rspnet.errors import CheckpointError, ConfigError
from rspnet.report.leaving import leave
from rspnet.running import launch
from rspnet.running.folder import Run, run_once
from rspnet.running.sources import as_made
from rspnet.running.telling import opening
from rspnet.weights.description import is_export, named_weights, settled
from rspnet.weights.manifest import is_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset
    from torch import nn

    from rspnet.clipspec import ClipSpec
    from rspnet.data.held_out import Lists
    from rspnet.evaluation.found import Found
    from rspnet.evaluation.predict import Outputs
    from rspnet.running.looking import Looker
    from rspnet.weights.heads import Heads
    from rspnet.weights.read import WeightFile

ON_FEATURES = ("classify", "retrieval", "knn", "linear", "few_shot", "cluster")
"""Protocols that use a network's outputs for whole videos: rspnet/evaluation/protocols.py."""
ON_CLIPS = ("speed", "arrow_of_time", "pretext")
"""Protocols that use clips of their own: rspnet/evaluation/probes.py and pretext.py."""
NAMES = (*ON_FEATURES, *ON_CLIPS)


@dataclass
class Config:
    """What is measured, with which network, and where the result goes."""

    unused: ClassVar = options.OF_TRAINING
    private: ClassVar = ("weights", "run", "run_dir", "estimate")
    implied: ClassVar = implied.by_weights

    weights: str | None = None
    """Network to evaluate: a run folder, a weight file, or `none` for fresh weights."""
    features: str | None = None
    """File or folder of features to measure instead of a network and videos."""
    protocol: str = "classify"
    """What is measured: classify, or some of the others, separated by commas; explained above."""
    compare: Literal["random"] | None = None
    """Also measure the same network with fresh weights (drawn with run.seed), and the differences."""
    pooling: Literal["average", "max"] = "average"
    """How a feature map is pooled over its positions: average as in the published code, or max as the paper describes
    retrieval."""
    data: options.DataSet = field(default_factory=options.DataSet)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    test: options.Test = field(default_factory=options.Test)
    run: options.Evaluation = field(default_factory=options.Evaluation)
    run_dir: str | None = None
    """Folder that everything is written to (null: PROTOCOL_DIGEST in the run folder that --weights names, or in
    runs/NAME for a weight file or an exported folder; the digest differs with the options)."""

    @property
    def protocols(self) -> list[str]:
        """Names of the protocols."""
        return [name.strip() for name in self.protocol.split(",")]

    @property
    def on_features(self) -> list[str]:
        """The protocols that are in `ON_FEATURES`."""
        return [name for name in self.protocols if name in ON_FEATURES]

    @property
    def on_clips(self) -> list[str]:
        """The protocols that are in `ON_CLIPS`."""
        return [name for name in self.protocols if name in ON_CLIPS]

    def __post_init__(self) -> None:
        for name in self.protocols:
            if name not in NAMES:
                raise ConfigError(f"protocol: {name!r}; choose from {', '.join(NAMES)}")
        if len(set(self.protocols)) < len(self.protocols) or (len(self.protocols) > 1 and "classify" in self.protocols):
            raise ConfigError(f"protocol: {self.protocol}; can be combined: {', '.join(NAMES[1:])}, each once")
        if self.features is not None and (self.on_clips or self.protocol == "classify"):
            what = f"{self.on_clips[0]} is measured" if self.on_clips else "a classifier is tested"
            raise ConfigError(f"--features: {what} on videos; choose from {', '.join(ON_FEATURES[1:])}")
        if self.features is not None and (self.weights or self.data.root or self.data.index):
            raise ConfigError("--features: replaces --weights, --data.root and --data.index; leave them out")
        if self.features is not None and self.run.compile:
            raise ConfigError("run.compile: true; with --features there is no network to compile: leave it out")
        if self.protocol == "classify" and self.pooling != "average":
            raise ConfigError(
                f"pooling: {self.pooling}; a classifier is tested as it was trained, with average pooling"
            )
        if "pretext" in self.protocols and self.weights == "none":
            raise ConfigError("protocol: pretext; fresh weights have learnt no task: give those of a pretraining")
        if self.on_clips and self.clips.num_frames == 1:
            raise ConfigError(f"clips.num_frames: 1; {self.on_clips[0]} is measured on clips of several frames")
        if self.compare and (self.features is not None or self.protocol == "classify" or self.weights == "none"):
            raise ConfigError("--compare: is for the features of a network with weights, computed from videos")
        if self.run.seed and not (self.compare or self.on_clips or named_weights(self.weights) is None):
            raise ConfigError(f"run.seed: {self.run.seed}; only fresh weights and probed clips are drawn: leave it out")


def main(config: Config) -> dict[str, Any]:
    """Evaluate, and return the result that is also printed as the last line."""
    measured = config.features if config.features is not None else config.weights
    if measured is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` for fresh weights")
    if config.features is None and named_weights(measured) is not None:
        with suppress(CheckpointError):  # `run_once` raises it again if it matters
            measured = settled(measured)
        config = dataclasses.replace(config, weights=measured)
    run_dir = config.run_dir or default_run_dir(config, Path(measured))
    config = as_made(config, Path(run_dir))
    start = partial(launch.start, trains=False, run_dir=run_dir, trackers=config.run.trackers)
    return run_once(run_dir, config, evaluate, start=start, report=leave)


def default_run_dir(config: Config, measured: Path) -> Path:
    """Return a folder for this evaluation in the run folder of the weights, named by what determines the result."""
    has_home = os.path.isdir(measured) and config.features is None and not is_export(measured)
    home = measured if has_home else Path("runs", measured.name.split(".")[0])
    if has_home and is_checkpoint(measured):  # whose folder must not change
        home = measured.parent.parent if measured.parent.name == "checkpoints" else Path("runs", measured.name)
    files = [str(Path(name).absolute()) for name in (measured, config.data.root or "", config.data.index or "")]
    known = (config.clips, config.encoder, config.pooling, config.run.seed, config.data.layout, config.data.fold)
    parts = known if config.compare is None else (*known, config.compare)
    digest = hashlib.sha256(repr((files, parts)).encode()).hexdigest()[:8]
    return home.joinpath(f"{config.protocol.replace(',', '_')}_{digest}")


def evaluate(config: Config, run: Run) -> dict[str, Any]:
    """Evaluate in the run's folder, and return the result."""
    # torch takes seconds to import; mistakes in the config and missing videos have been reported by now.
    from rspnet.data.held_out import chosen
    from rspnet.data.index import load
    from rspnet.encoders import check_clips
    from rspnet.evaluation.found import beside, check_some
    from rspnet.running.findings import keep_findings
    from rspnet.weights.heads import load_heads

    weights, heads = None, None
    if config.features is None:
        check_clips(config.encoder, config.clips)
        weights = run.read_weights()
        heads = load_heads(str(config.weights)) if "pretext" in config.protocols else None
    index = load(run.keep_videos())
    console.say(opening(run.config, run.run_dir))
    lists = chosen(index, config.on_features, config.on_clips, fold=config.data.fold, seed=config.run.seed)
    asked = Asked(*lists, heads, index.features["label"].names)
    found, facts, num_failed = measured(config, run, weights, asked=asked)
    check_some(found)
    keep_findings(run, found)
    scores = {name: found[name].score for name in config.protocols}
    if config.compare is not None:
        console.say("now the same network with fresh weights")
        fresh, _, _ = measured(config, run, None, asked=asked, fresh=True)
        beside(found, fresh)
    shown = scores[config.protocol] if len(scores) == 1 else scores
    return {"stage": "evaluate", "protocol": config.protocol, **facts, "num_failed": num_failed, **shown}


class Asked(NamedTuple):
    """What networks are measured on: videos for features and for probes, a pretraining's heads, the class names."""

    labelled: "Lists | None"
    probed: "Lists | None"
    heads: "Heads | None"
    names: list[str]


def measured(
    config: Config, run: Run, weights: "WeightFile | None", *, asked: Asked, fresh: bool = False
) -> "tuple[dict[str, Found], dict[str, Any], int]":
    """Return each protocol's findings on a network, facts for the result, and the number of unreadable videos."""
    from rspnet.data.index import selection
    from rspnet.evaluation.found import if_possible
    from rspnet.evaluation.protocols import PROTOCOLS
    from rspnet.running.findings import keep_features, tell_near
    from rspnet.running.looking import probe

    told = of_videos(config, run, weights, names=asked.names) if config.features is None else of_features(config, run)
    found: dict[str, Found] = {}
    outputs: list[Outputs] = []
    if videos := asked.labelled:
        if not fresh:
            number = f"{some(len(videos.tested), 'video')}{selection(*videos.left_out)}"
            console.say(f"{','.join(config.on_features)}: {number}, {told.described}")
        outputs = [told.outputs_of(*each) for each in videos.named]
        if told.looker is not None and not fresh and config.protocol != "classify":
            keep_features(run, outputs, told.facts, clip=told.looker.clip)
        found = {name: if_possible(name, partial(PROTOCOLS[name], *outputs)) for name in config.on_features}
        tell_near([] if fresh or config.protocol == "classify" else outputs)
    if asked.probed and told.looker is not None:
        probes = probe(config.on_clips, told.looker, asked.probed, heads=asked.heads, fresh=fresh)
        found, outputs = {**found, **probes.found}, [*outputs, *probes.outputs]
    return found, told.facts, len(set().union(*(each.unread for each in outputs)))


class Told(NamedTuple):
    """A function (videos, their name) -> outputs; facts for the result; the input in words; what looks at clips."""

    outputs_of: "Callable[[Dataset, str], Outputs]"
    facts: dict[str, Any]
    described: str
    looker: "Looker | None" = None


def of_videos(config: Config, run: Run, weights: "WeightFile | None", *, names: list[str]) -> Told:
    """Return the outputs of a network for videos, and the facts about them."""
    from rspnet.running.looking import Looker

    network, clip = trained_network(config, weights, names)
    if weights is not None and config.protocol == "classify":
        for line in implied.fold_remarks(weights, run.facts):
            console.say(line)
    looker = Looker(network, clip, run, config=config)
    pooling = {} if config.protocol == "classify" else {"pooling": config.pooling}
    fed = f"{some(clip.views, 'clip')} of {some(clip.num_frames, 'frame')} each, central crop {clip.size}"
    facts = {"weights": config.weights, "arch": config.encoder.name, "views": clip.views, **run.facts, **pooling}
    return Told(looker.outputs, facts, f"{fed}, {config.pooling} pooling" if pooling else fed, looker)


def of_features(config: Config, run: Run) -> Told:
    """Return the same for features in a file."""
    from rspnet.evaluation import features
    from rspnet.evaluation.predict import stored_outputs

    stored = features.read(str(config.features))
    made = stored.made
    facts = {"weights": made["weights"], "arch": made["arch"], "views": made["clip"]["views"], **run.facts}
    facts |= {name: made[name] for name in ("pooling", "layer")}
    clip = f"{config.clips.num_frames} x {config.clips.size}²"
    stage = "" if made["layer"] is None else f", stage {made['layer']}"
    described = f"features of {config.features}, of clips of {clip}{stage}, {made['pooling']} pooling"
    return Told(partial(stored_outputs, stored), facts, described)


def trained_network(config: Config, weights: "WeightFile | None", names: list[str]) -> "tuple[nn.Module, ClipSpec]":
    """Return the module that maps views (N, V, 3, T, H, W) to logits or features, and the clips that it expects."""
    from rspnet.evaluation.predict import ViewFeatures
    from rspnet.method.classifier import Classifier
    from rspnet.running.network import begin_network

    if config.protocol != "classify":
        return begin_network(config, partial(ViewFeatures, pooling=config.pooling), weights=weights)
    network, clip = begin_network(config, partial(Classifier, num_classes=len(names)), weights=weights, trained=True)
    known = names if weights is None else weights.description.get("class_names")
    if known is None:
        console.say(
            f"{config.weights}: does not name its classes; assuming those of these videos, in alphabetical order"
        )
    elif known != names:
        raise CheckpointError(f"{config.weights}: was trained on other classes than these videos have: {known[:5]} ...")
    return network, clip


if __name__ == "__main__":
    run(main, Config)
