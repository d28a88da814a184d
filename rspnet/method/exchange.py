"""What the processes of a step send each other: clips to where their batch-norm group is, embeddings to everybody.

N clips of this process, A clips of all processes, G batch-norm groups of each process, S = N / G clips of a group.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Route:
    """The way of clips to one batch-norm group of each process; all of it is known from the step's draws.

    Attributes:
        sent: which of this process's clips are wanted anywhere, in the order in which they are sent; each goes to one.
        sent_counts: how many of them go to each process.
        received_counts: how many come from each.
        order: the place of each of the group's clips (S,) among those that come.
    """

    sent: Tensor
    sent_counts: list[int]
    received_counts: list[int]
    order: Tensor


class Shuffle:
    """A permutation of all processes' clips: place i of it is the i-th clip of all groups in a row.

    Args:
        permutation: (A,), the same on every process, on the CPU.
        groups: G.
        device: of the clips. It gets the indices in one copy, and is not waited for.

    Attributes:
        routes: one for each group of this process.
        back: puts shuffled rows of all processes (A, ...) back in order.
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
    """Send each clip to the one process that wants it; no gradient. On one process they are there already.

    Args:
        clips: those that `route` sends, in its order, (n, ...).
        route: of a `Shuffle`.

    Returns:
        The clips of this process's group (S, ...), in the permutation's order.
    """
    if _world_size() == 1:
        return clips
    received = clips.new_empty(len(route.order), *clips.shape[1:])
    dist.all_to_all_single(received, clips.contiguous(), route.received_counts, route.sent_counts)
    return received[route.order]


def gather(local: Tensor) -> Tensor:
    """Rows of all processes in rank order, (N, ...) to (A, ...); no gradient. The rows themselves on one process."""
    if _world_size() == 1:
        return local
    whole = local.new_empty(_world_size() * len(local), *local.shape[1:])
    dist.all_gather(list(whole.chunk(_world_size())), local.contiguous())
    return whole


def share(whole: Tensor) -> Tensor:
    """This process's rows (N, ...) of those of all (A, ...)."""
    return whole.chunk(_world_size())[_rank()]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if _world_size() > 1 else 0
