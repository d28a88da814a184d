"""The memory format of networks, chosen here for every device.

Weights of 3-D convolutions in `torch.channels_last_3d` give every feature map between two layers the same format,
whatever that of the clips: the channels of a position side by side, as the libraries under torch (oneDNN, cuDNN)
compute. Files do not depend on it: checkpoints and weights are written contiguous, and can be loaded into either.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

MEMORY_FORMAT = torch.channels_last_3d


def lay_out(network: nn.Module) -> None:
    """Put the weights of a network's 3-D convolutions in `MEMORY_FORMAT`, in place."""
    for weight in network.parameters():
        if weight.ndim == 5:
            weight.data = weight.data.contiguous(memory_format=MEMORY_FORMAT)


def lay_out_like_weights(state: Mapping[Tensor, dict[str, Any]]) -> None:
    """Put what an optimiser keeps for each weight (`torch.optim.Optimizer.state`) in that weight's format, in place.

    What was loaded from a file is contiguous; every step would go through the two in different orders.
    """
    for weight, kept in state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                kept[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def plain(state: Any) -> Any:
    """Return the same dictionaries and lists with every tensor contiguous; those that are not are copied to the CPU."""
    if isinstance(state, Tensor):
        return state if state.is_contiguous() else state.cpu().contiguous()
    if isinstance(state, Mapping):
        return {key: plain(value) for key, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list) else state
