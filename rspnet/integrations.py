"""Encoders of rspnet for other programs: mteb, which includes MVEB, the public benchmark of video embeddings.

D: number of features.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rspnet.data.one_video import read_clips
from rspnet.disk import sha256
from rspnet.errors import ConfigError, VideoError
from rspnet.weights.description import find_weights, settled
from rspnet.weights.load import load_encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.utils.data import DataLoader

    from rspnet.encoders import VideoEncoder


def mteb_encoder(path: str | Path, name: str | None = None, *, device: str | None = None) -> Any:
    """Return an encoder for `mteb.evaluate`, for tasks on video alone.

    A video's feature is the one that stages/evaluate.py compares: pooled, and averaged over evenly spaced clips. rspnet
    reads the frames itself, so torchcodec is not needed.

    Args:
        path: As for `rspnet.load_encoder`.
        name: Name of the model in the results, ORG/NAME; None for rspnet/ and the name of the folder or file.
        device: Where it runs; None for a GPU if there is one.

    Raises:
        ConfigError: mteb is not installed.
        CheckpointError: As for `rspnet.load_encoder`.
    """
    try:
        from mteb.models.abs_encoder import AbsEncoder
        from mteb.models.model_meta import ModelMeta, ScoringFunction
    except ImportError as error:
        raise ConfigError(f"mteb: cannot be imported ({error}); pip install mteb") from None

    weights = settled(os.fspath(path))  # one checkpoint, even if the run goes on: its hash is the revision below
    encoder = load_encoder(weights).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    class Encoder(AbsEncoder):  # type: ignore[misc]  # mteb may not be installed, and then has no types
        mteb_model_meta = ModelMeta.create_empty(
            {
                "name": name or f"rspnet/{Path(path).resolve().name}",
                "revision": sha256(find_weights(weights)),
                "modalities": ["video"],
                "framework": ["PyTorch"],
                "embed_dim": encoder.num_features,
                "n_parameters": sum(each.numel() for each in encoder.parameters()),
                "similarity_fn_name": ScoringFunction.COSINE,
            }
        )

        def encode(self, inputs: "DataLoader[dict[str, Any]]", **_: object) -> "NDArray[np.float32]":
            return np.stack([_feature(encoder, video) for video in _videos(inputs)])

    return Encoder()


def _videos(inputs: "DataLoader[dict[str, Any]]") -> Iterator[dict[str, Any]]:
    """Yield each video of a task's rows without decoding it: its `path` and `bytes`, one of which may be None."""
    from datasets import Dataset, Video

    rows = inputs.dataset
    assert isinstance(rows, Dataset)  # as mteb makes them
    for row in rows.select_columns("video").cast_column("video", Video(decode=False)):
        yield row["video"]


def _feature(encoder: "VideoEncoder", video: dict[str, Any]) -> "NDArray[np.float32]":
    """Return the feature (D,) of a video."""
    with _file(video) as path, torch.no_grad():
        feature: NDArray[np.float32] = encoder(read_clips(path, encoder)).mean(0).float().cpu().numpy()
    return feature


@contextmanager
def _file(video: dict[str, Any]) -> Iterator[str]:
    """Yield the path of a file with the video, whose bytes may be stored in the rows themselves."""
    if video["path"] and os.path.isfile(video["path"]):
        yield video["path"]
    elif video["bytes"] is None:
        raise VideoError(f"{video['path']}: no such file, and the rows do not hold it; load the task's data again")
    else:
        with tempfile.NamedTemporaryFile(suffix=Path(video["path"] or ".mp4").suffix) as file:
            file.write(video["bytes"])
            file.flush()
            yield file.name
