"""The parts of MoCo: the momentum update, the queue of negatives, and batch normalisation in groups.

A clips of all processes, D embedding dimension, Q queue length.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rspnet.shortage import check_fits


@torch.no_grad()
def momentum_update(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Set the key encoder's parameters to momentum * key + (1 - momentum) * query.

    Buffers are not updated: as in the published code, the key encoder's running batch-norm statistics come from its own
    forward passes.
    """
    pairs = zip(key.parameters(), query.parameters(), strict=True)
    keys, queries = map(list, zip(*pairs))
    torch._foreach_mul_(keys, momentum)  # all parameters together, which takes few kernel launches on a GPU
    torch._foreach_add_(keys, queries, alpha=1 - momentum)


class Queue(nn.Module):
    """The negatives of A-VID: the last Q key embeddings, at first random unit vectors; saved with the model.

    Args:
        dim: embedding dimension D.
        length: Q, which need not be a multiple of the batch size.

    Attributes:
        columns: the embeddings (D, Q), one per column.
        pointer: index of the oldest column, which is the next to be overwritten (1,).
        begun: number of columns that held keys at the start of the run: Q if the queue was loaded from a file, else 0.

    Raises:
        ConfigError: the queue does not fit into the machine's memory.
    """

    columns: Tensor
    pointer: Tensor

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        self.begun = 0
        check_fits(4 * dim * length, f"pretext.queue_length: {length}, pretext.dim: {dim}; the queue takes")
        self.register_buffer("columns", nn.functional.normalize(torch.randn(dim, length), dim=0))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Overwrite the oldest columns with keys (A, D), wrapping around at the end.

        Raises:
            ValueError: there are more keys than columns.
        """
        length = self.columns.shape[1]
        if len(keys) > length:
            raise ValueError(f"{len(keys)} keys do not fit into a queue of {length}; lengthen pretext.queue_length")
        where = (self.pointer + torch.arange(len(keys), device=keys.device)) % length
        self.columns[:, where] = keys.T.to(self.columns.dtype)
        self.pointer.copy_((self.pointer + len(keys)) % length)


def grouped(module: nn.Module, parts: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Run `module` on equal parts of a batch one after the other, as if each were on a process of its own.

    Each part is normalised by its own batch statistics. Only the first part updates the running statistics, because
    DistributedDataParallel keeps the buffers of the first process.

    Args:
        module: maps clips (n, ...) to a tuple of tensors (n, ...).
        parts: clips (n, ...) of each part. An iterator is advanced one part at a time, so that only one is in memory.

    Returns:
        The outputs of all parts, concatenated.
    """
    parts = iter(parts)
    outputs = [module(next(parts))]
    with statistics_unmoved(module):
        outputs += map(module, parts)
    return tuple(torch.cat(column) for column in zip(*outputs))


@contextmanager
def statistics_unmoved(module: nn.Module) -> Iterator[None]:
    """Leave running statistics unchanged; batch norm in training mode still normalises by those of the batch."""
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    try:
        for layer in norms:
            layer.track_running_stats = False
        yield
    finally:
        for layer in norms:
            layer.track_running_stats = True
