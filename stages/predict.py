"""Predict the classes of videos, or of windows of them.

    python stages/predict.py ROOT --weights runs/c3d_ucf101 | jq -r '[.video, .classes[0]] | @tsv'
    python stages/predict.py film.mp4 --weights runs/c3d_ucf101 --window 2 --step 1 --out film.jsonl

ROOT is any folder of videos, the folder of a data set, an index or a list, video files, or - for paths or rows on
standard input; several may be given. No labels are needed.

Writes one JSON object per line to stdout, in the order of the videos: video, start, end (seconds), classes (best
first), probabilities and status; or a .jsonl or .parquet file with --out. A video that cannot be read gives a line
whose status says why. Without --window and --step a line is for a whole video, as stages/evaluate.py tests it;
otherwise it is for a window, however long the film. With --out, what is done so far lies in OUT.partial, the same
command goes on from there, and the last line on stdout sums it up. Several processes (accelerate launch) then share the
videos, as do several separate commands with the same --out (--share, a SLURM array, srun): whichever ends last writes
the file. Where videos have labels among the classes, stderr says how many predictions are right.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rspnet import console
from rspnet.cli import bounds, implied, options
from rspnet.cli.command import run
from rspnet.console import percent, some
from rspnet.disk import is_there, sha256
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running import launch
from rspnet.running.share import read_share, refuse_pipes
from rspnet.stdout import print_json
from rspnet.weights.description import find_weights, named_weights, settled

if TYPE_CHECKING:
    from rspnet.clipspec import ClipSpec
    from rspnet.data.rows import Row
    from rspnet.evaluation.predictions import Sayings
    from rspnet.running.shelf import Shelf
    from rspnet.weights.read import WeightFile


@dataclass
class Config:
    """Which videos, which classifier, and where the predictions go."""

    unused: ClassVar = options.OF_TRAINING
    private: ClassVar = ("weights", "run", "run_dir", "estimate")
    implied: ClassVar = implied.by_weights

    sources: list[str]
    """Videos: folders, indexes or lists (.jsonl, .parquet, .txt, .csv, .tsv), video files, or - for standard input."""
    weights: str | None = None
    """Classifier: a fine-tuned run folder, or a weight file with a classifier."""
    out: str = "-"
    """File that is written (.jsonl or .parquet); - is stdout."""
    top: int = 5
    """Number of classes to list, at most."""
    window: float | str | None = None
    """Length of a window, such as 2.5 (seconds) or 64f (frames) (null: the whole video; with --step a clip's
    length)."""
    step: float | str | None = None
    """From the beginning of one window to that of the next, likewise (null: the length of a window)."""
    share: str | None = None
    """Which share of the videos is read, such as 3/64, when several such commands have the same --out (null: what a
    SLURM array or srun says; without one, all)."""
    data: options.Data = field(default_factory=options.Data)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    test: options.Test = field(default_factory=options.Test)
    run: options.Run = field(default_factory=options.Run)

    def __post_init__(self) -> None:
        from rspnet.data.windows import read_windows

        read_windows(None, self.window, self.step)
        read_share(self.share, team=True)
        bounds.within(self, 1, bounds.STEPS, "top")


def main(config: Config) -> dict[str, Any]:
    """Predict, and return the summary."""
    from rspnet.data.fetched import bound
    from rspnet.data.source import read_sources, sorted_out, splits_of
    from rspnet.data.windows import read_windows
    from rspnet.evaluation import predictions

    named = named_weights(config.weights)
    if named is None:
        raise ConfigError("--weights: name a fine-tuned run folder, or a weight file with a classifier")
    config = dataclasses.replace(config, weights=settled(named))
    predictions.check_out(config.out)
    share = read_share(config.share, team=True)
    refuse_pipes(share, config.sources, config.out)
    if config.out != "-" and is_there(config.out):
        console.say(f"{config.out}: exists; it is replaced when this is done")
    team, accelerator_of = launch.processes(partial(launch.start, trains=False, run_dir="."))
    bound(config.data.cache_gb)
    rows = team.by_main(lambda: read_sources(config.sources, config.data.layout))

    # torch takes seconds to import; mistakes in the command and missing files have been reported by now.
    from rspnet.data.augment import normaliser
    from rspnet.data.index import to_dataset
    from rspnet.encoders import check_clips
    from rspnet.evaluation.forward import Forward
    from rspnet.method.classifier import Classifier
    from rspnet.running.network import begin_network
    from rspnet.running.shelf import Shelf
    from rspnet.running.viewing import Viewing
    from rspnet.weights.read import read_weights

    accelerator = accelerator_of()
    check_clips(config.encoder, config.clips)
    weights = read_weights(str(config.weights))
    names = class_names(weights)
    network, clip = begin_network(config, partial(Classifier, num_classes=len(names)), weights=weights, trained=True)
    model = accelerator.prepare_model(network, evaluation_mode=True)
    forward = Forward(model, normaliser(clip), accelerator=accelerator, team=team)
    viewing = Viewing(forward, to_dataset(rows), read_windows(clip, config.window, config.step), team=team)
    usable, untried = sorted_out(rows)
    sayings = predictions.Sayings(rows, names, config.top, splits=splits_of(rows, config.data.fold))
    is_last = True
    if config.out == "-":
        console.say(viewing.described(usable, untried))
        found = viewing.in_order(usable, untried, config.data, batch=config.test.batch)
        predictions.write(map(sayings.line, map(predictions.facts, found)), "-")
    else:
        known = settings(config, rows, clip=clip, precision=accelerator.mixed_precision)
        with Shelf(config.out, known, team, share=share) as shelf:
            is_last = viewing.onto(shelf, usable, untried, data=config.data, batch=config.test.batch)
            if is_last:
                sayings = team.by_main(partial(write, config.out, sayings, shelf=shelf, untried=untried))
    accelerator.end_training()
    summary: dict[str, Any] = {"stage": "predict", "weights": config.weights, "out": config.out}
    summary |= sayings.summary() if is_last else {"share": str(share)}
    if console.is_main():
        console.say(viewing.speed(), *(told(summary, config.out) if is_last else ()))
        if config.out != "-":
            print_json(summary)
    return summary | {"exit_status": int(console.is_main() and summary.get("num_predictions") == 0)}


def class_names(weights: "WeightFile") -> list[str]:
    """Return the class names in the order of the logits, or numbers if the file has none, such as a published one.

    Raises:
        CheckpointError: If it has no classifier.
    """
    if not weights.num_classes:
        raise CheckpointError(
            f"{weights.path}: has no classifier; fine-tune this encoder first, or give a fine-tuned one"
        )
    if names := weights.description.get("class_names"):
        return list(names)
    console.say(f"{weights.path}: does not name its classes; they are numbered from 0")
    return [str(number) for number in range(weights.num_classes)]


def settings(config: Config, rows: "list[Row]", *, clip: "ClipSpec", precision: str) -> dict[str, Any]:
    """Return everything that the logits depend on."""
    from rspnet.data.source import named_content

    return {
        "weights_sha256": sha256(find_weights(str(config.weights))),
        "clip": dataclasses.asdict(clip),
        "window": config.window,
        "step": config.step,
        "precision": precision,
        "videos": named_content(rows),
    }


def write(out: str, sayings: "Sayings", *, shelf: "Shelf", untried: list[tuple[int, str]]) -> "Sayings":
    """Write predictions from the shelf in the order of the videos, and return `sayings`, which has counted them."""
    from rspnet.evaluation import predictions

    windows = (window for table in shelf.in_order(untried) for window in table.to_pylist())
    predictions.write(map(sayings.line, windows), out)
    shelf.remove()
    return sayings


def told(summary: dict[str, Any], out: str) -> Iterator[str]:
    """Yield the counts in words, and the output's path."""
    failed = ", ".join(f"{number} {status}" for status, number in summary["failed"].items())
    yield (
        f"{some(summary['num_predictions'], 'prediction')}"
        f"{f'; videos not read, or not to their end: {failed}' if failed else ''}"
    )
    if "top1" in summary:
        trained = summary["num_labelled_for_training"]
        yield (
            f"top-1 {percent(summary['top1'])} % of the {summary['num_labelled']} that have a label among the classes"
            f"{f'; {trained} of them are of training videos, which it may have learnt from' if trained else ''}"
        )
    if out != "-":
        yield f"written to {out}"


if __name__ == "__main__":
    run(main, Config)
