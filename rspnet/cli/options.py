"""The option sections that stages share; the docstring of each field is its `--help`.

A section refuses values that can never be right, so that a mistake is reported before anything is loaded or written.
"""

from dataclasses import dataclass, field
from typing import Literal, TypedDict

from rspnet.cli import bounds
from rspnet.cli.bounds import positive, within
from rspnet.cli.monitoring import Monitor as Monitor
from rspnet.cli.optimisation import Optim as Optim
from rspnet.cli.optimisation import Subset as Subset
from rspnet.errors import ConfigError
from rspnet.video.limits import MAX_PIXELS

OF_TRAINING = ("augment", "frozen", "monitor", "optim", "pretext", "subset")
"""Parts of a training's config that other stages ignore when they are given such a config."""

Layout = Literal["auto", "folder", "kinetics", "ucf101", "hmdb51", "something_v2"]
"""How a folder of videos is organised: `rspnet.data.layouts.LAYOUTS`, or by what is there (auto)."""


@dataclass
class Data:
    """Videos: how they are read."""

    layout: Layout = "auto"
    """How the folder is organised (auto: it is recognised); an index needs none."""
    fold: int = 1
    """Which official train/test split of UCF101 or HMDB51 is used, 1 to 3."""
    num_workers: int | None = None
    """Number of decoding processes for each process of the run (null: its share of the machine's cores, at most 16; 0:
    it decodes by itself). Never changes a result."""
    time_limit: float = 60.0
    """Seconds that reading one video may take before it counts as failed."""
    max_pixels: int = MAX_PIXELS
    """Largest number of pixels of a picture, width times height; beyond it a video counts as failed. This bounds the
    memory that a file can take. The default is 8192 x 8192, twice the pixels of 8K."""
    cache_gb: float = 50.0
    """Gigabytes that videos fetched from URLs may take on this machine's disk (in the datasets cache,
    HF_DATASETS_CACHE; all runs share it)."""

    def __post_init__(self) -> None:
        within(self, 1, 1000, "fold")
        within(self, 0, bounds.PROCESSES, "num_workers")
        within(self, 1, bounds.PIXELS, "max_pixels")
        positive(self, bounds.SECONDS, "time_limit")
        positive(self, bounds.GIGABYTES, "cache_gb")

    def limits(self) -> "Limits":
        """Return the limits of reading one video, as keywords."""
        return {"time_limit": self.time_limit, "max_pixels": self.max_pixels}


@dataclass
class DataSet(Data):
    """Videos: which to read, and how."""

    root: str | None = None
    """Folder of the data set, or its URL (s3://, hf://, https://, ...); with an index: where its videos are now (null:
    where they were when it was written)."""
    index: str | None = None
    """Index of the videos: .jsonl or .parquet from stages/verify.py, or a list of paths and labels (.txt, .csv, .tsv);
    without one the folder is walked at the start."""
    max_failures: float = 5.0
    """Percent of videos that may fail to decode in an epoch or a test before the run stops (one may, unless this is
    0)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, 100, "max_failures")


class Limits(TypedDict):
    """Keywords of `rspnet.data.clip_dataset.random_clips` and `even_clips`."""

    time_limit: float
    max_pixels: int


@dataclass
class Clips:
    """Clips: what is cut out of a video."""

    num_frames: int = 16
    """Number of frames in a clip."""
    size: int = 112
    """Height and width of a clip in pixels."""
    stride: int = 1
    """Step from frame to frame of a clip, in frames of the video; with --clips.sampling cover the video's length sets
    it."""
    frame_rate: float | None = None
    """Frames per second to which videos are resampled first (null: they stay as they are)."""
    sampling: Literal["clip", "cover"] = "clip"
    """Which frames make a clip: ones clips.stride apart (clip), or ones that cover the whole video (cover)."""

    def __post_init__(self) -> None:
        within(self, 1, bounds.FRAMES, "num_frames")
        within(self, 1, bounds.SIDE, "size")
        within(self, 1, bounds.STRIDE, "stride")
        positive(self, 1000, "frame_rate")
        if self.sampling == "cover" and self.stride != 1:
            raise ConfigError(
                f"clips.stride: {self.stride}; frames that cover the whole video (clips.sampling cover) have no stride "
                "of their own: leave it out, or take clips.sampling clip"
            )


@dataclass
class TestedClips(Clips):
    """Clips: what is cut out of a video, and how many of them are tested."""

    views: int = 10
    """Number of clips that a test takes of each video, evenly spaced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, bounds.VIEWS, "views")


@dataclass
class Augment:
    """Augmentation: random changes of training clips, the same for all frames of one."""

    crop_area: list[float] = field(default_factory=lambda: [0.4, 1.0])
    """Smallest and largest part of the frame's area that a random crop keeps."""
    gray: float = 0.2
    """Probability that a clip is turned grey."""
    brightness: float = 0.4
    """Largest change of the brightness: a factor is drawn from 1 - this to 1 + this; 0 leaves it alone."""
    contrast: float = 0.4
    """Largest change of the contrast: a factor is drawn from 1 - this to 1 + this; 0 leaves it alone."""
    saturation: float = 0.4
    """Largest change of the saturation: a factor is drawn from 1 - this to 1 + this; 0 leaves it alone."""
    hue: float = 0.4
    """Largest shift of the hue either way, in turns of the colour circle (0 to 0.5); 0 leaves it alone."""
    flip: float = 0.5
    """Probability that a clip is flipped horizontally; 0 where left and right matter."""

    def __post_init__(self) -> None:
        within(self, 0, 1, "crop_area", "gray", "brightness", "contrast", "saturation", "flip")
        within(self, 0, 0.5, "hue")
        if len(self.crop_area) != 2 or not 0 < self.crop_area[0] <= self.crop_area[1]:
            raise ConfigError(
                f"augment.crop_area: {self.crop_area}; give the smallest and the largest part, as [0.4, 1.0]"
            )


@dataclass
class Encoder:
    """Encoder: the network."""

    name: Literal["c3d", "resnet18", "r2plus1d", "s3dg", "r3d_18", "r2plus1d_18", "s3d"] = "resnet18"
    """Which network: the published four (r2plus1d has 4 blocks), then torchvision's three."""
    width: int | None = None
    """Number of channels of the first layer, for small variants of the published four (null: the published width)."""

    def __post_init__(self) -> None:
        within(self, 1, bounds.CHANNELS, "width")


@dataclass
class Pretext:
    """Pretraining tasks: appearance (A-VID) and relative speed (RSP)."""

    speeds: list[int] = field(default_factory=lambda: [2])
    """Playback rates of the fast clips, such as [2] or [2, 4]; each step draws one."""
    dim: int = 128
    """Dimension of the embedding that each of the two heads makes."""
    queue_length: int = 16384
    """Number of negatives in the queue, at least optim.total_batch."""
    momentum: float = 0.999
    """Momentum of the key encoder: key = momentum * key + (1 - momentum) * query, once a step."""
    temperature: float = 0.07
    """Temperature by which both losses divide the similarities."""
    margin: float = 2.0
    """Margin by which the motion loss (RSP) wants a clip of the same speed to be nearer than one of another, in units
    of similarity / temperature."""
    appearance_weight: float = 1.0
    """Weight of the appearance loss (A-VID) in the total loss."""
    motion_weight: float = 1.0
    """Weight of the motion loss (RSP) in the total loss."""
    bn_groups: int = 4
    """Number of batch-norm groups over all processes, between which clips are shuffled; a multiple of the number of
    processes."""

    def __post_init__(self) -> None:
        within(self, 2, bounds.SPEED, "speeds")
        if not self.speeds:
            raise ConfigError("pretext.speeds: empty; name the playback rates of the fast clips, as [2]")
        within(self, 1, bounds.DIMENSIONS, "dim")
        within(self, 1, bounds.NEGATIVES, "queue_length")
        within(self, 1, bounds.VIDEOS, "bn_groups")
        within(self, 0, 1, "momentum")
        within(self, 0, bounds.FACTOR, "margin", "appearance_weight", "motion_weight")
        positive(self, bounds.FACTOR, "temperature")
        if not self.appearance_weight and not self.motion_weight:
            raise ConfigError("pretext.appearance_weight and pretext.motion_weight are both 0: nothing would be learnt")


@dataclass
class Test:
    """Testing: central square crops of clips that are evenly spaced over the video."""

    batch: int = 4
    """Number of videos tested at a time in each process."""

    def __post_init__(self) -> None:
        within(self, 1, bounds.VIDEOS, "batch")


@dataclass
class Run:
    """Random numbers."""

    seed: int = 0
    """Seed of fresh weights; in training also of all other random draws, in evaluation of those of probes."""

    def __post_init__(self) -> None:
        within(self, 0, bounds.SEED, "seed")


@dataclass
class Computing(Run):
    """Random numbers and speed."""

    compile: bool = False
    """Let torch compile the encoder, and on a GPU the augmentation: takes a minute or more at the start, for faster
    steps after it. Results change by rounding alone; a run may go on with it or without. Needs a C++ compiler."""


@dataclass
class Evaluation(Computing):
    """Random numbers, speed, and where the result goes."""

    trackers: list[str] = field(default_factory=list)
    """Installed trackers, by accelerate's names, that also get the result, with options, confusion matrix and features,
    such as [tensorboard]; [] for none."""


@dataclass
class TrainingRun(Computing):
    """Bookkeeping; only seed and, in fine-tuning, micro_batches change results."""

    micro_batches: int = 1
    """Number of parts in which each process computes its share of a step, one after the other, in the memory of one. In
    pretraining each is of whole batch-norm groups (pretext.bn_groups), which changes no result; in fine-tuning each has
    its own batch statistics, as if there were that many times the processes."""
    log_every: int = 10
    """Number of training steps from one log line to the next."""
    checkpoint_every: int = 500
    """Number of training steps from one checkpoint to the next; one is also written at the end of each epoch, and at
    Ctrl-C or SIGTERM."""
    keep_epochs: int = 50
    """Number of epochs from one checkpoint kept for good to the next; the last two and the best are kept too."""
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Installed trackers, by accelerate's names, that also get the curves, such as [tensorboard,wandb]; [] for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, bounds.VIDEOS, "micro_batches")
        within(self, 1, bounds.STEPS, "log_every", "checkpoint_every", "keep_epochs")
