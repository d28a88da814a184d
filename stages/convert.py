"""Convert published checkpoints to ours, and ours to published ones, without changing a value.

    python stages/convert.py model_best_c3d_200epoch.pth.tar published/c3d
    python stages/convert.py runs/c3d runs/c3d.pth.tar

What SRC is tells which:

    a published .pth.tar, pretrained or fine-tuned
        DST becomes a folder to give to --weights: encoder.safetensors and
        encoder.json, and all else of the file in published.pt and
        published.json
    a finished run folder
        DST becomes a published .pth.tar, with all that the published code needs
        to go on: pretraining as it ended, fine-tuning at its best
    a run folder that is not finished, or a checkpoint in one
        the same, of the newest checkpoint, or of that one
    a folder converted before
        DST becomes the file it was made of, the same to the bit
    an encoder.safetensors alone
        DST becomes a .pth.tar for the published fine-tuning and retrieval

No code in SRC is executed. The last line on stdout is the result as JSON; what to know of it is on stderr.
"""

if __name__ == "__main__":  # before all that takes its time
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
