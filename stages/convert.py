"""Convert published checkpoints to run-like folders, and runs to published files, without changing a value.

    python stages/convert.py model_best_c3d_200epoch.pth.tar published/c3d
    python stages/convert.py runs/c3d runs/c3d.pth.tar

What DST becomes depends on SRC:

    a published .pth.tar, pretrained or fine-tuned
        a folder for --weights: encoder.safetensors and encoder.json, and
        everything else in the file as published.pt and published.json
    a finished run folder
        a published .pth.tar with everything that the published code needs
        to go on: pretraining as it ended, fine-tuning at its best epoch
    an unfinished run folder, or a checkpoint of any run
        the same, from the newest checkpoint, or from that one
    a folder converted before
        the file that it was made from, bit for bit
    an encoder.safetensors alone
        a .pth.tar for the published fine-tuning and retrieval

No code in SRC is executed. The last line on stdout is the result as JSON; notes on it go to stderr.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import dataclasses
from dataclasses import dataclass
from typing import Any

from rspnet import console
from rspnet.cli.command import run
from rspnet.stdout import print_json


@dataclass
class Config:
    """What is converted, and where it goes."""

    src: str
    """Checkpoint to convert: a file or a folder."""
    dst: str
    """File or folder that is written; nothing of that name may exist."""


def main(config: Config) -> dict[str, Any]:
    """Convert, and return the result that is also printed as the last line."""
    from rspnet.running.finished import run_at
    from rspnet.weights.convert import convert

    done = convert(config.src, config.dst, run_at)
    for line in done.summary().splitlines():
        console.say(line)
    result = dataclasses.asdict(done)
    print_json(result)
    return result


if __name__ == "__main__":
    run(main, Config)
