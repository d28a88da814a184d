"""Run a network over test clips on any number of processes, which share the videos.

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

NOT_FINITE = (
    "the network's output is NaN or infinite; give other weights, in training a lower optim.lr, or a precision of "
    "wider range"
)
"""What is said of such a video."""
TOGETHER = 32
"""Number of batches whose outputs are copied from the device together."""


class Encoder(Protocol):
    """The interface of an encoder whose stages have names, see `rspnet.encoders.encoder.VideoEncoder`."""

    feature_info: list[dict[str, Any]]

    def get_submodule(self, target: str) -> nn.Module:
        """See `torch.nn.Module.get_submodule`."""
        ...

    def __call__(self, clips: Tensor) -> Tensor:
        """Map clips (N, 3, T, H, W) to features (N, D)."""
        ...

    def forward_features(self, clips: Tensor) -> Tensor:
        """Map clips (N, 3, T, H, W) to the last feature map (N, D, t, h, w)."""
        ...


class ViewFeatures(nn.Module):
    """An encoder's pooled features, averaged over the views of a video (the published retrieval protocol).

    Args:
        encoder: maps clips (N, 3, T, H, W) to features (N, D), and by `forward_features` to maps (N, D, t, h, w).
        pooling: how a map's positions are pooled: "average", the encoder's own pooling (as in the published code),
            "max" (as the paper describes retrieval), or "none", which keeps them.
        layer: the stage whose map is pooled, a module named in the encoder's `feature_info`; None: the last map.

    Raises:
        ConfigError: there is no such stage.
        ValueError: the pooling is unknown.
    """

    def __init__(self, encoder: Encoder, pooling: str = "average", layer: str | None = None) -> None:
        super().__init__()
        if pooling not in ("average", "max", "none"):
            raise ValueError(f"unknown pooling {pooling!r}; choose average, max or none")
        self.encoder = encoder
        self.pooling = pooling
        self.maps_of: Callable[[Tensor], Tensor] | None = None  # the encoder's forward_features, if it is compiled
        self._map = torch.empty(0)
        self._has_layer = layer is not None
        if layer is not None:
            stages = [stage["module"] for stage in encoder.feature_info]
            if layer not in stages:
                raise ConfigError(f"layer: {layer}; the stages of this network are {', '.join(stages)}")
            encoder.get_submodule(layer).register_forward_hook(self._keep)

    def forward(self, views: Tensor) -> Tensor:
        """Map views (N, V, 3, T, H, W) to features (N, D), or without pooling to maps (N, D, t, h, w).

        They are averaged over the views, in float32 even if the encoder runs in half precision.
        """
        clips = views.flatten(0, 1)
        if self.pooling == "average" and not self._has_layer:
            features = self.encoder(clips)
        else:
            features = (self.maps_of or self.encoder.forward_features)(clips)
            if self._has_layer:  # stored by the hook; an in-place layer after the stage (a ReLU) has been applied to it
                features = self._map
            if self.pooling != "none":
                features = features.mean((2, 3, 4)) if self.pooling == "average" else features.amax((2, 3, 4))
        precision = torch.promote_types(features.dtype, torch.float32)
        by_video: Tensor = features.unflatten(0, views.shape[:2])
        return by_video.mean(1, dtype=precision)

    @torch.no_grad()
    def shape(self, clip: "ClipSpec") -> list[int]:
        """Return the shape of a feature, found with a clip of zeros on the network's device."""
        device = next(self.parameters()).device
        self.eval()
        return list(self(torch.zeros(1, 1, 3, clip.num_frames, clip.size, clip.size, device=device)).shape[1:])

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._map = output


def predictions(logits: "Outputs", k: int = 5) -> list[dict[str, Any]]:
    """Return a line for each video: its name and label, the predicted classes, and their probabilities.

    Of equal logits the lower class comes first, as in `rspnet.evaluation.accuracy`.

    Args:
        logits: logits of the videos; their index contains the class names.
        k: number of classes to name, best first.
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
    """Return a line for each query: its name and label, and its nearest gallery videos, nearest first.

    Args:
        queries: N videos.
        gallery: M videos.
        places: positions of the nearest videos in the gallery (N, k).
        similarities: their cosine similarities (N, k).
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
    """The outputs of a network for the M videos of a list that can be read, in its order, on the CPU of every process.

    Attributes:
        index: the list.
        rows: rows of the list (M,).
        values: outputs (M, K), float32.
        failed: row -> status of a video that could not be read, such as missing or broken.
    """

    index: datasets.Dataset
    rows: Tensor
    values: Tensor
    failed: dict[int, str]

    @property
    def num_failed(self) -> int:
        """Number of videos that could not be read."""
        return len(self.failed)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def videos(self) -> datasets.Dataset:
        """The rows of the videos that can be read."""
        videos: datasets.Dataset = self.index.select(self.rows)
        return videos

    @property
    def unread(self) -> set[tuple[str, str]]:
        """Roots and names of the videos that cannot be read."""
        read, names = set(self.rows.tolist()), zip(self.index["root"], self.index["video"])
        return {name for place, name in enumerate(names) if place not in read}

    @property
    def labels(self) -> Tensor:
        """Class numbers of the videos (M,)."""
        return torch.tensor(self.videos["label"])  # of the others some may have none


def predict(forward: Forward, videos: TestSet, desc: str) -> Outputs:
    """Return the network's output for every video of a list that can be read; see `outputs_of`."""
    return outputs_of(lambda batch: forward(batch["clips"], videos.size), videos, desc)


def outputs_of(told: Callable[[Batch], Tensor], videos: TestSet, desc: str) -> Outputs:
    """Return the output of a function for every video of a list that can be read, each read by one process.

    Args:
        told: maps a batch of N videos to (N, K), on any device.
        videos: the list's clips, and the processes that share them.
        desc: what the videos are, for the progress bar and messages.

    Raises:
        VideoError: no video can be read, or more fail than are allowed to.
        RSPNetError: a process cannot read for another reason, such as a lack of shared memory; raised in all processes.
        FloatingPointError: an output is not finite; raised in all processes.
    """
    team, failures = videos.team, videos.failures
    read = _Read()
    mistake: RSPNetError | None = None
    try:
        for part in progress(videos, len(videos), desc=desc, unit="batches"):
            read.add(part["row"], told(part), readable=part["failed"] < 0)
    except VideoError:  # too many failures: raised again below, in all processes
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
    return _finite(Outputs(failures.index, rows[order], outputs[order], failed))


def stored_outputs(stored: Features, videos: datasets.Dataset, desc: str) -> Outputs:
    """Return the features of a list of videos from a file.

    Args:
        stored: the contents of the file, features of whole videos.
        videos: the list; each of its videos is in the file.
        desc: what the videos are, for messages.

    Raises:
        ConfigError: the file has several features for one video name.
        FloatingPointError: a feature is not finite.
    """
    places = {video: place for place, video in enumerate(stored.rows["video"].to_pylist())}
    if len(places) < len(stored.rows):
        raise ConfigError(
            f"{desc}: the features hold two videos of the same name; extract those of one folder at a time"
        )
    values = torch.from_numpy(stored.values[[places[video] for video in videos["video"]]])
    return _finite(Outputs(videos, torch.arange(len(videos)), values, {}))


def _finite(found: Outputs) -> Outputs:
    bad = (~found.values.isfinite().all(1)).nonzero()[:, 0].tolist()
    if bad:
        raise FloatingPointError(f"{found.videos[bad[0]]['video']}: {NOT_FINITE}")
    return found


def feature_rows(outputs: list[Outputs], splits: Sequence[str | None]) -> pa.Table:
    """Return the outputs for lists of videos as rows of a file of features, list after list.

    Args:
        outputs: outputs for each list.
        splits: for each list the split that its videos were used as.
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
    """Collects the outputs for the videos that could be read, batch by batch.

    Outputs are copied from the device for many batches together, because each copy keeps the device waiting.
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
        """Return the rows, and the outputs on the CPU; None without a batch."""
        self._fetch()
        return (torch.cat(self._rows), torch.cat(self._outputs)) if self._rows else None

    def _fetch(self) -> None:
        if self._waiting:
            outputs, readable = (torch.cat(column) for column in zip(*self._waiting))
            self._outputs.append(outputs.cpu()[readable])
            self._waiting.clear()
