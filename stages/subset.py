"""Make a smaller data set of whole classes out of symbolic links: Kinetics-100 from Kinetics-400.

    python stages/subset.py ROOT DST --num_classes 100 --out subset.jsonl
    python stages/subset.py index.parquet DST --classes names.txt > subset.jsonl

Chooses classes of the data set in ROOT (or of an index) and makes DST, a folder in the same layout whose class folders,
or single videos where there are none, are relative symbolic links into ROOT; official list files are linked as well.
Writes the rows of the subset to stdout, or an index file with --out. DST appears only when it is complete; the same
command again changes nothing, a different subset needs another DST. --without_duplicates alone keeps all classes.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import os
from dataclasses import dataclass
from typing import Any, Literal

from rspnet import console
from rspnet.cli import bounds, options
from rspnet.cli.command import run
from rspnet.errors import ConfigError


@dataclass
class Config:
    """What is chosen, from where, and where it goes."""

    source: str
    """Folder of a data set, or an index of videos: .jsonl, .parquet, a list (.txt, .csv, .tsv), or - for JSON Lines on
    standard input."""
    dst: str
    """Folder that is made."""
    num_classes: int | None = None
    """Number of classes that are taken (null: all that --classes names)."""
    by: Literal["bytes", "count", "random"] = "bytes"
    """Which classes are taken: those of smallest total size of training files (bytes, as in the published
    Kinetics-100), of fewest training videos (count), or drawn ones (random)."""
    classes: str | None = None
    """Text file that names the classes to take, one per line, instead of --by."""
    seed: int = 0
    """Seed by which --by random draws."""
    without_duplicates: bool = False
    """Of a video under several names keep only one, that in the test set if there is one; with this alone all classes
    are taken."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""

    def __post_init__(self) -> None:
        bounds.within(self, 1, bounds.STEPS, "num_classes")
        bounds.within(self, 0, bounds.SEED, "seed")
        if self.classes is not None and self.by != "bytes":
            raise ConfigError(
                f"by: {self.by}; with --classes the file names the classes, and there is nothing to choose"
            )
        if self.seed and (self.by != "random" or self.classes is not None):
            raise ConfigError(f"seed: {self.seed}; only --by random draws: add it, or leave the seed out")


def main(config: Config) -> dict[str, Any]:
    """Make the subset, and return its summary."""
    from rspnet.data import index, layouts, subset
    from rspnet.data.source import read_source

    source = read_source(config.source, config.layout)
    rows = list(source.rows)
    classes = subset.choose_classes(
        rows,
        config.source,
        classes=config.classes,
        num_classes=config.num_classes,
        by=config.by,
        seed=config.seed,
        every=config.without_duplicates,
    )
    if config.without_duplicates:
        subset.mark_duplicates(rows, classes)
    links = {path: os.path.join(os.path.abspath(config.source), path) for path in source.lists}
    links = subset.plan_links(rows, classes, links, whole_folders=source.layout != "index")
    dst = os.path.abspath(config.dst)
    mark = {"layout": source.layout, "classes": classes}
    made = subset.make_tree(dst, links, mark, mark_name=layouts.SUBSET_MARK)
    chosen = set(classes)
    kept = [row | {"root": dst} for row in rows if row["label"] in chosen]
    index.write_rows(kept, config.out)  # last, because --out may lie in DST
    summary = {"stage": "subset", "dst": dst, "made": made} | subset.summary(kept, links, classes)
    console.say(subset.report(summary))
    return summary


if __name__ == "__main__":
    run(main, Config)
