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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from rspnet import console, implied, machine, options, rundir
from rspnet.command import run
from rspnet.config import dump
from rspnet.errors import CheckpointError, ConfigError


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
    data: options.Data = field(default_factory=options.Data)
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
        if self.run.seed and self.weights not in (None, "none"):
            raise ConfigError(
                f"run.seed: {self.run.seed}; only fresh weights (--weights none) are drawn: leave the seed out"
            )


def main(config: Config) -> dict:
    """Evaluate, and return the result that is also printed as the last line."""
    if config.weights is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` for fresh weights")
    run_dir = Path(config.run_dir or default_run_dir(config))
    work = partial(evaluate, config, run_dir)
    return rundir.run_once(run_dir, dataclasses.asdict(config), dump(config), start, work)


def default_run_dir(config: Config) -> Path:
    """A folder of this evaluation's own: beside the weights, and told apart from others by what decides the result."""
    weights = Path(config.weights)
    home = weights if os.path.isdir(weights) else Path("runs") / weights.name.split(".")[0]
    files = [str(Path(name).absolute()) for name in (weights, config.data.root or "", config.data.index or "")]
    parts = (config.clips, config.encoder, config.pooling, config.run.seed, config.data.layout, config.data.fold)
    digest = hashlib.sha256(repr((files, parts)).encode()).hexdigest()[:8]
    return home / f"{config.protocol}_{digest}"


def start() -> Any:
    """The accelerator of all processes of the evaluation."""
    from accelerate import Accelerator

    return rundir.fit(Accelerator(), trains=False)


def evaluate(config: Config, run_dir: Path, start: rundir.Start) -> dict:
    """The evaluation itself."""
    # torch takes seconds to import: a mistake in the config or in what it says of the videos has answered by now.
    import torch

    from rspnet import accuracy, batches, dataset, lengths, linear, neighbours
    from rspnet.augment import normalise
    from rspnet.classifier import Classifier
    from rspnet.encoders import check_clips, create_encoder, encoder_spec
    from rspnet.index import check_labels, load, select
    from rspnet.predict import ViewFeatures, predict, write_neighbours, write_predictions
    from rspnet.weightfile import read_weights
    from rspnet.weights import clip_of, load_weights

    accelerator, team = start.accelerator, start.team
    check_clips(config.encoder.name, config.clips.num_frames, config.clips.size, config.encoder.width)
    weights = None if config.weights == "none" else read_weights(config.weights)

    # Videos -> queries (the test split) and, for features, a gallery (the training split)
    index = load(start.keep_videos())
    splits, names = set(index["split"]), index.features["label"].names
    unlabelled = config.protocol == "retrieval" and (not names or splits == {None})
    query_split = None if unlabelled else dataset.test_split(index)
    queries, left_out = select(index, query_split, config.data.fold)
    gallery = queries
    if config.protocol != "classify" and not unlabelled:
        gallery, gallery_out = select(index, "train", config.data.fold)
        left_out += gallery_out
    if not unlabelled:
        check_labels(*([queries] if gallery is queries else [queries, gallery]))

    workers = machine.workers(config.data.num_workers)

    def outputs_of(videos, desc: str) -> tuple[torch.Tensor, torch.Tensor, int]:
        picker = dataset.Picker(config.clips.num_frames, config.clips.stride, config.clips.sampling, config.clips.views)
        limits = {"frame_rate": config.clips.frame_rate, "time_limit": config.data.time_limit}
        clips = dataset.ClipDataset(videos, picker, config.clips.size, **limits)
        lengths.tell_short(clips, desc)
        failures = batches.Failures(videos, config.data.max_failures)
        load = {"batch": config.test.batch, "num_workers": workers, "desc": desc}
        return predict(model, clips, normalise_clips, accelerator, team, failures, **load)

    # Weights -> classifier, or encoder
    torch.manual_seed(config.run.seed)
    width = {} if config.encoder.width is None else {"width": config.encoder.width}
    network = create_encoder(config.encoder.name, **width)
    if config.protocol == "classify":
        network = Classifier(network, len(names))
    if weights is not None:
        report = load_weights(network, weights, head=config.protocol == "classify")
        console.say(report.summary())
        for line in implied.remarks(config.clips, weights, trained=config.protocol == "classify"):
            console.say(line)
        known = report.description.get("class_names", names)
        if config.protocol == "classify" and known != names:
            raise CheckpointError(
                f"{config.weights}: was trained on other classes than these videos have: {known[:5]} ..."
            )
    model = network if config.protocol == "classify" else ViewFeatures(network, config.pooling)
    model = accelerator.prepare_model(model, evaluation_mode=True)
    fed = encoder_spec(config.encoder.name).clip if weights is None else clip_of(weights)
    normalise_clips = partial(normalise, mean=fed.mean, std=fed.std, channels=fed.channels)
    console.say(
        f"{config.protocol}: {len(queries)} videos{f' (left out: {dict(left_out)})' if left_out else ''}, "
        f"{config.clips.views} clips of {config.clips.num_frames} frames each, central crop {config.clips.size}"
        f"{'' if config.protocol == 'classify' else f', {config.pooling} pooling'}"
    )

    rows, outputs, failed = outputs_of(queries, "test videos")
    result = {
        "stage": "evaluate",
        "protocol": config.protocol,
        "weights": config.weights,
        "arch": config.encoder.name,
        "views": config.clips.views,
        **start.facts,
        "num_failed": failed,
    }
    if config.protocol != "classify":
        result["pooling"] = config.pooling
        if unlabelled:
            gallery_rows, features = rows, outputs
        else:
            gallery_rows, features, gallery_failed = outputs_of(gallery, "training videos")
            result["num_failed"] += gallery_failed
            gallery_labels = torch.tensor(gallery["label"])[gallery_rows]
        result["num_gallery"] = len(gallery_rows)
    labels = None if unlabelled else torch.tensor(queries["label"])[rows]

    if config.protocol == "retrieval":
        result["num_queries"] = len(rows)
        if not unlabelled:
            recall = neighbours.retrieval(outputs, labels, features, gallery_labels)
            chance = neighbours.chance_recall(labels, gallery_labels)
            result["recall"] = {str(k): value for k, value in recall.items()}
            result["chance"] = {str(k): value for k, value in chance.items()}
        near = neighbours.neighbours(outputs, features, 10, exclude_self=unlabelled)
        if accelerator.is_main_process:
            write_neighbours(run_dir / "neighbours.jsonl", queries, rows, gallery, gallery_rows, *near)
    else:
        if config.protocol == "knn":
            outputs = neighbours.knn(outputs, features, gallery_labels, len(names))
        elif config.protocol == "linear":
            outputs = linear.linear_probe(features, gallery_labels, outputs, len(names))
        topk = accuracy.TopK().compute(predictions=accuracy.top_classes(outputs).tolist(), references=labels.tolist())
        result |= {**topk, "num_videos": len(rows), "chance_top1": 100 / len(names)}
        if accelerator.is_main_process:
            write_predictions(run_dir / "predictions.jsonl", queries, rows, outputs)

    accelerator.end_training()
    return result


if __name__ == "__main__":
    run(main, Config)
