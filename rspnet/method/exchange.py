"""Communication between the processes in a step: clips go to the process of their group, embeddings to all processes.

N clips of this process, A clips of all processes, G batch-norm groups of each process, S = N / G clips of a group.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Route:
    """Which clips go where to form one batch-norm group on each process; it follows from the step's draws alone.

    Attributes:
        sent: indices of this process's clips that it sends, ordered by receiving process.
        sent_counts: how many of them go to each process.
        received_counts: how many clips come from each process.
        order: index of each of the group's clips (S,) among those received.
    """

    sent: Tensor
    sent_counts: list[int]
    received_counts: list[int]
    order: Tensor


class Shuffle:
    """MoCo's batch shuffle: a permutation of the clips of all processes, which spreads them over the batch-norm groups.

    Args:
        permutation: (A,), the same on every process, on the CPU: the clips of the first group of the first process,
            then of its second group, and so on.
        groups: G.
        device: device of the clips. The indices are copied to it at once, without waiting for it.

    Attributes:
        routes: one for each group of this process.
        back: the inverse permutation (A,), which puts the shuffled rows of all processes back in order.
    """

    def __init__(self, permutation: Tensor, groups: int, device: torch.device) -> None:
        rank, world_size = _rank(), _world_size()
        wanted = permutation.view(world_size, groups, -1)
        local = len(permutation) // world_size
        owners = wanted.div(local, rounding_mode="floor")
        mine, coming = owners == rank, owners[rank]
        sent = [wanted[:, group][mine[:, group]] - rank * local for group in range(groups)]
        orders = [torch.argsort(torch.argsort(owner, stable=True)) for owner in coming]
        indices = [*sent, *orders, torch.argsort(permutation)]
        *moved, self.back = torch.cat(indices).to(device, non_blocking=True).split(list(map(len, indices)))
        self.routes = [
            Route(
                moved[group],
                sent_counts=mine[:, group].sum(1).tolist(),
                received_counts=torch.bincount(coming[group], minlength=world_size).tolist(),
                order=moved[groups + group],
            )
            for group in range(groups)
        ]


def exchange(clips: Tensor, route: Route) -> Tensor:
    """Send each clip to the process of its group, without gradients; a single process returns `clips` unchanged.

    Args:
        clips: the clips `route.sent` of this process, in that order (n, ...).
        route: one of `Shuffle.routes`.

    Returns:
        The clips of this process's group (S, ...), in the permutation's order.
    """
    if _world_size() == 1:
        return clips
    received = clips.new_empty(len(route.order), *clips.shape[1:])
    dist.all_to_all_single(received, clips.contiguous(), route.received_counts, route.sent_counts)
    return received[route.order]


def gather(local: Tensor) -> Tensor:
    """Return the rows (A, ...) of all processes in rank order, given each one's (N, ...); without gradients."""
    if _world_size() == 1:
        return local
    whole = local.new_empty(_world_size() * len(local), *local.shape[1:])
    dist.all_gather(list(whole.chunk(_world_size())), local.contiguous())
    return whole


def share(whole: Tensor) -> Tensor:
    """Return this process's rows (N, ...) of those of all processes (A, ...)."""
    return whole.chunk(_world_size())[_rank()]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if _world_size() > 1 else 0
