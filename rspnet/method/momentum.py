"""MoCo's machinery: the momentum update, the queue of negatives, and batch shuffling for batch normalisation.

N clips of this process, A clips of all processes, D embedding dimension, Q queue length.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rspnet.shortage import check_fits


@torch.no_grad()
def momentum_update(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Set the key encoder to momentum * key + (1 - momentum) * query: parameters only.

    Buffers stay: the key encoder's batch-norm statistics come from its own forward passes (the published code).
    """
    for key_parameter, query_parameter in zip(key.parameters(), query.parameters(), strict=True):
        key_parameter.mul_(momentum).add_(query_parameter, alpha=1 - momentum)


class Queue(nn.Module):
    """The negatives: the last Q key embeddings, as columns, saved with the model so that a resumed run has them.

    Args:
        dim: embedding dimension D.
        length: Q; any number, it need not divide by the batch.

    Raises:
        ConfigError: the machine's memory could not hold it.
    """

    columns: Tensor
    pointer: Tensor

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
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


def gather(local: Tensor) -> Tensor:
    """Rows of all processes in rank order, (N, ...) to (A, ...); no gradient. The rows themselves on one process."""
    if not _distributed():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.contiguous())
    return torch.cat(parts)


def grouped(module: nn.Module, clips: Tensor, groups: int) -> tuple[Tensor, ...]:
    """Run `module` on `groups` equal parts of the batch: what as many DistributedDataParallel processes would compute.

    Each part has batch statistics of its own. The running statistics follow the first part alone, as there the first
    process's buffers are the ones that are kept.

    Args:
        module: maps clips (n, ...) to a tuple of tensors (n, ...).
        clips: (N, ...), N a multiple of `groups`.
        groups: number of parts.
    """
    parts = clips.chunk(groups)
    outputs = [module(parts[0])]
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    try:
        for layer in norms:
            layer.track_running_stats = False  # in training mode: batch statistics are used, running ones left alone
        outputs += [module(part) for part in parts[1:]]
    finally:
        for layer in norms:
            layer.track_running_stats = True
    return tuple(torch.cat(column) for column in zip(*outputs))


@torch.no_grad()
def shuffled(module: nn.Module, clips: Tensor, permutation: Tensor, *, groups: int) -> tuple[Tensor, ...]:
    """Run the key encoder on shuffled clips and put its outputs back in order (MoCo's shuffling BN).

    A query and its key would otherwise share batch-norm statistics, which tell them apart from the negatives without
    looking at the video. Clips are mixed over all processes and groups; the batch statistics are per group.

    Args:
        module: maps clips (n, ...) to a tuple of tensors (n, D).
        clips: this process's clips (N, ...).
        permutation: of all processes' clips (A,), the same on every process.
        groups: batch-norm groups of this process.
    """
    local = len(clips)
    rank = dist.get_rank() if _distributed() else 0
    mine = permutation[rank * local : (rank + 1) * local]
    outputs = grouped(module, gather(clips)[mine], groups)
    back = torch.argsort(permutation)[rank * local : (rank + 1) * local]
    return tuple(gather(output)[back] for output in outputs)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
