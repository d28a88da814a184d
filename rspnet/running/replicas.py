"""What each process of a run computes for itself and nobody evens out, seen to be the same in all now and then."""

import zlib
from typing import TYPE_CHECKING

from torch import Tensor, nn

from rspnet.errors import MachineError

if TYPE_CHECKING:
    from rspnet.running.team import Team


def check_replicas(model: nn.Module, team: "Team", step: int) -> None:
    """See that what DistributedDataParallel is told to leave alone is equal to the bit in all processes.

    Args:
        model: the module as the stage built it.
        team: the processes; all of them call it.
        step: how far the run is, for the message.

    Raises:
        MachineError: it is not, in any of them; in all of them.
    """
    names: list[str] = getattr(model, "_ddp_params_and_buffers_to_ignore", [])
    if team.world_size == 1 or not names:
        return
    values = model.state_dict()
    sums = team.everyones({name: _sum(values[name]) for name in names})
    for name in names:
        other = next((rank for rank, found in enumerate(sums) if found[name] != sums[0][name]), None)
        if other is not None:
            raise MachineError(
                f"step {step}: {name} of process {other} is not that of the main process, and should be to the bit; "
                "this is not kept: see that all machines have the same versions, and that their memory is sound"
            )


def _sum(value: Tensor) -> int:
    return zlib.crc32(value.detach().cpu().contiguous().numpy().data)
