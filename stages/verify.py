"""Look at every video of a data set, and write the index that the other stages read.

    python stages/verify.py ROOT --depth decode --out index.parquet
    python stages/verify.py ROOT | jq -r 'select(.status != "ok") | .video'

Reads a data-set folder (its layout is recognised), or an index whose videos are looked at again. Writes one JSON object
per video to stdout, or an index file with --out; a summary goes to stderr. A file that hangs or crashes the decoder
affects its own row only. With --out, rows are kept in FILE.partial until the scan is complete, and the same command
goes on from there after an interruption; another command is refused until that file is removed. After a complete scan
the same command starts over: files may have changed.

Several processes, on machines that see the same disks, share the videos if a launcher gives each its number (accelerate
launch, torchrun, srun, mpirun, a SLURM array), or --share does. They need not run at the same time. Each writes its
part to FILE.parts; the last one joins these into FILE, or stages/merge.py does.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from rspnet import console
from rspnet.cli import bounds, options
from rspnet.cli.command import run
from rspnet.running.machine import own_cores
from rspnet.running.share import read_share
from rspnet.video.limits import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rspnet.data.rows import Row


@dataclass
class Config:
    """What is looked at, how, and where the index goes."""

    source: str
    """Folder of a data set, or its URL (s3://, hf://, https://, ...); or an index of videos: .jsonl, .parquet, a list
    (.txt, .csv, .tsv), or - for JSON Lines on standard input."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    depth: Literal["probe", "decode"] = "probe"
    """How closely each file is looked at: by its headers and packets alone (probe), or by decoding every frame, which
    counts those that decode and finds damage inside a file (decode)."""
    jobs: int = own_cores()
    """Number of files looked at in parallel, each by a process of its own."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""
    share: str | None = None
    """Which share of the videos is looked at, such as 3/64 (null: what the launcher says; without one, all)."""
    strict: bool = False
    """End with exit status 1 if any video is not ok."""
    time_limit: float = 300.0
    """Seconds that looking at one file may take; after that it gets status timeout."""
    cache_gb: float = 50.0
    """Gigabytes that videos fetched from URLs may take on this machine's disk (in the datasets cache,
    HF_DATASETS_CACHE; all runs share it)."""
    min_frames: int = 2
    """Number of frames below which a video gets status short; a single picture shows no motion."""
    max_pixels: int = MAX_PIXELS
    """Largest number of pixels of a picture, width times height; beyond it a video gets status broken, since training
    would not open it (--data.max_pixels)."""

    def __post_init__(self) -> None:
        read_share(self.share)
        bounds.within(self, 1, bounds.PROCESSES, "jobs")
        bounds.positive(self, bounds.SECONDS, "time_limit")
        bounds.positive(self, bounds.GIGABYTES, "cache_gb")
        bounds.within(self, 0, bounds.STEPS, "min_frames")
        bounds.within(self, 1, bounds.PIXELS, "max_pixels")


def main(config: Config) -> dict[str, Any]:
    """Verify, and return the summary that is also printed, with `exit_status` 1 if --strict is not met."""
    from rspnet.data import index, verification
    from rspnet.data.fetched import bound
    from rspnet.data.remote import absolute
    from rspnet.data.source import read_source
    from rspnet.running import merging

    bound(config.cache_gb)
    index.check_out(config.out)
    settings = {name: getattr(config, name) for name in ("layout", "depth", "min_frames", "max_pixels")}
    settings |= {"source": absolute(config.source)}
    share = read_share(config.share)
    merging.check(share, config.out, config.source)
    source = read_source(config.source, config.layout)
    part = merging.begin(share, config.out, source.rows, stage="verify", settings=settings)
    known: dict[str, Any] = {"stage": "verify", "source": config.source, "depth": config.depth, "out": config.out}
    known |= {"ignored": dict(source.ignored.most_common()), "strict": config.strict}
    tally = verification.Tally()
    if part is None:
        # An index file is written after the scan, so that no half-written one exists meanwhile.
        with looked_at(config, settings, source.rows, place=config.out, total=source.total) as rows:
            index.write_rows(tally(rows) if config.out == "-" else list(tally(rows)), config.out)
        summary = known | tally.summary()
        console.say(*verification.report(summary))
        return summary | {"exit_status": int(config.strict and summary["num_bad"] > 0)}
    if not part.is_done:
        mine = part.mine(source.rows, lambda row: row)
        with looked_at(config, settings, mine, place=part.place, total=part.total, known=part.known) as rows:
            part.write(list(tally(rows)), lambda: known | tally.summary())
    return merging.end(part)


@contextlib.contextmanager
def looked_at(
    config: Config,
    settings: dict[str, Any],
    rows: "Iterable[Row]",
    *,
    place: str,
    total: int | None,
    known: "Iterable[Row]" = (),
) -> "Iterator[Iterator[Row]]":
    """Inspect videos, and yield an iterator of their rows, which are kept beside `place` until the block ends."""
    from rspnet.data import verification
    from rspnet.running.journal import Journal
    from rspnet.running.pool import run_parallel

    look = partial(
        verification.inspect_row, depth=config.depth, min_frames=config.min_frames, max_pixels=config.max_pixels
    )
    with Journal(place, settings, known) as journal:
        results = run_parallel(look, journal.todo(rows), jobs=config.jobs, time_limit=config.time_limit)
        with contextlib.closing(results):  # its workers end here, whatever happens
            found = (verification.looked_at(row, result) for row, result in results)
            yield journal(console.progress(found, total, desc="verify", unit="videos"))


if __name__ == "__main__":
    run(main, Config)
