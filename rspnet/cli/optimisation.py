"""The options of how a training is optimised, and on how many of its videos."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from rspnet.cli import bounds
from rspnet.cli.bounds import positive, within
from rspnet.errors import ConfigError


@dataclass
class Optim:
    """Optimisation: SGD with momentum and weight decay, as published; or Adam."""

    epochs: int = 200
    """Number of epochs, each of optim.passes passes over the training videos."""
    passes: int = 1
    """Number of passes over the training videos in an epoch, each with other clips; the learning rate is set, and the
    network measured, between epochs alone."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Which optimiser takes the steps."""
    total_batch: int = 64
    """Number of videos in a training step, over all processes."""
    lr: float = 0.1
    """Learning rate at the start, for steps of optim.lr_batch videos."""
    lr_batch: int | None = None
    """Number of videos in a step for which optim.lr is meant: the learning rate is optim.lr * total_batch / lr_batch
    (null: optim.lr as it is)."""
    momentum: float = 0.9
    """Momentum of SGD (plain, not Nesterov's); for Adam the first beta (the second is 0.999)."""
    weight_decay: float = 1e-4
    """Weight decay of every parameter, added to the gradient, for SGD and for Adam."""
    schedule: Literal["cosine", "multi_step"] = "cosine"
    """How the learning rate falls, epoch by epoch: along half a cosine to a thousandth (cosine), or at each milestone
    by the factor optim.decay (multi_step)."""
    milestones: list[int] = field(default_factory=list)
    """Epochs after which --optim.schedule multi_step lowers the learning rate, such as [50, 70]."""
    decay: float = 0.1
    """Factor by which --optim.schedule multi_step multiplies the learning rate at each milestone."""

    def __post_init__(self) -> None:
        within(self, 1, bounds.EPOCHS, "epochs", "milestones")
        within(self, 1, bounds.VIEWS, "passes")
        within(self, 1, bounds.VIDEOS, "total_batch", "lr_batch")
        within(self, 0, bounds.FACTOR, "weight_decay")
        within(self, 0, 1, "momentum")
        positive(self, bounds.FACTOR, "lr")
        positive(self, 1, "decay")
        if self.optimizer == "adam" and self.momentum == 1:
            raise ConfigError("optim.momentum: 1.0; for Adam it is the first beta, which must be less than 1")
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
        if self.schedule != "multi_step" and self.decay != 0.1:
            raise ConfigError(
                f"optim.decay: {self.decay}; optim.schedule {self.schedule} has no milestones at which the rate would "
                "fall: take multi_step, or leave it out"
            )


@dataclass
class Subset:
    """Fewer training videos: equally many of each class, drawn as SEVERE draws them."""

    videos: int | None = None
    """Number of training videos that are used, rounded up to equally many of each class (null: all)."""
    seed: int = 19
    """Seed by which these videos are drawn; the default is SEVERE's."""

    def __post_init__(self) -> None:
        within(self, 1, bounds.STEPS, "videos")
        within(self, 0, 2**32 - 1, "seed")  # the range of NumPy's legacy generator
        if self.videos is None and self.seed != 19:
            raise ConfigError(
                f"subset.seed: {self.seed}; nothing is drawn without subset.videos; add it, or leave this out"
            )
