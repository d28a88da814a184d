"""The options of what is measured while a pretraining runs; the docstring of each field is its `--help`."""

from dataclasses import dataclass

from rspnet.cli import bounds
from rspnet.errors import ConfigError


@dataclass
class Monitor:
    """Monitor: what the encoder has learnt so far, measured between epochs."""

    data: str | None = None
    """Labelled videos with a training and a test split: a folder, or an index (null: nothing is measured)."""
    every: int = 10
    """Number of epochs from one measurement to the next; the last epoch always has one."""
    fold: int = 1
    """Which official train/test split is used, 1 to 3."""
    views: int = 1
    """Number of evenly spaced clips of each video whose features are averaged."""
    batch: int = 4
    """Number of videos measured at a time in each process."""

    def __post_init__(self) -> None:
        bounds.within(self, 1, bounds.EPOCHS, "every")
        bounds.within(self, 1, 1000, "fold")
        bounds.within(self, 1, bounds.VIEWS, "views")
        bounds.within(self, 1, bounds.VIDEOS, "batch")
        if self.data is None and (self.every, self.fold, self.views, self.batch) != (10, 1, 1, 4):
            raise ConfigError("monitor: nothing is measured without a labelled set; name one by monitor.data")
        if self.data == "-":
            raise ConfigError("monitor.data: -; standard input can be read once only: name a folder or a file")
