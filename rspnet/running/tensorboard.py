"""What TensorBoard shows besides curves: options with results, accuracies beside chance, features in the projector.

All is written to the run's own folder. TensorBoard keeps the options that come first, also if the run goes on later.
torch's `add_hparams` would write them as another run, to a subfolder.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

RESULTS = ("top1", "top5", "loss", "avid_top1", "rsp_accuracy", "effective_rank", "v_measure", "device_hours")
"""The numbers of a result that are columns in the table of runs; those that a stage does not have stay empty."""

_OF_PROTOCOL = {
    "retrieval": ("recall/1",),
    "few_shot": ("top1/8",),
    "cluster": ("v_measure",),
    "pretext": ("rsp_accuracy", "avid_top1"),
}
"""The same for each protocol; for those that are not listed, `top1`."""

POINTS = 10_000
"""Most features that the projector gets, since more are slow to draw; they are taken evenly over the list."""


def begin(tracker: Any, options: Mapping[str, bool | int | float | str], chance: Mapping[str, float]) -> None:
    """Write the options of the run, which results the table shows, and which curves share a chart.

    Args:
        tracker: accelerate's.
        options: flat; also written beside the events as hparams.yml.
        chance: terms that have a curve of chance level.
    """
    from torch.utils.tensorboard.summary import hparams

    writer: SummaryWriter = tracker.writer
    events: Any = writer.file_writer  # not None while it is open
    names = _columns(str(options.get("protocol", "")))
    table, values, _ = hparams(dict(options), dict.fromkeys((f"result/{name}" for name in names), 0.0))
    for summary in (table, values):
        events.add_summary(summary)
    path = Path(writer.log_dir, "hparams.yml")
    path.write_text(yaml.dump(dict(options)), encoding="utf-8")
    if chance:
        charts = {name: ["Multiline", [f"epoch/{name}$", f"epoch/chance_{name}$"]] for name in chance}
        writer.add_custom_scalars({"accuracies and chance": charts})
    writer.flush()


def _columns(protocol: str) -> list[str]:
    """Return the columns of the table; with several protocols each number is under its protocol's name."""
    protocols = [name.strip() for name in protocol.split(",")]
    own = {name: _OF_PROTOCOL.get(name, ("top1",)) for name in protocols}
    if len(protocols) > 1:
        return [f"{name}/{number}" for name, numbers in own.items() for number in numbers]
    return list(dict.fromkeys([*RESULTS, *own[protocols[0]]]))


def embed(tracker: Any, name: str, features: npt.NDArray[np.float32], *, rows: Sequence[tuple[str, str]]) -> None:
    """Send features to the projector, see `rspnet.running.trackers.Trackers.embed`."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), POINTS)).astype(int))
    # They are stored as lines of text: a name with a line end or a tab in it would shift all that follow.
    told = [[re.sub(r"\s", " ", word) or "-" for word in rows[place]] for place in places]
    tracker.writer.add_embedding(features[places], told, tag=name, metadata_header=["class", "video"])
    tracker.writer.flush()
