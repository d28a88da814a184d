"""Make a page of what runs found: numbers with intervals, curves, videos, errors.

    python stages/report.py runs/c3d
    python stages/report.py runs/ucf101_fold1 runs/ucf101_fold2 --out folds.html

A run is a pretraining, a fine-tuning or an evaluation, finished or not: what is missing or damaged is named on the page
and left out. A finished run leaves such a page in its folder, as report.html. For several runs it shows one table, how
far they are apart and whether that may be chance, the options that set them apart, and their curves in one plot.

Everything that the page shows is in the file: it can be mailed, printed and read offline. The last line on stdout is
the result as JSON.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rspnet import console
from rspnet.cli.command import run
from rspnet.errors import ConfigError
from rspnet.stdout import print_json
from rspnet.temporary import sweep


@dataclass
class Config:
    """Which runs, and where the page goes."""

    runs: list[str]
    """Folders of runs: of pretraining, fine-tuning or evaluations."""
    features: str | None = None
    """File or folder of features to show, as stages/extract.py writes them, instead of those in the run's folder."""
    out: str = "report.html"
    """The page; an existing one is replaced."""


def main(config: Config) -> dict[str, Any]:
    """Write the page, and return the result that is also printed as the last line."""
    from rspnet.report.page import check_out, write

    folders = {Path(name).resolve(): Path(name) for name in config.runs}
    if len(folders) < len(config.runs):
        raise ConfigError("runs: one is named twice; leave it out")
    if config.features is not None and len(folders) > 1:
        raise ConfigError("--features: belongs to one run; name that run alone")
    check_out(config.out)
    sweep(Path(config.out).parent)
    failed = write(list(folders.values()), Path(config.out), config.features)
    for line in failed:
        console.say(f"left out: {line}")
    console.say(f"written to {config.out}")
    result = {"stage": "report", "runs": len(folders), "out": config.out, "failed": failed}
    print_json(result)
    return result


if __name__ == "__main__":
    run(main, Config)
