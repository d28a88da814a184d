"""Run a network over test clips on any number of processes, each video once.

N videos, V views of each, K outputs.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor, nn

from rspnet.batches import Failures, Loader, OrderedBatches
from rspnet.console import progress
from rspnet.dataset import ClipDataset
from rspnet.disk import write_text
from rspnet.errors import RSPNetError, VideoError
from rspnet.team import Team


class ViewFeatures(nn.Module):
    """An encoder's pooled features, averaged over the views of a video (the published retrieval protocol).

    Args:
        encoder: maps clips (N, 3, T, H, W) to features (N, D), and by `forward_features` to maps (N, D, t, h, w).
        pooling: what becomes of a map's positions: "average", the encoder's own pooling (the published code), or "max"
            (the paper's description of retrieval).

    Raises:
        ValueError: another pooling.
    """

    def __init__(self, encoder: nn.Module, pooling: str = "average") -> None:
        super().__init__()
        if pooling not in ("average", "max"):
            raise ValueError(f"unknown pooling {pooling!r}; choose average or max")
        self.encoder = encoder
        self.pooling = pooling

    def forward(self, views: Tensor) -> Tensor:
        """Views (N, V, 3, T, H, W) to features (N, D), averaged in float32 also where the encoder runs in half."""
        clips = views.flatten(0, 1)
        if self.pooling == "max":
            features = self.encoder.forward_features(clips).amax(dim=(2, 3, 4))
        else:
            features = self.encoder(clips)
        precision = torch.promote_types(features.dtype, torch.float32)
        return features.unflatten(0, views.shape[:2]).mean(1, dtype=precision)


def write_predictions(path: Path, index: datasets.Dataset, rows: Tensor, logits: Tensor, k: int = 5) -> None:
    """One JSON object per video: what it is, what the network says, and how sure it is.

    Of equal logits the lower class comes first, as in `rspnet.accuracy`.

    Args:
        path: a .jsonl file.
        index: what the rows mean; its class names are those of the logits.
        rows: (N,).
        logits: (N, classes).
        k: classes to name, best first.
    """
    names = index.features["label"]
    probabilities = logits.softmax(1)
    ranked = logits.argsort(dim=1, descending=True, stable=True)[:, :k]
    lines = []
    for row, classes, probability in zip(rows.tolist(), ranked.tolist(), probabilities.tolist()):
        line = {
            **_named(index, row),
            "predicted": [names.int2str(number) for number in classes],
            "probability": [round(probability[number], 5) for number in classes],
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def write_neighbours(
    path: Path,
    queries: datasets.Dataset,
    query_rows: Tensor,
    gallery: datasets.Dataset,
    gallery_rows: Tensor,
    nearest: Tensor,
    similarities: Tensor,
) -> None:
    """One JSON object per query video: what it is, and its nearest gallery videos, nearest first.

    Args:
        path: a .jsonl file.
        queries: index of the queries.
        query_rows: (N,) rows of it.
        gallery: index of the gallery.
        gallery_rows: (M,) rows of it.
        nearest: (N, k) places in `gallery_rows`.
        similarities: (N, k) cosines.
    """
    lines = []
    for row, places, cosines in zip(query_rows.tolist(), nearest, similarities.tolist()):
        found = [_named(gallery, gallery_row) for gallery_row in gallery_rows[places].tolist()]
        found = [{**name, "similarity": round(cosine, 5)} for name, cosine in zip(found, cosines)]
        lines.append(json.dumps({**_named(queries, row), "neighbours": found}, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def _named(index: datasets.Dataset, row: int) -> dict[str, str | None]:
    video, label = index[row]["video"], index[row]["label"]
    return {"video": video, "label": None if label is None else index.features["label"].int2str(label)}


@torch.no_grad()
def predict(
    model: nn.Module,
    clips: ClipDataset,
    normalise: Callable[[Tensor], Tensor],
    accelerator: Any,
    team: Team,
    failures: Failures,
    *,
    batch: int,
    num_workers: int,
    desc: str,
) -> tuple[Tensor, Tensor, int]:
    """The network's output for every video of a data set that can be read, each read by one process.

    Args:
        model: maps views (N, V, 3, T, H, W) to (N, K); left in evaluation mode.
        clips: the videos' clips.
        normalise: uint8 clips (N, T, H, W, 3) to network input (N, 3, T, H, W).
        accelerator: accelerate's.
        team: the processes that share the videos.
        failures: names and counts the videos that cannot be read, those of this pass.
        batch: videos at a time in each process.
        num_workers: processes that read, of each process.
        desc: what the videos are, for the progress bar and messages.

    Returns:
        Rows of the index (M,), outputs (M, K) float32, both in the order of the index on the CPU of every process, and
        how many videos could not be read.

    Raises:
        VideoError: that is all of them, or more than are allowed to fail.
        RSPNetError: a process cannot read for another reason, for want of shared memory for example; in all of them.
    """
    # Without what makes it one of several: processes that have another number of batches must not wait for each other.
    network = accelerator.unwrap_model(model).eval()
    if team.world_size > 1:  # of batch norm: each process has its own, the first one's are those that are kept
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
    share = OrderedBatches(len(clips), batch, team.rank, team.world_size)
    loader = Loader(clips, share, num_workers)
    failures.count = 0
    rows, outputs, mistake = [], [], None
    try:
        for part in progress(loader, len(loader), desc, "batches"):
            failures.add(part)
            views = torch.stack([view.to(accelerator.device, non_blocking=True) for view in part["clips"]], dim=1)
            inputs = normalise(views.flatten(0, 1)).unflatten(0, views.shape[:2])
            readable = part["failed"] < 0
            rows.append(part["row"][readable])
            outputs.append(network(inputs).float().cpu()[readable])
    except VideoError:  # too many: the others learn it below
        pass
    except RSPNetError as error:
        mistake = error
    team.check(mistake)
    mine = [(torch.cat(rows), torch.cat(outputs))] if rows else []
    everybodys = team.everyones((failures.count, mine))
    failed = sum(count for count, _ in everybodys)
    if failed == len(clips):
        raise VideoError(f"{desc}: none of the {failed} can be read; stages/verify.py --depth decode says why")
    try:
        failures.judge(failed)
    except VideoError as error:
        raise VideoError(f"{desc}: {error}") from None
    rows, outputs = (torch.cat(column) for column in zip(*(part for _, parts in everybodys for part in parts)))
    order = rows.argsort()
    return rows[order], outputs[order], failed
