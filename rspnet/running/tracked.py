"""What a run's trackers get at its end: its result beside its options, the confusion matrices, the features."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rspnet.console import is_main, say
from rspnet.drawing.confusion import confusion
from rspnet.evaluation import features
from rspnet.running.record import flat
from rspnet.running.trackers import Picture, Trackers

if TYPE_CHECKING:
    from rspnet.running.folder import Run


def finish(run: "Run", result: dict[str, Any]) -> None:
    """Send all of that, and end the trackers; what cannot be sent is reported, and never fails the run.

    Args:
        run: the finished run; for an evaluation, which has no curves, the trackers are started here.
        result: as in result.json.
    """
    trackers = run.trackers  # possibly empty, if all have failed
    if trackers is None:
        trackers = Trackers(run.accelerator, run.run_dir, flat(run.config))
    step = int(result.get("steps", 0))
    if not is_main():  # the trackers of other processes send nothing
        trackers.close()
        return
    if trackers:
        try:
            for path in sorted(run.run_dir.glob("confusion*.csv")):
                trackers.show(path.stem, _matrix(path), step)
            for path in run.run_dir.glob("features.parquet"):
                trackers.embed("features", *_features(path))
        except Exception as error:  # e.g. a file that somebody has changed, or a name that cannot be drawn
            said = " ".join(str(error).split())[:200] or type(error).__name__
            say(f"trackers: not all of what the run found could be sent ({said}); its folder has everything")
    trackers.finish(_numbers(result), step)


def _matrix(path: Path) -> Picture:
    with path.open(encoding="utf-8", newline="") as file:
        (_, *names), *lines = csv.reader(file)
    return confusion(np.array([row[1:] for row in lines], np.int64), names)


def _features(path: Path) -> tuple[npt.NDArray[np.float32], list[tuple[str, str]]]:
    """Return the features (N, D) of the videos that could be read, with class and name of each."""
    stored = features.read(str(path))
    values = stored.values.reshape(len(stored.values), -1)
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    labels, videos = (stored.rows[name].to_pylist() for name in ("label", "video"))
    named = [(label or "", video) for label, video, use in zip(labels, videos, there) if use]
    return values[there], named


def _numbers(result: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Return the values of a result by flat names: ``top1``, ``recall/1``, and with several protocols ``knn/top1``."""
    found: dict[str, object] = {}
    for name, value in result.items():
        found |= _numbers(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
