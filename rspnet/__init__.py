"""RSPNet: video representations from unlabelled video by relative speed perception (arXiv:2011.07949).

The names below are the public API for notebooks. They load on first use, because torch takes seconds to import
and a stage's ``--help`` or configuration mistake should answer at once.
"""

import importlib
import sys
from pathlib import Path

from rspnet.errors import CheckpointError, ConfigError, VideoError

__all__ = ["CheckpointError", "ConfigError", "VideoError", "create_encoder", "load_encoder", "read_frames"]

_HOME = {"create_encoder": "rspnet.encoders", "load_encoder": "rspnet.checkpoint", "read_frames": "rspnet.video"}

# `python stages/X.py` puts stages/ first on sys.path, where `import evaluate` would find our stage instead of the
# evaluate package. No stage imports another, so the folder has no business on the path.
_STAGES = Path(__file__).resolve().parent.parent / "stages"
sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _STAGES]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rspnet' has no attribute {name!r}")
