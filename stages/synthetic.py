"""Make a small data set of video files whose classes differ only in motion, for the demo and the tests.

    python stages/synthetic.py runs/demo/motions
    python stages/synthetic.py motions --videos_per_class 8 --seed 1

DST gets the folders of UCF101: UCF-101/CLASS/v_CLASS_gXX_cYY.mp4 and ucfTrainTestlist/ with three folds. Ten classes:
an object bounces, circles, pulses, rises or slides, fast or slowly. The same options give the same pixels; a set that
was interrupted or has lost a file is made again, a complete one is left alone.

The last line on stdout is the result as JSON.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

from dataclasses import dataclass
from typing import Any

from rspnet import console
from rspnet.cli import bounds
from rspnet.cli.command import run
from rspnet.stdout import print_json


@dataclass
class Config:
    """What is made, and where it goes."""

    dst: str
    """Folder that is written, new or empty."""
    videos_per_class: int = 40
    """Number of videos of each class, 4 to 100000."""
    seed: int = 0
    """Seed of all random draws, at least 0."""

    def __post_init__(self) -> None:
        bounds.within(self, 4, bounds.SYNTHETIC, "videos_per_class")
        bounds.within(self, 0, bounds.SEED, "seed")


def main(config: Config) -> dict[str, Any]:
    """Make the set, and return the result that is also printed as the last line."""
    from rspnet.data.motions import MOTIONS
    from rspnet.data.synthetic import make_dataset, num_videos

    made = make_dataset(config.dst, config.videos_per_class, config.seed)
    total = num_videos(config.videos_per_class)
    what = f"{console.some(len(MOTIONS), 'class', 'classes')}, {console.some(total, 'video')}"
    console.say(f"{config.dst}: {what}{'' if made else '; already there'}")
    summary = {"stage": "synthetic", "dst": config.dst, "made": made}
    summary |= {"num_classes": len(MOTIONS), "num_videos": total}
    print_json(summary)
    return summary


if __name__ == "__main__":
    run(main, Config)
