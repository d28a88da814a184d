"""Check now and then that what every process of a run computes for itself, unsynchronised, is the same in all."""

import zlib
from typing import TYPE_CHECKING

from torch import Tensor, nn

from rspnet.errors import MachineError

if TYPE_CHECKING:
    from rspnet.running.team import Team


def check_replicas(model: nn.Module, team: "Team", step: int) -> None:
    """Check that what DistributedDataParallel is told to ignore is equal to the bit in all processes.

    Args:
        model: the module as the stage built it.
        team: the processes; all of them must call this.
        step: the current step, for the message.

    Raises:
        MachineError: it differs in one of them; raised in all.
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
                f"step {step}: {name} of process {other} differs from the main process's, and should be equal to the "
                "bit; this is not saved: check that all machines have the same versions and sound memory"
            )


def _sum(value: Tensor) -> int:
    return zlib.crc32(value.detach().cpu().contiguous().numpy().data)
