"""Look at every video of a data set and write the index that training obeys.

    python stages/verify.py ROOT --depth decode --out index.parquet
    python stages/verify.py ROOT | jq -r 'select(.status != "ok") | .video'

Reads a data-set folder (its layout is recognised), or an index whose videos are looked at again. Writes one JSON object
per video to stdout, or an index file with --out; a summary goes to stderr. A file that hangs or crashes the decoder
costs its own row only. With --out, rows are kept in FILE.partial until the scan is complete, and the same command goes
on from there after an interruption; another command is refused until that file is removed. A completed scan starts over
when it is asked for again: files may have changed.
"""

if __name__ == "__main__":  # before all that takes its time
    from rspnet.signals import end_at_once

    end_at_once()

import contextlib
import os
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rspnet import console
from rspnet.cli import bounds, options
from rspnet.cli.command import run
from rspnet.running.machine import cores
from rspnet.video.limits import MAX_PIXELS


@dataclass
class Config:
    """What is looked at, how, and where the index goes."""

    source: str
    """Folder of a data set, or an index of videos: .jsonl, .parquet, a list (.txt, .csv, .tsv), or - for JSON Lines on
    standard input."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    depth: Literal["probe", "decode"] = "probe"
    """How closely each file is looked at: by its headers and packets alone (probe), or every frame is decoded, which
    counts those that can be and finds damage inside a file (decode)."""
    jobs: int = cores()
    """Number of files looked at in parallel, each by a process of its own."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""
    strict: bool = False
    """End with exit status 1 if any video is not ok."""
    time_limit: float = 300.0
    """Seconds that looking at one file may take; past them it gets status timeout."""
    min_frames: int = 2
    """Number of frames below which a video gets status short; a single picture shows no motion."""
    max_pixels: int = MAX_PIXELS
    """Number of pixels, width times height, beyond which a video gets status broken, as training would not open it
    (--data.max_pixels)."""

    def __post_init__(self) -> None:
        bounds.within(self, 1, bounds.PROCESSES, "jobs")
        bounds.positive(self, bounds.SECONDS, "time_limit")
        bounds.within(self, 0, bounds.STEPS, "min_frames")
        bounds.within(self, 1, bounds.PIXELS, "max_pixels")


def main(config: Config) -> dict[str, Any]:
    """Verify, and return the summary that is also printed, with `exit_status` 1 where --strict is not met."""
    from rspnet.data import index, verification
    from rspnet.data.source import read_source
    from rspnet.running.journal import Journal
    from rspnet.running.pool import run_parallel

    index.check_out(config.out)
    source = read_source(config.source, config.layout)
    look = partial(
        verification.inspect_row, depth=config.depth, min_frames=config.min_frames, max_pixels=config.max_pixels
    )
    settings = {name: getattr(config, name) for name in ("layout", "depth", "min_frames", "max_pixels")}
    tally = verification.Tally()
    with Journal(config.out, settings | {"source": os.path.abspath(config.source)}) as journal:
        results = run_parallel(look, journal.todo(source.rows), jobs=config.jobs, time_limit=config.time_limit)
        with contextlib.closing(results):  # its workers end here, whatever happens
            found = (verification.looked_at(row, result) for row, result in results)
            rows = tally(journal(console.progress(found, source.total, desc="verify", unit="videos")))
            # A file is written when all is known: no half-written one lies about during the scan.
            index.write_rows(rows if config.out == "-" else list(rows), config.out)
    summary: dict[str, Any] = {"stage": "verify", "source": config.source, "depth": config.depth, "out": config.out}
    summary |= tally.summary() | {"ignored": dict(source.ignored.most_common())}
    for line in verification.report(summary):
        console.say(line)
    return summary | {"exit_status": int(config.strict and summary["num_bad"] > 0)}


if __name__ == "__main__":
    run(main, Config)
