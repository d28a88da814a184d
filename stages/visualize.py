"""Show which places in two clips of a video make them alike to a pretraining's two heads: similarity maps.

    python stages/visualize.py VIDEOS --weights runs/c3d --out maps
    python stages/visualize.py a.mp4 b.mp4 --weights model_best_c3d_200epoch.pth.tar --out maps

Takes two clips of each video, each at its own speed, and maps what each place in them adds to their similarity: to the
motion head (RSP), and to the appearance head (A-VID). Reads a folder, an index or single files, and the weights of a
pretraining, which alone has the heads: a run folder or a published file.

Writes two files for each video, named after it: NAME.maps.mp4, the two clips beside their maps over the frames, and
NAME.maps.webp, a strip of the same with a colour scale. Existing files of these names are replaced. A video that cannot
be read is named and counted. The last line on stdout is the result as JSON, with the files of each video.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rspnet import console
from rspnet.cli import bounds, implied, options
from rspnet.cli.command import run
from rspnet.cli.options import Limits
from rspnet.errors import ConfigError, VideoError
from rspnet.running import launch
from rspnet.stdout import print_json
from rspnet.temporary import sweep
from rspnet.video.limits import MAX_PIXELS
from rspnet.weights.description import named_weights, settled

if TYPE_CHECKING:
    from rspnet.data.rows import Row
    from rspnet.evaluation.maps import Mapper
    from rspnet.weights.heads import Heads


@dataclass
class Config:
    """What is shown, with which network, and where it goes."""

    implied: ClassVar = implied.clips_by_weights

    sources: list[str]
    """Videos: folders, indexes (.jsonl, .parquet), lists (.txt, .csv, .tsv) or - for standard input, video files."""
    weights: str | None = None
    """Pretraining whose heads are shown: a run folder, or a published checkpoint."""
    out: str | None = None
    """Folder that the files are written to."""
    videos: list[str] = field(default_factory=list)
    """Videos that are shown, such as [a.mp4, walk/b.mp4]: by names below the folder, or by paths ([]: some are
    drawn)."""
    sample: int | None = None
    """Number of videos that are drawn (null: 8; all where only single files are given)."""
    seed: int = 0
    """Seed by which the videos, and where their clips begin, are drawn."""
    speeds: list[int] = field(default_factory=lambda: [2, 2])
    """Playback rates of the two clips; 2 shows every second frame. Equal ones show what two clips of that speed have in
    common, others what tells the speeds apart."""
    fps: float = 8.0
    """Frames per second of the .mp4, at which both clips are played."""
    strip: Literal["webp", "png"] = "webp"
    """Format of the strip."""
    layout: options.Layout = "auto"
    """How a folder is organised (auto: it is recognised)."""
    time_limit: float = 60.0
    """Seconds that reading one video may take."""
    max_pixels: int = MAX_PIXELS
    """Largest number of pixels of a picture, width times height; beyond it a video counts as unreadable."""
    clips: options.Clips = field(default_factory=options.Clips)

    def __post_init__(self) -> None:
        bounds.within(self, 1, bounds.SPEED, "speeds")
        bounds.within(self, 1, bounds.VIDEOS, "sample")
        bounds.within(self, 0, bounds.SEED, "seed")
        bounds.within(self, 0.1, 1000, "fps")
        bounds.within(self, 1, bounds.PIXELS, "max_pixels")
        bounds.positive(self, bounds.SECONDS, "time_limit")
        if len(self.speeds) != 2:
            raise ConfigError(f"speeds: {self.speeds}; give two playback rates, such as [2, 2]")
        if self.videos and self.sample is not None:
            raise ConfigError(f"sample: {self.sample}; with --videos there is nothing to draw: leave one of them out")


def main(config: Config) -> dict[str, Any]:
    """Show the videos, and return the result that is also printed as the last line."""
    if (weights := named_weights(config.weights)) is None:
        raise ConfigError("--weights: name a pretraining: its run folder, or a published checkpoint")
    if (out := config.out) is None:
        raise ConfigError("--out: name the folder that the files are written to")
    from rspnet.data.choice import chosen
    from rspnet.drawing.files import check_outside, names
    from rspnet.weights.heads import load_heads

    check_outside(out, config.sources)
    rows = chosen(config.sources, config.layout, names=config.videos, number=config.sample, seed=config.seed)
    weights = settled(weights)  # one checkpoint, even if the run goes on: pictures and result name it
    heads = load_heads(weights)
    config = dataclasses.replace(config, weights=weights)
    console.say(heads.summary(), *implied.remarks(config.clips, heads.file))
    mapper = make_mapper(heads, config)
    paths = [Path(out, name) for name in names([(row["root"], row["video"]) for row in rows])]
    sweep(*{path.parent for path in paths})
    shown = [
        show(row, path, config, mapper=mapper)
        for row, path in console.progress(zip(rows, paths), len(rows), desc="visualize", unit="videos")
    ]
    counts = Counter(video["status"] == "ok" for video in shown)
    result: dict[str, Any] = {
        "stage": "visualize",
        "weights": weights,
        "arch": heads.file.arch,
        "epoch": heads.file.epoch,
    }
    result |= {"out": config.out, "speeds": config.speeds, "num_videos": counts[True], "num_failed": counts[False]}
    print_json(result | {"videos": shown})
    return result | {"videos": shown, "exit_status": 0 if counts[True] else 1}


def make_mapper(heads: "Heads", config: Config) -> "Mapper":
    """Return what makes the maps: both encoders on their device, and the clips that they take."""
    from rspnet.encoders import check_clips
    from rspnet.evaluation.maps import Mapper

    check_clips(heads.network, config.clips)
    accelerator = launch.start(trains=False, run_dir=str(config.out))
    if accelerator.num_processes > 1:
        raise ConfigError("maps are made by one process; start it as `python stages/visualize.py`")
    clip = dataclasses.replace(heads.clip, **vars(config.clips))
    return Mapper(heads.query_encoder, heads.key_encoder, clip, device=accelerator.device)


def show(row: "Row", path: Path, config: Config, *, mapper: "Mapper") -> dict[str, Any]:
    """Write the two files of a video, and return its entry in the result."""
    from rspnet.data.choice import check_usable, status_of
    from rspnet.data.speed_pairs import read_pair
    from rspnet.drawing.files import save
    from rspnet.drawing.similarity import film, strip
    from rspnet.video.writer import encode

    said = {"video": row["video"], "label": row["label"]}
    limits: Limits = {"time_limit": config.time_limit, "max_pixels": config.max_pixels}
    try:
        check_usable(row)
        read = read_pair(row, mapper.clip, config.speeds, seed=config.seed, **limits)
    except VideoError as error:
        console.say(f"could not read {error}; it is left out")
        return said | {"status": status_of(row, error), "reason": str(error), "files": []}
    pair = mapper(read, title=" · ".join(filter(None, (row["video"], row["label"]))), about=str(config.weights))
    moving, still = (path.with_name(f"{path.name}.maps.{ending}") for ending in ("mp4", config.strip))
    encode(moving, film(pair), config.fps, x264_preset="veryfast")
    save(still, strip(pair))
    clips = [one.facts() | {"flat": clip.flat()} for one, clip in zip(read, pair.clips, strict=True)]
    if flat := {head for clip in pair.clips for head in clip.flat()}:
        console.say(
            f"{row['video']}: maps that are the same everywhere, with nothing to see: {' and '.join(sorted(flat))}"
        )
    return said | {"status": "ok", "files": [str(moving), str(still)], "clips": clips}


if __name__ == "__main__":
    run(main, Config)
