"""What torch leaves to whoever uses it, between speed and exactness: chosen here and nowhere else.

- float32 means float32. TF32 would round the factors of every product to ten bits, the losses' too, whose temperature
  magnifies rounding; who wants speed asks accelerate for mixed precision, and the losses stay exact.
- cuDNN tries its algorithms out on each shape and takes the fastest: there are few shapes, since a batch that is not
  full is left out of training and filled up in tests.
- In which order numbers lie in memory, `rspnet.running.layout` says.
- Encoders are compiled where `run.compile` says so: in place, so that names in files stay as they are, and each shape
  by itself.
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
"""What compiles: torch's own compiler."""

_GRAPHS = 64


def tune() -> None:
    """Set what holds for the whole process."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def tuning() -> dict[str, bool | str]:
    """What is set, for environment.json."""
    backends = torch.backends
    return {
        "cudnn_benchmark": backends.cudnn.benchmark,
        "tf32": backends.cudnn.allow_tf32 or backends.cuda.matmul.allow_tf32,
        "memory_format": str(MEMORY_FORMAT).removeprefix("torch."),
    }


def compile_step(network: nn.Module, device: torch.device, augment: Augment | None = None, *, wanted: bool) -> None:
    """Compile every encoder in a network, in place, and on an accelerator the augmentation, if that is wanted.

    It is done at their first calls.

    One graph, and others of their own for evaluation, for another number of clips, and where a process has several
    batch-norm groups for those behind the first; what cannot be one graph is an error, and no slower step without a
    word.

    Args:
        network: on its device.
        device: that.
        augment: what it is trained with.
        wanted: whether anything is done.

    Raises:
        ConfigError: torch cannot compile there.
    """
    if not wanted:
        return
    _check_compiler(device)
    # Counted over all encoders of a process, which share one `forward`: each has a graph for each shape, in training,
    # as key encoder and in tests. Eight is usual, behind which a run would end.
    torch._dynamo.config.recompile_limit = max(_GRAPHS, torch._dynamo.config.recompile_limit)
    how: dict[str, Any] = {"dynamic": False, "fullgraph": True, "backend": BACKEND}
    for module in network.modules():
        if isinstance(module, VideoEncoder):
            module.compile(**how)
        elif isinstance(module, ViewFeatures):
            module.maps_of = torch.compile(module.encoder.forward_features, **how)
    if augment is not None and device.type != "cpu":  # where a CPU goes from clip to clip
        augment.compile(**how)


def _check_compiler(device: torch.device) -> None:
    """See that torch can compile, before anything else is done.

    Raises:
        ConfigError: it cannot.
    """
    try:
        torch.compile(lambda number: number + 1, backend=BACKEND)(torch.ones(2, device=device))
    except Exception as error:  # of many kinds: no compiler, no headers, no Triton, no place to write
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"run.compile: torch cannot compile for this {device.type} here ({said}); it wants a C++ compiler such as "
            "g++, Python's headers and on a GPU Triton: install what is missing, or leave run.compile out"
        ) from error
