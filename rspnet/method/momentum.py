"""MoCo's machinery: the momentum update, the queue of negatives, and batches in groups for batch normalisation.

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
    """Set the key encoder to momentum * key + (1 - momentum) * query: parameters only.

    Buffers stay: the key encoder's batch-norm statistics come from its own forward passes (the published code).
    """
    pairs = zip(key.parameters(), query.parameters(), strict=True)
    keys, queries = map(list, zip(*pairs))
    torch._foreach_mul_(keys, momentum)  # all at once: a handful of launches on a GPU
    torch._foreach_add_(keys, queries, alpha=1 - momentum)


class Queue(nn.Module):
    """The negatives: the last Q key embeddings, as columns, saved with the model so that a resumed run has them.

    Args:
        dim: embedding dimension D.
        length: Q; any number, it need not divide by the batch.

    Attributes:
        begun: number of columns that were keys from the start: all of a queue that was loaded, else none.

    Raises:
        ConfigError: the machine's memory could not hold it.
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
        """Write keys (A, D) over the oldest columns, wrapping at the end.

        Raises:
            ValueError: more keys than columns.
        """
        length = self.columns.shape[1]
        if len(keys) > length:
            raise ValueError(f"{len(keys)} keys do not fit into a queue of {length}; lengthen pretext.queue_length")
        where = (self.pointer + torch.arange(len(keys), device=keys.device)) % length
        self.columns[:, where] = keys.T.to(self.columns.dtype)
        self.pointer.copy_((self.pointer + len(keys)) % length)


def grouped(module: nn.Module, parts: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Run `module` on equal parts of a batch, one after the other: what as many processes would compute.

    Each part has batch statistics of its own. The running statistics follow the first part alone, as under
    DistributedDataParallel the first process's buffers are the ones that are kept.

    Args:
        module: maps clips (n, ...) to a tuple of tensors (n, ...).
        parts: clips (n, ...) each; each is asked for when it is its turn, and let go after it.
    """
    parts = iter(parts)
    outputs = [module(next(parts))]
    with statistics_unmoved(module):
        outputs += map(module, parts)
    return tuple(torch.cat(column) for column in zip(*outputs))


@contextmanager
def statistics_unmoved(module: nn.Module) -> Iterator[None]:
    """Leave running statistics alone; batch norm in training mode goes by those of the batch."""
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    try:
        for layer in norms:
            layer.track_running_stats = False
        yield
    finally:
        for layer in norms:
            layer.track_running_stats = True
