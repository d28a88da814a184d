"""In which order a network's numbers lie in memory: the one place that says so, for every device.

Weights of 3-D convolutions in `torch.channels_last_3d` make every map between two layers lie so, whatever the order of
the clips: the channels of a position side by side, as the libraries under torch (oneDNN, cuDNN) compute. Files do not
know of it: checkpoints and weights are written as they always were, and go on in either order.
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
    """Put what an optimiser keeps for each weight (`torch.optim.Optimizer.state`) in that weight's order, in place.

    What comes from a file lies as files have it; every step would go through the two in different orders.
    """
    for weight, kept in state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                kept[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def plain(state: Any) -> Any:
    """The same dictionaries and lists with every tensor contiguous; such as lie otherwise are copied, to the CPU."""
    if isinstance(state, Tensor):
        return state if state.is_contiguous() else state.cpu().contiguous()
    if isinstance(state, Mapping):
        return {key: plain(value) for key, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list) else state
