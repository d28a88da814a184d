"""Write a network's features of videos to a file: one row for each video, or for each window of one.

    python stages/extract.py ROOT --weights runs/c3d --out features.parquet
    python stages/extract.py film.mp4 --weights runs/c3d --window 2 --step 0.5 --out film.parquet

ROOT is the folder of a data set or any folder of videos, an index or a list, video files, or - for paths or rows on
standard input (find . -name '*.mp4' | ...); several may be given. Labels and splits are written too where they are
known.

Without --window and --step a feature is of a whole video: the mean over `clips.views` clips, as in stages/evaluate.py.
With either it is of a window; however much windows overlap, each frame is decoded once, and only a few seconds of
pictures are in memory. For a window longer than a clip it is the mean over up to `clips.views` clips.

--out is a .parquet file with the columns video, label, split, start, end (seconds), start_frame, end_frame, status and
feature, or a folder with features.npy and the other columns as index.parquet. A video that cannot be read is a row
whose status says why. What is done so far lies in OUT.partial; the same command goes on from there. Several processes
(accelerate launch) share the videos and write the same file. The last line on stdout sums it up as JSON. With
--estimate it reads two dozen batches, says how long everything would take, and writes nothing.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rspnet import console
from rspnet.cli import implied, options
from rspnet.cli.command import run
from rspnet.console import some
from rspnet.disk import sha256
from rspnet.errors import ConfigError
from rspnet.running import launch
from rspnet.running.share import read_share, refuse_pipes
from rspnet.stdout import print_json
from rspnet.weights.description import find_weights, named_weights, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rspnet.data.rows import Row
    from rspnet.running.shelf import Shelf


@dataclass
class Config:
    """Which videos, which network, and where the features go."""

    unused: ClassVar = options.OF_TRAINING
    private: ClassVar = ("weights", "run", "run_dir", "estimate")
    implied: ClassVar = implied.by_weights

    sources: list[str]
    """Videos: folders, indexes or lists (.jsonl, .parquet, .txt, .csv, .tsv), video files, or - for standard input."""
    weights: str | None = None
    """Network: a run folder, a weight file, or `none` for fresh weights."""
    out: str | None = None
    """File (.parquet), or folder for features.npy and index.parquet, that is written."""
    window: float | str | None = None
    """Length of a window, such as 2.5 (seconds) or 64f (frames) (null: the whole video; with --step a clip's
    length)."""
    step: float | str | None = None
    """From the beginning of one window to that of the next, likewise (null: the length of a window)."""
    pooling: Literal["average", "max", "none"] = "average"
    """How a feature map is pooled over its positions; none keeps the map (in a .parquet file as a list, whose shape is
    in the metadata)."""
    layer: str | None = None
    """Stage of the network whose map is taken (null: the last; a wrong name is answered with the possible ones)."""
    share: str | None = None
    """Which share of the videos is read, such as 3/64, when several such commands have the same --out (null: what a
    SLURM array or srun says; without one, all)."""
    data: options.Data = field(default_factory=options.Data)
    clips: options.TestedClips = field(default_factory=options.TestedClips)
    encoder: options.Encoder = field(default_factory=options.Encoder)
    test: options.Test = field(default_factory=options.Test)
    run: options.Run = field(default_factory=options.Run)
    estimate: bool = False
    """Read two dozen batches, say how long all would take and how large it would be, and write nothing."""

    def __post_init__(self) -> None:
        from rspnet.data.windows import read_windows

        read_windows(None, self.window, self.step)
        read_share(self.share, team=True)


def main(config: Config) -> dict[str, Any]:
    """Extract, and return the summary that is also printed as the last line."""
    from rspnet.data.fetched import bound
    from rspnet.data.source import read_sources, sorted_out, splits_of
    from rspnet.data.windows import read_windows
    from rspnet.evaluation import features

    config, named, out = checked(config)
    share = read_share(config.share, team=True)
    refuse_pipes(share, config.sources, out)
    team, accelerator_of = launch.processes(partial(launch.start, trains=False, run_dir="."))
    bound(config.data.cache_gb)
    rows = team.by_main(lambda: read_sources(config.sources, config.data.layout))
    splits = splits_of(rows, config.data.fold)

    # torch takes seconds to import; mistakes in the command and missing files have been reported by now.
    from rspnet.data.augment import normaliser
    from rspnet.data.index import to_dataset
    from rspnet.encoders import check_clips
    from rspnet.evaluation.forward import Forward
    from rspnet.evaluation.kept import kept
    from rspnet.evaluation.made import differing, made_with
    from rspnet.evaluation.predict import ViewFeatures
    from rspnet.running.network import begin_network
    from rspnet.running.preview import preview
    from rspnet.running.shelf import Shelf
    from rspnet.running.viewing import Viewing
    from rspnet.weights.read import read_weights

    accelerator = accelerator_of()
    check_clips(config.encoder, config.clips)
    weights = None if named is None else read_weights(named)
    network, clip = begin_network(
        config, partial(ViewFeatures, pooling=config.pooling, layer=config.layer), weights=weights
    )
    windows = read_windows(clip, config.window, config.step)
    facts = facts_of(config, rows, shape=network.shape(clip), precision=accelerator.mixed_precision)
    made = made_with(clip, facts)
    about = {"stage": "extract", "weights": config.weights, "out": out}
    model = accelerator.prepare_model(network, evaluation_mode=True)
    forward = Forward(model, normaliser(clip), accelerator=accelerator, team=team)
    viewing = Viewing(forward, to_dataset(rows), windows, team=team)
    if config.estimate:
        estimate = preview(viewing, sorted_out(rows)[0], config.data, batch=config.test.batch, shape=facts["shape"])
        accelerator.end_training()
        return finished(about | estimate)
    if (counted := features.complete(out, made)) is not None:
        console.say(f"{out}: was made by the same command before; remove it to make it again")
        accelerator.end_training()
        return finished(about | counted)
    before = features.made_by(out)
    if before is not None:
        console.say(f"{out}: {remark(before, made)}; it is replaced when this is done")
    known = partial(kept, out, rows) if before is not None and not differing(before, made) else tuple
    with Shelf(out, made, team, share=share, known=known) as shelf:
        usable, untried = sorted_out(rows)
        is_last = viewing.onto(shelf, usable, untried, data=config.data, batch=config.test.batch)
        if is_last:
            summary = team.by_main(partial(write, shelf, rows, untried, splits=splits, made=made, out=out))
    accelerator.end_training()
    console.say(viewing.speed(), *(told(summary, out) if is_last else ()))
    return finished(about | (summary if is_last else {"share": str(share)}))


def checked(config: Config) -> tuple[Config, str | None, str]:
    """Return the config with the path of its settled weights, that path (None for fresh weights), and the output."""
    from rspnet.evaluation import features

    if config.weights is None:
        raise ConfigError("--weights: name a run folder or a weight file, or say `none` for fresh weights")
    if (named := named_weights(config.weights)) is not None:
        named = settled(named)
        config = dataclasses.replace(config, weights=named)
    if config.out is None:
        raise ConfigError("--out: name the .parquet file, or the folder, that the features go into")
    features.check_out(config.out)
    return config, named, config.out


def facts_of(config: Config, rows: "list[Row]", *, shape: list[int], precision: str) -> dict[str, Any]:
    """Return all that the features depend on, except the clips; it does not depend on the number of processes."""
    from rspnet.data.index import fingerprint
    from rspnet.data.source import named_content

    named = named_weights(config.weights)
    return {
        "weights": config.weights,
        "weights_sha256": None if named is None else sha256(find_weights(named)),
        "seed": None if named is not None else config.run.seed,
        "arch": config.encoder.name,
        "width": config.encoder.width,
        "window": config.window,
        "step": config.step,
        "pooling": config.pooling,
        "layer": config.layer,
        "shape": shape,
        "precision": precision,
        "fold": config.data.fold,
        "videos": named_content(rows),
        "data_fingerprint": fingerprint(rows),
    }


def remark(before: dict[str, Any], made: dict[str, Any]) -> str:
    """Describe how existing features differ from those to be made; if they do not, they lack unreadable videos."""
    from rspnet.evaluation.made import differing

    if not (names := differing(before, made)):
        return "lacks videos that could not be read, which are tried again"
    if names[0] == "videos":
        return "was made from other videos, or from files of other sizes"
    return f"was made by another command ({names[0]} differs)"


def write(
    shelf: "Shelf",
    rows: "list[Row]",
    untried: list[tuple[int, str]],
    *,
    splits: list[str | None],
    made: dict[str, Any],
    out: str,
) -> dict[str, Any]:
    """Write the features on the shelf in the order of the videos, and return the summary."""
    from rspnet.evaluation import features

    tally = features.Tally()
    tables = (features.with_names(table, rows, splits) for table in shelf.in_order(untried))
    features.write(out, tally(tables), made, shape=tuple(made["shape"]))
    shelf.remove()
    return tally.summary()


def told(summary: dict[str, Any], out: str) -> "Iterator[str]":
    """Yield the counts in words, and the output's path."""
    failed = ", ".join(f"{number} {status}" for status, number in summary["failed"].items())
    yield (
        f"{some(summary['num_windows'], 'feature')} of {some(summary['num_videos'], 'video')}"
        f"{f'; videos not read, or not to their end: {failed}' if failed else ''}"
    )
    yield f"written to {out}"


def finished(summary: dict[str, Any]) -> dict[str, Any]:
    """Print the result, and return it with `exit_status` 1 if there are no features at all."""
    if console.is_main():
        print_json(summary)
    return summary | {"exit_status": int(summary.get("num_windows") == 0)}


if __name__ == "__main__":
    run(main, Config)
