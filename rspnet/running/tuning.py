"""The settings of torch that trade exactness for speed: chosen here and nowhere else.

- float32 means float32. TF32 would round the factors of every product to ten bits, also in the losses, whose
  temperature magnifies rounding; mixed precision, by accelerate, is faster and keeps the losses exact.
- cuDNN tries its algorithms out on each shape and takes the fastest: there are few shapes, since a batch that is not
  full is dropped in training and filled up in tests.
- The memory format is set in `rspnet.running.layout`.
- Encoders are compiled if `run.compile` is set: in place, so that names in files do not change, and for each shape
  separately.
"""

from typing import Any

import torch
from torch import nn

from rspnet.data.augment import Augment
from rspnet.encoders import VideoEncoder
from rspnet.errors import ConfigError
from rspnet.evaluation.predict import ViewFeatures
from rspnet.running.layout import MEMORY_FORMAT

BACKEND: Any = "inductor"
"""The compiler: torch's own."""

_GRAPHS = 64


def tune() -> None:
    """Set torch up for the whole process."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def tuning() -> dict[str, bool | str]:
    """Return the settings, for environment.json."""
    backends = torch.backends
    return {
        "cudnn_benchmark": backends.cudnn.benchmark,
        "tf32": backends.cudnn.allow_tf32 or backends.cuda.matmul.allow_tf32,
        "memory_format": str(MEMORY_FORMAT).removeprefix("torch."),
    }


def compile_step(network: nn.Module, device: torch.device, augment: Augment | None = None, *, wanted: bool) -> None:
    """Compile every encoder in a network, in place, and on an accelerator the augmentation, if that is wanted.

    They are compiled at their first calls. Training takes one graph; evaluation, another number of clips and, if a
    process has several batch-norm groups, those after the first take graphs of their own. What cannot be compiled as
    one graph is an error rather than a step that is slower unnoticed.

    Args:
        network: on its device.
        device: of the network.
        augment: the augmentation of its training.
        wanted: whether to compile at all.

    Raises:
        ConfigError: torch cannot compile for the device on this machine.
    """
    if not wanted:
        return
    _check_compiler(device)
    # The limit is for all encoders of a process together, which share one `forward`: each has a graph for each shape,
    # in training, as key encoder and in tests. The default is eight; a run that needs more would end.
    torch._dynamo.config.recompile_limit = max(_GRAPHS, torch._dynamo.config.recompile_limit)
    how: dict[str, Any] = {"dynamic": False, "fullgraph": True, "backend": BACKEND}
    for module in network.modules():
        if isinstance(module, VideoEncoder):
            module.compile(**how)
        elif isinstance(module, ViewFeatures):
            module.maps_of = torch.compile(module.encoder.forward_features, **how)
    if augment is not None and device.type != "cpu":  # a CPU augments one clip after another
        augment.compile(**how)


def _check_compiler(device: torch.device) -> None:
    """Check that torch can compile, before anything else is done.

    Raises:
        ConfigError: it cannot.
    """
    try:
        torch.compile(lambda number: number + 1, backend=BACKEND)(torch.ones(2, device=device))
    except Exception as error:  # of many kinds: no compiler, no headers, no Triton, no place to write
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"run.compile: torch cannot compile for this {device.type} here ({said}); it needs a C++ compiler such as "
            "g++, Python's headers and on a GPU Triton: install what is missing, or leave run.compile out"
        ) from error
