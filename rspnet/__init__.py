"""RSPNet: video representations from unlabelled video by relative speed perception (arXiv:2011.07949).

The names below are the public API for notebooks. They load on first use, because torch takes seconds to import
and a stage's ``--help`` or configuration mistake should answer at once.
"""

import importlib

from rspnet.errors import CheckpointError, ConfigError, VideoError
from rspnet.registration import tell_timm

__all__ = ["CheckpointError", "ConfigError", "VideoError", "create_encoder", "load_classifier", "load_encoder"]
__all__ += ["read_clips", "read_frames"]

__version__ = "0.1.0"

_HOME = {
    "create_encoder": "rspnet.encoders",
    "load_classifier": "rspnet.weights",
    "load_encoder": "rspnet.weights",
    "read_clips": "rspnet.clips",
    "read_frames": "rspnet.video",
}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rspnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


# Last: where timm is loaded already, this loads the encoders, which import from here.
tell_timm()
