"""Make copies of a data set's videos that are small, and quick to read at random positions.

    python stages/transcode.py ROOT DST --out DST/index.parquet
    python stages/verify.py ROOT --depth decode | python stages/transcode.py - DST > index.jsonl

Reads a data-set folder (its layout is recognised) or an index. Each video becomes DST/<the same path>.mp4: H.264, the
short side of --preset (never enlarged), a key frame every 16 frames, no B-frames, no sound, every frame kept at its own
time. The official list files are copied, so that DST is a data set of the same layout; DST/copies.jsonl keeps what each
copy was made from, and its checksum. Writes an index row per video to stdout or to --out, with the `source` and the
`recipe` of each new file. Rows that are not ok, and videos that turn out not to be, are passed on with their status and
the path of the original. Given again, the same command does what is not done yet: a copy is done if it is as it was
made, from the same video by the same recipe. A second process with the same DST is refused, except for shares: several
processes share the videos, and the last one writes the index, as stages/verify.py --help says. With --estimate it
transcodes a few dozen videos, says how long all would take, also as JSON, and keeps nothing.

Ends with exit status 1 if a video that was ok before could not be transcoded, or a copy not be written; at once if the
disk is full.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import contextlib
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from rspnet import console
from rspnet.cli import bounds, options
from rspnet.cli.command import run
from rspnet.errors import DiskError
from rspnet.running.machine import own_cores
from rspnet.running.share import ALL, Share, read_share
from rspnet.stdout import print_json
from rspnet.temporary import sweep
from rspnet.video.recipe import make_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rspnet.data.copying import Outcome, Task
    from rspnet.data.rows import Row
    from rspnet.running.parts import Part


@dataclass
class Config:
    """What is transcoded, how, and where it goes."""

    source: str
    """Folder of a data set, or its URL (s3://, hf://, https://, ...); or an index of videos: .jsonl, .parquet, a list
    (.txt, .csv, .tsv), or - for JSON Lines on standard input."""
    dst: str
    """Folder that the new files go into, outside the data set."""
    preset: Literal["match", "fast"] = "match"
    """Settings of the new files: the published short side of 256 and a key frame every 16 frames, with crf 20 and
    x264's preset medium (match); or short side 160, as many key frames, crf 20 and preset veryfast, which is decoded in
    half the time and meant for crops of 112 pixels (fast)."""
    short_side: int | None = None
    """Length of the shorter side in pixels, even, instead of the preset's; smaller videos keep their size."""
    gop: int | None = None
    """Number of frames from one key frame to the next, instead of the preset's: more make files smaller, and random
    access slower."""
    crf: float | None = None
    """Constant rate factor of x264, instead of the preset's: a lower one makes pictures better and files larger;
    published: 23."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    jobs: int = own_cores()
    """Number of videos transcoded in parallel, each by a process of its own with one thread."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""
    share: str | None = None
    """Which share of the videos is transcoded, such as 3/64 (null: what the launcher says; without one, all)."""
    cache_gb: float = 50.0
    """Gigabytes that videos fetched from URLs may take on this machine's disk (in the datasets cache,
    HF_DATASETS_CACHE; all runs share it)."""
    time_limit: float = 1800.0
    """Seconds that transcoding one video may take; after that it gets status timeout."""
    estimate: bool = False
    """Transcode some of the videos, say how long all would take and how large they would be, and keep nothing."""

    def __post_init__(self) -> None:
        self.recipe()
        read_share(self.share)
        bounds.within(self, 1, bounds.PROCESSES, "jobs")
        bounds.positive(self, bounds.SECONDS, "time_limit")
        bounds.positive(self, bounds.GIGABYTES, "cache_gb")

    def recipe(self) -> dict[str, Any]:
        """Return the settings of the new files."""
        return make_recipe(self.preset, short_side=self.short_side, gop=self.gop, crf=self.crf)


def main(config: Config) -> dict[str, Any]:
    """Transcode, and return the summary, with `exit_status` 1 if a good video has no copy."""
    from rspnet.data import copies, index
    from rspnet.data.fetched import bound
    from rspnet.data.remote import absolute
    from rspnet.data.source import read_source
    from rspnet.running import merging

    bound(config.cache_gb)
    recipe, dst = config.recipe(), os.path.abspath(config.dst)
    share = read_share(config.share)
    if config.estimate:
        return estimated(config, share)
    settings = {"source": absolute(config.source), "layout": config.layout, "dst": dst, "recipe": recipe}
    merging.check(share, config.out, config.source)
    source = read_source(config.source, config.layout)
    rows = copies.begin(source.rows, dst)
    index.check_out(config.out)
    part = merging.begin(share, config.out, source.rows, stage="transcode", settings=settings)
    known: dict[str, Any] = {"stage": "transcode", "dst": dst, "recipe": recipe}
    known |= {"ignored": dict(source.ignored.most_common())}
    tally = copies.Tally()
    if part is None:
        with copied(config, rows) as ends:
            index.write_rows(tally(console.progress(ends, source.total, desc="transcode", unit="videos")), config.out)
        summary = known | tally.summary()
        console.say(*copies.report(summary))
        return summary | {"exit_status": int(summary["num_lost"] > 0)}
    if not part.is_done:
        with copied(config, rows, part) as ends:
            mine = list(tally(console.progress(ends, part.total, desc="transcode", unit="videos")))
        part.write(mine, lambda: known | tally.summary())  # now that whoever is last may have the folder of copies
    return merging.end(part)


def estimated(config: Config, share: Share) -> dict[str, Any]:
    """Transcode some of a share's videos in a temporary folder, and return an estimate for the whole share."""
    from rspnet.data import copies
    from rspnet.data.copying import Task, transcode_row
    from rspnet.data.rows import USABLE
    from rspnet.data.source import read_source
    from rspnet.running import trial
    from rspnet.running.pool import run_parallel

    rows = [row for row in read_source(config.source, config.layout).rows if row["status"] in USABLE]
    rows = [row for row in rows if share.has(row["video"])]
    tried = trial.chosen(rows, config.jobs)
    with tempfile.TemporaryDirectory() as folder:
        tasks = [Task(row, f"{number}.mp4") for number, row in enumerate(tried)]
        work = partial(transcode_row, dst=folder, recipe=config.recipe())
        results = run_parallel(work, tasks, jobs=config.jobs, time_limit=config.time_limit)
        came, seconds = trial.timed(results, config.jobs)
    outcomes = [copies.copied(task, result) for task, result in came]
    result = {"stage": "transcode", "estimate": True, "jobs": config.jobs}
    result |= copies.expected(outcomes, len(rows), seconds)
    console.say(*copies.told(result))
    print_json(result)
    return result


@contextlib.contextmanager
def copied(
    config: Config, rows: "Iterable[Row]", part: "Part | None" = None
) -> "Iterator[Iterator[tuple[Task, Outcome]]]":
    """Make the copies of a share, and yield an iterator of each task with its outcome, recorded in the folder."""
    from rspnet.data import copies
    from rspnet.data.copying import Outcome, transcode_row
    from rspnet.running.ledger import Ledger
    from rspnet.running.pool import Ready, run_parallel

    dst, folders = os.path.abspath(config.dst), set[str]()
    with Ledger(dst, config.out, part.share if part else ALL) as ledger, contextlib.ExitStack() as stack:
        tasks = copies.plan(rows, dst, config.layout, folders=folders, made=ledger.made)
        if part:
            tasks = part.mine(tasks, lambda task: task.row)
        work = partial(transcode_row, dst=dst, recipe=config.recipe())
        items: Iterator[Task | Ready[Task, Outcome | DiskError]]
        items = (task if task.target else Ready(task, Outcome(task.row)) for task in tasks)
        results = run_parallel(work, items, jobs=config.jobs, time_limit=config.time_limit)
        stack.callback(lambda: sweep(*folders))  # removes unfinished files of workers that were killed
        stack.enter_context(contextlib.closing(results))  # its workers end here, whatever happens
        yield ledger((task, copies.copied(task, result)) for task, result in results)


if __name__ == "__main__":
    run(main, Config)
