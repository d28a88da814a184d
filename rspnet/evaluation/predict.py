"""Run a network over test clips on any number of processes, each video once.

N videos, V views of each, K outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import datasets
import pyarrow as pa
import torch
from torch import Tensor, nn

from rspnet.console import progress
from rspnet.data.batches import Batch
from rspnet.data.sets import TestSet
from rspnet.errors import ConfigError, RSPNetError, VideoError
from rspnet.evaluation.features import SCHEMA, Features
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predictions import ranked

if TYPE_CHECKING:
    from rspnet.clipspec import ClipSpec

TOGETHER = 32
"""Batches whose outputs lie on the device before they are taken from there."""


class Encoder(Protocol):
    """What maps clips (N, 3, T, H, W) to features (N, D)."""

    feature_info: list[dict[str, Any]]

    def get_submodule(self, target: str) -> nn.Module:
        """A module in it, by name."""
        ...

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips to features."""
        ...

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to the last map (N, D, t, h, w)."""
        ...


class ViewFeatures(nn.Module):
    """An encoder's pooled features, averaged over the views of a video (the published retrieval protocol).

    Args:
        encoder: maps clips (N, 3, T, H, W) to features (N, D), and by `forward_features` to maps (N, D, t, h, w).
        pooling: what becomes of a map's positions: "average", the encoder's own pooling (the published code), "max"
            (the paper's description of retrieval), or "none", which keeps them.
        layer: the stage whose map is taken, one that the encoder's `feature_info` names; None: the last.

    Raises:
        ConfigError: there is no such stage.
        ValueError: another pooling.
    """

    def __init__(self, encoder: Encoder, pooling: str = "average", layer: str | None = None) -> None:
        super().__init__()
        if pooling not in ("average", "max", "none"):
            raise ValueError(f"unknown pooling {pooling!r}; choose average, max or none")
        self.encoder = encoder
        self.pooling = pooling
        self.maps_of: Callable[[Tensor], Tensor] | None = None  # the encoder's forward_features, where it is compiled
        self._map = torch.empty(0)
        self._has_layer = layer is not None
        if layer is not None:
            stages = [stage["module"] for stage in encoder.feature_info]
            if layer not in stages:
                raise ConfigError(f"layer: {layer}; the stages of this network are {', '.join(stages)}")
            encoder.get_submodule(layer).register_forward_hook(self._keep)

    def forward(self, views: Tensor) -> Tensor:
        """Views (N, V, 3, T, H, W) to features (N, D), or maps (N, D, t, h, w) that are not pooled.

        They are averaged in float32 also where the encoder runs in half.
        """
        clips = views.flatten(0, 1)
        if self.pooling == "average" and not self._has_layer:
            features = self.encoder(clips)
        else:
            features = (self.maps_of or self.encoder.forward_features)(clips)
            if self._has_layer:  # kept by now, and changed in place by what follows where the network does so
                features = self._map
            if self.pooling != "none":
                features = features.mean((2, 3, 4)) if self.pooling == "average" else features.amax((2, 3, 4))
        precision = torch.promote_types(features.dtype, torch.float32)
        by_video: Tensor = features.unflatten(0, views.shape[:2])
        return by_video.mean(1, dtype=precision)

    @torch.no_grad()
    def shape(self, clip: "ClipSpec") -> list[int]:
        """The shape of a feature; a clip of zeros tells it, on whatever device the network is."""
        device = next(self.parameters()).device
        self.eval()
        return list(self(torch.zeros(1, 1, 3, clip.num_frames, clip.size, clip.size, device=device)).shape[1:])

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._map = output


def predictions(logits: "Outputs", k: int = 5) -> list[dict[str, Any]]:
    """For each video what it is, what the network says, and how sure it is.

    Of equal logits the lower class comes first, as in `rspnet.evaluation.accuracy`.

    Args:
        logits: of the videos; the class names are their index's.
        k: classes to name, best first.
    """
    names = logits.index.features["label"]
    return [
        {
            **_named(logits.index, row),
            "predicted": [names.int2str(number) for number in classes],
            "probability": probabilities,
        }
        for row, (classes, probabilities) in zip(logits.rows.tolist(), ranked(logits.values, k))
    ]


def nearest(queries: "Outputs", gallery: "Outputs", *, places: Tensor, similarities: Tensor) -> list[dict[str, Any]]:
    """For each query what it is, and its nearest gallery videos, nearest first.

    Args:
        queries: N videos.
        gallery: M videos.
        places: (N, k) places in the gallery.
        similarities: (N, k) cosines.
    """
    lines = []
    for row, near, cosines in zip(queries.rows.tolist(), places, similarities.tolist()):
        found = [_named(gallery.index, gallery_row) for gallery_row in gallery.rows[near].tolist()]
        found = [{**name, "similarity": round(cosine, 5)} for name, cosine in zip(found, cosines)]
        lines.append({**_named(queries.index, row), "neighbours": found})
    return lines


def _named(index: datasets.Dataset, row: int) -> dict[str, str | None]:
    video, label = index[row]["video"], index[row]["label"]
    return {"video": video, "label": None if label is None else index.features["label"].int2str(label)}


@dataclass(frozen=True)
class Outputs:
    """What a network says of the videos of a list that can be read, in the list's order, on the CPU of every process.

    Attributes:
        index: the list.
        rows: (M,) of it.
        values: (M, K) float32.
        failed: row -> in a word why it could not be read.
    """

    index: datasets.Dataset
    rows: Tensor
    values: Tensor
    failed: dict[int, str]

    @property
    def num_failed(self) -> int:
        """How many videos could not be read."""
        return len(self.failed)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def videos(self) -> datasets.Dataset:
        """Rows of those that can be read."""
        videos: datasets.Dataset = self.index.select(self.rows)
        return videos

    @property
    def unread(self) -> set[tuple[str, str]]:
        """Root and name of the videos that cannot be read."""
        read, names = set(self.rows.tolist()), zip(self.index["root"], self.index["video"])
        return {name for place, name in enumerate(names) if place not in read}

    @property
    def labels(self) -> Tensor:
        """Classes of the videos (M,)."""
        return torch.tensor(self.index["label"])[self.rows]


def predict(forward: Forward, videos: TestSet, desc: str) -> Outputs:
    """The network's output for every video of a list that can be read; see `outputs_of`."""
    return outputs_of(lambda batch: forward(batch["clips"], videos.size), videos, desc)


def outputs_of(told: Callable[[Batch], Tensor], videos: TestSet, desc: str) -> Outputs:
    """What is said of every video of a list that can be read, each read by one process.

    Args:
        told: batch of N videos -> (N, K), on whatever device.
        videos: the list's clips, and the processes that share them.
        desc: what the videos are, for the progress bar and messages.

    Raises:
        VideoError: none can be read, or more cannot than are allowed to fail.
        RSPNetError: a process cannot read for another reason, for want of shared memory for example; in all of them.
    """
    team, failures = videos.team, videos.failures
    read = _Read()
    mistake: RSPNetError | None = None
    try:
        for part in progress(videos, len(videos), desc=desc, unit="batches"):
            read.add(part["row"], told(part), readable=part["failed"] < 0)
    except VideoError:  # too many: the others learn it below
        pass
    except RSPNetError as error:
        mistake = error
    team.check(mistake)
    everybodys = team.everyones((failures.statuses, read.joined()))
    failed = {row: status for statuses, _ in everybodys for row, status in statuses.items()}
    if len(failed) == len(failures.index):
        raise VideoError(f"{desc}: none of the {len(failed)} can be read; stages/verify.py --depth decode says why")
    try:
        failures.judge(len(failed))
    except VideoError as error:
        raise VideoError(f"{desc}: {error}") from None
    rows, outputs = (torch.cat(column) for column in zip(*(part for _, part in everybodys if part is not None)))
    order = rows.argsort()
    return Outputs(failures.index, rows[order], outputs[order], failed)


def stored_outputs(stored: Features, videos: datasets.Dataset, desc: str) -> Outputs:
    """The features of a list of videos that are in a file.

    Args:
        stored: the file's, of whole videos.
        videos: the list; each is in the file.
        desc: what the videos are, for messages.

    Raises:
        ConfigError: the file has several features of one video.
    """
    places = {video: place for place, video in enumerate(stored.rows["video"].to_pylist())}
    if len(places) < len(stored.rows):
        raise ConfigError(f"{desc}: the features hold two videos of one name; extract those of one folder at a time")
    values = torch.from_numpy(stored.values[[places[video] for video in videos["video"]]])
    return Outputs(videos, torch.arange(len(videos)), values, {})


def feature_rows(outputs: list[Outputs], splits: Sequence[str | None]) -> pa.Table:
    """What the outputs for lists of videos say, as rows of a file of features, list after list.

    Args:
        outputs: for each list.
        splits: for each list what its videos were taken for.
    """
    rows: list[dict[str, Any]] = []
    for each, split in zip(outputs, splits, strict=True):
        values = dict(zip(each.rows.tolist(), each.values.numpy()))
        for place, video in enumerate(each.index):
            is_read, frames = place in values, video["num_frames"]
            rows.append(
                {
                    **_named(each.index, place),
                    "split": split,
                    "start": 0.0 if is_read else None,
                    "end": frames / video["fps"] if is_read and frames and video["fps"] else None,
                    "start_frame": 0 if is_read else None,
                    "end_frame": frames if is_read else None,
                    "status": each.failed.get(place, "ok"),
                    "feature": values.get(place),
                }
            )
    return pa.Table.from_pylist(rows, SCHEMA)


class _Read:
    """What the network says of the videos that could be read, batch by batch.

    Numbers are taken from the device for many batches at a time: to ask for each one's would keep the device waiting.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._waiting: list[tuple[Tensor, Tensor]] = []  # outputs on the device, and which of them count

    def add(self, rows: Tensor, outputs: Tensor, *, readable: Tensor) -> None:
        self._rows.append(rows[readable])
        self._waiting.append((outputs, readable))
        if len(self._waiting) == TOGETHER:
            self._fetch()

    def joined(self) -> tuple[Tensor, Tensor] | None:
        """Rows, and outputs on the CPU; None without a batch."""
        self._fetch()
        return (torch.cat(self._rows), torch.cat(self._outputs)) if self._rows else None

    def _fetch(self) -> None:
        if self._waiting:
            outputs, readable = (torch.cat(column) for column in zip(*self._waiting))
            self._outputs.append(outputs.cpu()[readable])
            self._waiting.clear()
