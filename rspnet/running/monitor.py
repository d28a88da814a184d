"""Measure what an encoder has learnt between epochs of its pretraining: kNN and retrieval on a small labelled set.

A copy of the encoder is measured, and the random generators' states are restored afterwards: the training is the same
to the bit, with and without it.
"""

import copy
import dataclasses
from typing import TYPE_CHECKING

from rspnet.console import say, some
from rspnet.data.augment import normaliser
from rspnet.data.clip_dataset import even_clips, test_split
from rspnet.data.index import check_labels, load, select
from rspnet.data.indexfile import is_index
from rspnet.data.run_index import keep_index
from rspnet.data.sets import Failures, TestSet
from rspnet.errors import ConfigError, RSPNetError
from rspnet.evaluation.accuracy import accuracy, chance_top
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.neighbours import chance_recall, knn_votes, recall
from rspnet.evaluation.predict import Outputs, ViewFeatures, predict
from rspnet.running.undisturbed import undisturbed

if TYPE_CHECKING:
    from pathlib import Path

    from rspnet.cli.monitoring import Monitor as Options
    from rspnet.cli.options import DataSet
    from rspnet.clipspec import ClipSpec
    from rspnet.encoders import VideoEncoder
    from rspnet.running.folder import Run


class Monitor:
    """The labelled set, and how it is measured.

    Args:
        options: the set, and when it is measured; without `data` nothing is.
        run: processes, and the folder, to which the set's index is written as labelled.parquet.
        clip: the encoder's input.
        data: how videos are read.
        num_workers: decoding processes for each process of the run.

    Raises:
        ConfigError: the videos are not usable: they have no classes, or no training or test split.
    """

    def __init__(self, options: "Options", run: "Run", clip: "ClipSpec", *, data: "DataSet", num_workers: int) -> None:
        self._every, self._run, self._batch = options.every, run, options.batch
        self._clip = dataclasses.replace(clip, views=options.views)
        self._limits, self._workers = data.limits(), num_workers
        self._sets: list[tuple[Failures, str]] = []
        if options.data is None:
            return
        try:
            index = load(run.team.by_main(lambda: _kept(run.run_dir / "labelled.parquet", str(options.data))))
            gallery, _ = select(index, "train", options.fold)
            queries, _ = select(index, test_split(index), options.fold)
            check_labels(queries, gallery)
        except ConfigError as error:
            raise ConfigError(f"monitor.data: {error}") from None
        named = ((queries, "monitor, test videos"), (gallery, "monitor, training videos"))
        self._sets = [(Failures(videos, data.max_failures), desc) for videos, desc in named]
        say(
            f"monitor: kNN and retrieval of {some(len(queries), 'video')} among {len(gallery)}, every "
            f"{some(options.every, 'epoch')}"
        )

    def __call__(self, encoder: "VideoEncoder", epoch: int, epochs: int) -> dict[str, float]:
        """Measure the encoder after an epoch, if that is due; all processes must call it.

        Args:
            encoder: the one in training; it is not changed.
            epoch: the one that has just ended, from 0.
            epochs: number of epochs of the run.

        Returns:
            Percentages: ``monitor_knn_top1``, ``monitor_recall_at_1``, and each with ``chance_`` before its name;
            nothing if it is not due, or could not be measured.
        """
        finished = epoch + 1
        if not self._sets or (finished % self._every and finished != epochs):
            return {}
        try:
            with undisturbed():
                return _measured(*self._outputs(encoder))
        except (RSPNetError, ValueError, FloatingPointError) as error:  # the same in all processes
            say(f"monitor: not measured after epoch {finished}: {error}")
            return {}

    def _outputs(self, encoder: "VideoEncoder") -> list[Outputs]:
        network, accelerator, team = ViewFeatures(copy.deepcopy(encoder)), self._run.accelerator, self._run.team
        forward = Forward(network, normaliser(self._clip), accelerator=accelerator, team=team)
        outputs = []
        for failures, desc in self._sets:
            clips = even_clips(failures.index, self._clip, **self._limits)
            test_set = TestSet(clips, failures, batch=self._batch, team=team, num_workers=self._workers)
            outputs.append(predict(forward, test_set, desc))
        return outputs


def _measured(tested: Outputs, known: Outputs) -> dict[str, float]:
    num_classes = known.index.features["label"].num_classes
    features, labels = known.values, known.labels
    votes = knn_votes(tested.values, features, labels, num_classes=num_classes)
    found = recall(tested.values, tested.labels, gallery_features=features, gallery_labels=labels, ks=(1,))
    return {
        "monitor_knn_top1": accuracy(votes, tested.labels)["top1"],
        "monitor_recall_at_1": found[1],
        "chance_monitor_knn_top1": chance_top(num_classes)["top1"],
        "chance_monitor_recall_at_1": chance_recall(tested.labels, labels, (1,))[1],
    }


def _kept(path: "Path", source: str) -> "Path":
    """Write the set's index as it is now, which may differ from that at the run's first start; return its path."""
    path.unlink(missing_ok=True)
    root, index = (None, source) if is_index(source) else (source, None)
    keep_index(path, root, index, layout="auto")
    return path
