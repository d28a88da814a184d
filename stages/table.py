"""One table of the results of several runs: mean and spread over folds and seeds.

    python stages/table.py runs/c3d_fold1 runs/c3d_fold2 runs/c3d_fold3
    python stages/table.py runs/c3d/retrieval_* --format markdown

A row combines runs that differ in fold and seed alone: the mean over folds of their means over seeds, and the standard
deviation over folds (with a single fold: over its seeds). Runs that differ in protocol, network, data set, weights or
another option make rows of their own, with the options that set them apart. Missing official folds are named. The table
goes to stderr; as markdown, csv or json it goes to stdout.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rspnet import console
from rspnet.cli.command import run
from rspnet.console import some
from rspnet.errors import ConfigError
from rspnet.stdout import print_line

if TYPE_CHECKING:
    from rspnet.running.table import Row


@dataclass
class Config:
    """Which runs, and how they are shown."""

    runs: list[str]
    """Folders of finished runs: of pretraining, fine-tuning or evaluations."""
    format: Literal["text", "markdown", "csv", "json"] = "text"
    """How the table looks: aligned text on stderr, or one of the others on stdout."""
    any_weights: bool = False
    """Also average over runs that began with different weights, as from several pretrainings of one kind."""


def main(config: Config) -> list[dict[str, Any]]:
    """Show the table, and return its rows."""
    from rspnet.running import table

    folders = {Path(name).resolve(): Path(name) for name in config.runs}
    if len(folders) < len(config.runs):
        raise ConfigError("runs: one is named twice, and would count twice; leave it out")
    results = [result for folder in folders.values() for result in table.read(folder)]
    rows = table.rows(results, any_weights=config.any_weights)
    show(rows, config.format)
    for row in rows:
        first, folds = row.results[0], ", ".join(map(str, row.missing_folds))
        if folds:
            are = "folds {} of {} are" if len(row.missing_folds) > 1 else "fold {} of {} is"
            console.say(f"{first.what}, {first.options['arch']}: {are.format(folds, first.num_folds)} missing")
    console.say(f"{some(len(results), 'result')} in {some(len(rows), 'row')}")
    return [row.as_json() for row in rows]


def show(rows: "list[Row]", how: str) -> None:
    """Print the table in the format `how`: as text to stderr, otherwise to stdout."""
    from rspnet.running.table import cells

    lines = cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines)]
    if how == "json":
        shown = [json.dumps([row.as_json() for row in rows], ensure_ascii=False)]
    elif how == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        shown = text.getvalue().splitlines()
    elif how == "markdown":
        rule = ["---" for _ in widths]
        barred = [[cell.replace("|", "\\|") for cell in line] for line in (lines[0], rule, *lines[1:])]
        shown = [f"| {' | '.join(line)} |" for line in barred]
    else:
        shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
        console.say(*shown)
        return
    for line in shown:
        print_line(line)


if __name__ == "__main__":
    run(main, Config)
