"""RSPNet: video representations from unlabelled video by relative speed perception (arXiv:2011.07949).

The names below are the public API for notebooks. They load on first use, because torch takes seconds to import and a
stage should print its ``--help`` or reject a wrong configuration at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rspnet.errors import CheckpointError, ConfigError, VideoError
from rspnet.registration import tell_timm

if TYPE_CHECKING:  # editors and type checkers do not see what `__getattr__` imports
    from rspnet.data.one_video import read_clips
    from rspnet.encoders import create_encoder
    from rspnet.video.reader import read_frames
    from rspnet.weights.load import load_classifier, load_encoder

__all__ = ["CheckpointError", "ConfigError", "VideoError", "create_encoder", "load_classifier", "load_encoder"]
__all__ += ["read_clips", "read_frames"]

__version__ = "0.1.0"

_HOME = {
    "create_encoder": "rspnet.encoders",
    "load_classifier": "rspnet.weights.load",
    "load_encoder": "rspnet.weights.load",
    "read_clips": "rspnet.data.one_video",
    "read_frames": "rspnet.video.reader",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rspnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


# Must come last: if timm is loaded already, this imports the encoders, which import from this module.
tell_timm()
