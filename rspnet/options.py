"""The option sections that stages share; each field's text is its `--help`.

A section refuses what can never be right, so that a mistake is answered before anything is loaded or written.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from rspnet.errors import ConfigError


def _within(section: Any, low: float, high: float, *names: str) -> None:
    """Refuse a number, or a list with a number, outside low to high; None is no number."""
    for name in names:
        value = getattr(section, name)
        for number in value if isinstance(value, Sequence) else () if value is None else (value,):
            if not low <= number <= high or number == math.inf:
                span = f"between {low} and {high}" if high < math.inf else f"at least {low}"
                raise ConfigError(f"{_name(section)}.{name}: {value}; it must be {span}")


def _positive(section: Any, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{_name(section)}.{name}: {value}; it must be more than 0")


def _name(section: Any) -> str:
    """As the stages' options call it; a section that adds to another keeps its name."""
    return type(section).__mro__[-2].__name__.lower()


@dataclass
class Data:
    """Which videos to read, and how."""

    root: str | None = None
    """Folder of the data set; with an index: where its videos lie now (null: where they lay when it was written)."""
    index: str | None = None
    """Index of the videos (.jsonl or .parquet, from stages/verify.py; or a list of paths and labels: .txt, .csv, .tsv);
    without one the folder is walked at start."""
    layout: Literal["auto", "folder", "kinetics", "ucf101", "hmdb51", "something_v2"] = "auto"
    """How the folder is organised; an index says it itself."""
    fold: int = 1
    """Official train/test split of UCF101 and HMDB51, 1 to 3."""
    num_workers: int | None = None
    """Decoding processes of each process (null: its share of the machine's cores, at most 16); 0 decodes in the process
    itself. Never changes a result."""
    max_failures: float = 5.0
    """Percent of videos that may fail to decode in an epoch before the run stops (one always may, unless this is 0)."""
    time_limit: float = 60.0
    """Seconds one video may take to read before it counts as failed."""

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "fold")
        _within(self, 0, math.inf, "num_workers")
        _within(self, 0, 100, "max_failures")
        _positive(self, "time_limit")


@dataclass
class Clips:
    """What a clip is."""

    num_frames: int = 16
    """Frames of a clip."""
    size: int = 112
    """Height and width of a clip, pixels."""
    stride: int = 1
    """Gap between a clip's frames, frames; not in sampling `cover`, which sets it by the video's length."""
    frame_rate: float | None = None
    """Frames per second that videos are resampled to first (null: as they are)."""
    sampling: Literal["clip", "cover"] = "clip"
    """Take consecutive frames (clip), or frames that cover the whole video (cover)."""

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "num_frames", "size", "stride")
        _positive(self, "frame_rate")
        _within(self, 0, 1000, "frame_rate")
        if self.sampling == "cover" and self.stride != 1:
            raise ConfigError(
                f"clips.stride: {self.stride}; frames that cover the whole video (clips.sampling cover) have no stride "
                "of their own: leave it out, or take clips.sampling clip"
            )


@dataclass
class TestedClips(Clips):
    """What a clip is, and how many of a video are tested."""

    views: int = 10
    """Clips per video, evenly spaced, in a test."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, 1, math.inf, "views")


@dataclass
class Augment:
    """Random changes of training clips, one draw per clip for all its frames."""

    crop_area: list[float] = field(default_factory=lambda: [0.4, 1.0])
    """Smallest and largest part of the frame's area that a crop keeps."""
    gray: float = 0.2
    """Probability of a grey clip."""
    brightness: float = 0.4
    """Factor of the brightness drawn from 1 - this to 1 + this; 0 leaves it alone."""
    contrast: float = 0.4
    """Factor of the contrast drawn from 1 - this to 1 + this; 0 leaves it alone."""
    saturation: float = 0.4
    """Factor of the saturation drawn from 1 - this to 1 + this; 0 leaves it alone."""
    hue: float = 0.4
    """Largest hue shift either way, in turns of the colour circle (0 to 0.5)."""
    flip: float = 0.5
    """Probability of a horizontal flip; 0 where left and right matter."""

    def __post_init__(self) -> None:
        _within(self, 0, 1, "crop_area", "gray", "brightness", "contrast", "saturation", "flip")
        _within(self, 0, 0.5, "hue")
        if len(self.crop_area) != 2 or not 0 < self.crop_area[0] <= self.crop_area[1]:
            raise ConfigError(
                f"augment.crop_area: {self.crop_area}; give the smallest and the largest part, as [0.4, 1.0]"
            )


@dataclass
class Encoder:
    """The network."""

    name: Literal["c3d", "resnet18", "r2plus1d", "s3dg", "r3d_18", "r2plus1d_18", "s3d"] = "resnet18"
    """The published four (r2plus1d has 4 blocks), then torchvision's three."""
    width: int | None = None
    """Channels of the first layer, for small variants of the published four (null: the published width)."""

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "width")


@dataclass
class Pretext:
    """The pretraining tasks."""

    speeds: list[int] = field(default_factory=lambda: [2])
    """Playback rates of the fast clips; each step draws one."""
    dim: int = 128
    """Embedding dimension of both heads."""
    queue_length: int = 16384
    """Negatives in the queue; any number of at least the total batch."""
    momentum: float = 0.999
    """Momentum of the key encoder: key = momentum * key + (1 - momentum) * query, once a step."""
    temperature: float = 0.07
    """Divisor of the similarities in both losses."""
    margin: float = 2.0
    """Gap that the motion loss (RSP) asks for between same and other speed, in units of similarity / temperature."""
    appearance_weight: float = 1.0
    """Factor of the appearance loss (A-VID) in the loss."""
    motion_weight: float = 1.0
    """Factor of the motion loss (RSP) in the loss."""
    bn_groups: int = 4
    """Batch-norm groups over all processes, between which clips are shuffled; raised to a multiple of the processes."""

    def __post_init__(self) -> None:
        _within(self, 2, math.inf, "speeds")
        if not self.speeds:
            raise ConfigError("pretext.speeds: empty; name the playback rates of the fast clips, as [2]")
        _within(self, 1, math.inf, "dim", "queue_length", "bn_groups")
        _within(self, 0, 1, "momentum")
        _within(self, 0, math.inf, "margin", "appearance_weight", "motion_weight")
        _positive(self, "temperature")
        if not self.appearance_weight and not self.motion_weight:
            raise ConfigError("pretext.appearance_weight and pretext.motion_weight are both 0: nothing would be learnt")


@dataclass
class Optim:
    """Optimisation: SGD with momentum, weight decay on every parameter, as published."""

    epochs: int = 200
    """Passes over the training videos."""
    total_batch: int = 64
    """Videos per step over all processes."""
    lr: float = 0.1
    """Learning rate, for `lr_batch` videos per step."""
    lr_batch: int | None = None
    """The rate grows in proportion to total_batch / lr_batch (null: used as it is)."""
    momentum: float = 0.9
    """Momentum of SGD (not Nesterov's)."""
    weight_decay: float = 1e-4
    """Weight decay, on every parameter."""
    schedule: Literal["cosine", "multi_step"] = "cosine"
    """How the rate falls, epoch by epoch: half a cosine down to a thousandth, or to a tenth at each milestone."""
    milestones: list[int] = field(default_factory=list)
    """Epochs done when schedule multi_step divides the rate by ten; only multi_step has any."""

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "epochs", "total_batch", "lr_batch", "milestones")
        _within(self, 0, math.inf, "weight_decay")
        _within(self, 0, 1, "momentum")
        _positive(self, "lr")
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ConfigError(f"optim.milestones: {self.milestones}; they must ascend")
        if self.schedule == "multi_step" and not self.milestones:
            raise ConfigError(
                "optim.milestones: none, so that optim.schedule multi_step would never lower the rate; name the epochs "
                "at which it does, as [50, 70]"
            )
        if self.schedule != "multi_step" and self.milestones:
            raise ConfigError(
                f"optim.milestones: {self.milestones}; optim.schedule {self.schedule} has none: take multi_step, or "
                "give optim.milestones []"
            )


@dataclass
class Test:
    """Testing: central square crop, clips evenly spaced over the video."""

    batch: int = 4
    """Videos at a time in each process."""

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "batch")


@dataclass
class Run:
    """What is drawn at random."""

    seed: int = 0
    """Seed of fresh weights; in training also of the data's order and of every other draw."""

    def __post_init__(self) -> None:
        _within(self, 0, 2**63 - 1, "seed")


@dataclass
class TrainingRun(Run):
    """Bookkeeping; nothing here changes a result but the seed."""

    log_every: int = 10
    """Steps between log lines."""
    checkpoint_every: int = 500
    """Steps between checkpoints, besides the end of each epoch; at Ctrl-C or SIGTERM one is written at once."""
    keep_epochs: int = 50
    """Checkpoints of every so many epochs are kept for good; of the others the last two."""
    tracker: Literal["tensorboard", "none"] = "tensorboard"
    """Where to send curves, besides metrics.jsonl."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, 1, math.inf, "log_every", "checkpoint_every", "keep_epochs")
